// The same decision as a service: `node service.mjs PORT`.
import http from "node:http";
import client from "prom-client";
import { scoreOf, decide } from "./scoring.mjs";

const decisions = new client.Counter({ name: "baseline_decisions_total", help: "Sign-ins decided", labelNames: ["decision"] });
const duration = new client.Histogram({ name: "baseline_duration_seconds", help: "Time to the decision" });

async function answer(request, response) {
  if (request.url === "/metrics") {
    response.setHeader("content-type", client.register.contentType);
    response.end(await client.register.metrics());
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const started = performance.now();
  const { user, ip } = JSON.parse(Buffer.concat(chunks).toString());
  const judged = decide(user, ip, ip ? await scoreOf(ip) : 0);
  const took = performance.now() - started;
  decisions.inc({ decision: judged.decision });
  duration.observe(took / 1000);
  const body = JSON.stringify({ ...judged, elapsed_ms: took });
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

http
  .createServer((request, response) => {
    answer(request, response).catch((error) => {
      response.statusCode = 500;
      response.end(String(error.message));
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
