// A pre-authentication trigger for Node, with the runtime loop that Lambda's own runtime has inside.
import http from "node:http";
import { scoreOf, decide } from "./scoring.mjs";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const ROOT = "/2018-06-01/runtime/invocation";

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const request = http.request({ agent, host, port, method, path, headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function handler(event) {
  const started = performance.now();
  const ip = event.request?.validationData?.ip;
  const { decision, score, reasons } = decide(event.userName, ip, ip ? await scoreOf(ip) : 0);
  const line = {
    _aws: {
      Timestamp: Date.now(),
      CloudWatchMetrics: [
        { Namespace: "baseline", Dimensions: [["decision"]], Metrics: [{ Name: "duration", Unit: "Seconds" }, { Name: "score", Unit: "None" }] },
      ],
    },
    decision, score, reasons, duration: (performance.now() - started) / 1000,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  if (decision === "deny") throw new Error("Sign-in was declined");
  return event;
}

for (;;) {
  const { headers, text } = await call("GET", `${ROOT}/next`);
  const id = headers["lambda-runtime-aws-request-id"];
  try {
    await call("POST", `${ROOT}/${id}/response`, JSON.stringify(await handler(JSON.parse(text))));
  } catch (error) {
    await call("POST", `${ROOT}/${id}/error`, JSON.stringify({ errorType: error.name, errorMessage: error.message }));
  }
}
