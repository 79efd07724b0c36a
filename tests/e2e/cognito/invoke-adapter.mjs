// Makes `cargo lambda watch` answer as the real Invoke API does.
//
// A function's error is HTTP 200 with X-Amz-Function-Error on AWS, and HTTP 500 there; a timeout is a function error
// on AWS, and an empty 408 there.   node invoke-adapter.mjs PORT UPSTREAM
import { createServer, request } from "node:http";

const [port, upstream] = process.argv.slice(2);

createServer((incoming, outgoing) => {
  const chunks = [];
  incoming.on("data", (chunk) => chunks.push(chunk));
  incoming.on("end", () => {
    const url = `${upstream}/2015-03-31/functions/_/invocations`;
    const onward = request(url, { method: "POST", headers: { "content-type": "application/json" } }, (answer) => {
      const body = [];
      answer.on("data", (chunk) => body.push(chunk));
      answer.on("end", () => {
        const headers = { "content-type": "application/json", "x-amz-executed-version": "1" };
        let text = Buffer.concat(body);
        if (answer.statusCode === 408) text = Buffer.from(JSON.stringify({ errorMessage: "Task timed out after 4.00 seconds" }));
        if (answer.statusCode !== 200) headers["x-amz-function-error"] = "Unhandled";
        outgoing.writeHead(200, headers).end(text);
      });
    });
    onward.on("error", (error) => outgoing.writeHead(502).end(String(error)));
    onward.end(Buffer.concat(chunks));
  });
}).listen(Number(port), "127.0.0.1");
