// p99 of /v1/assess with no page and with 20 pages open, each with another filter, in turns: a busy machine is busy for both.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import http from "node:http";

const port = Number(process.argv[2]);
const ROUNDS = 12, EACH = 2500, PAGES = 20;
// Each page has another filter, so none can share the answer of another.
const FILTERS = ["", "country=US", "country=DE", "asn=15169", "asn=3320", "decision=stopped", "decision=allow", "decision=review", "decision=deny", "outcome=none", "client=web", "reason=new_country", "reason=known_device", "reason=hosting", "decided_by=thresholds", "degraded=1"];
const QUERIES = Array.from({ length: PAGES }, (_, at) => `range=${["10m", "1h", "6h", "24h"][Math.floor(at / 5)]}&${FILTERS[at % FILTERS.length]}`);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let number = 0;

function ask() {
  number += 1;
  const body = JSON.stringify({ user: `user-${number % 500}`, ip: `8.8.${number % 200}.${number % 250}`, deviceId: `device-${number % 500}` });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((done, failed) => {
    const began = process.hrtime.bigint();
    const request = http.request({ host: "127.0.0.1", port, path: "/v1/assess", method: "POST", agent, headers }, (answer) => {
      assert.equal(answer.statusCode, 200);
      answer.resume();
      answer.on("end", () => done(Number(process.hrtime.bigint() - began) / 1e3));
    });
    request.on("error", failed);
    request.end(body);
  });
}

// The pages are read by a separate process: reading them does not slow the measuring down.
if (process.argv[3] === "pages") {
  let informed = 0;
  for (let at = 0; at < PAGES; at += 1) {
    http.get({ host: "127.0.0.1", port, path: "/events", agent: false }, (answer) => {
      let messages = 0;
      answer.on("data", () => {
        messages += 1;
        // The second message shows that the stream goes on.
        if (messages === 2 && (informed += 1) === PAGES) process.send("informed");
      });
    });
    // As the page does every two seconds.
    setInterval(() => http.get({ host: "127.0.0.1", port, path: `/v1/activity?${QUERIES[at]}`, agent: false }, (answer) => answer.resume()), 2000);
  }
  await new Promise(() => {});
}

/** Opens the pages and waits until each has received two messages. */
function open() {
  const pages = fork(process.argv[1], [String(port), "pages"]);
  return new Promise((done, failed) => {
    pages.once("message", () => done(pages));
    pages.once("exit", () => failed(new Error("the pages could not be opened")));
  });
}

const percentile = (times, share) => times.toSorted((a, b) => a - b)[Math.floor(times.length * share)];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function round() {
  const times = [];
  for (let at = 0; at < EACH; at += 1) times.push(await ask());
  return times;
}

await round();
const without = [], beside = [];
for (let at = 0; at < ROUNDS; at += 1) {
  without.push(...(await round()));
  const pages = await open();
  beside.push(...(await round()));
  pages.removeAllListeners("exit");
  pages.kill();
  await pause(100);
}
for (const [name, times] of [["no page", without], [`${PAGES} pages`, beside]]) {
  console.log(`  ${name}: p50 ${percentile(times, 0.5).toFixed(0)} us, p99 ${percentile(times, 0.99).toFixed(0)} us, ${times.length} sign-ins`);
}
const ratio = percentile(beside, 0.99) / percentile(without, 0.99);
console.log(`  p99 with pages / without: ${ratio.toFixed(2)}`);
// 1.1 is what a quiet machine shows; what is refused here is a fault, not a busy neighbour.
assert.ok(ratio < 1.5, `p99 grows ${ratio.toFixed(2)} times`);
