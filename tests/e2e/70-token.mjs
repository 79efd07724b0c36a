// Opens the page of a sidecar that a token guards, as a browser does that is prompted for a password: 70-token.mjs URL TOKEN
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [url, token] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function visitor(httpCredentials) {
  const page = await (await browser.newContext({ httpCredentials })).newPage();
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(error.message));
  return { page, faults };
}

for (const password of [undefined, "not-the-token-at-all"]) {
  const { page } = await visitor(password && { username: "anybody", password });
  // Chromium without a screen shows the refusal as an error when it cannot prompt for a password.
  const status = await page.goto(url).then((answer) => answer.status(), (error) => (/ERR_INVALID_AUTH_CREDENTIALS/.test(error.message) ? 401 : error.message));
  assert.equal(status, 401, `with ${password}`);
  for (const path of ["events", "metrics", "assets/page.js", "v1/activity", "v1/activity/decisions", "d/01M80EJRYK6508PR6CQENEZ8FV"]) assert.equal((await page.context().request.get(url + path)).status(), 401, path);
}

const { page, faults } = await visitor({ username: "anybody", password: token });
assert.equal((await page.goto(`${url}?view=decisions`)).status(), 200);
for (let number = 0; number < 3; number++) {
  const answer = await fetch(`${url}v1/assess`, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" }, body: `{"user":"user-${number}","ip":"8.8.8.8"}` });
  assert.equal(answer.status, 200);
}
await page.waitForFunction(() => document.querySelectorAll("#rows tr[data-id]").length === 3, null, { timeout: 20000 });
const metrics = await page.goto(`${url}metrics`);
assert.match(await metrics.text(), /riskgate_decisions_total\{[^}]*\} [1-9]/);
assert.deepEqual(faults, []);
await browser.close();
