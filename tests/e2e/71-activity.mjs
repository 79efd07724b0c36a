// A log of 100,000 decisions in the page: long tasks, filters, the end of the table, and what the pages and the process hold in memory.
// 71-activity.mjs URL TOKEN PID
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [url, token, pid] = process.argv.slice(2);
const DECISIONS = 100000;
// The requirement: no task of the page blocks it longer. A frame of the machine that runs this is slower than an analyst's.
const LONGEST_TASK_MS = 200;
// Far above what was measured, so that only growth without bound exceeds it.
const MAX_RESIDENT_MB = 400;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" })).newPage();
const faults = [];
page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(message.text()));
page.on("pageerror", (error) => faults.push(error.message));
await page.addInitScript(() => {
  globalThis.tasks = [];
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => globalThis.tasks.push(entry.duration))).observe({ type: "longtask" });
});

const api = async (path) => (await fetch(`${url}v1/${path}`, { headers: { authorization: `Bearer ${token}` } })).json();
let stored = 0;
while (stored < DECISIONS) {
  const summary = await api("activity?range=24h");
  assert.ok(summary.stored >= stored);
  stored = summary.stored;
  await new Promise((done) => setTimeout(done, 500));
}

await page.goto(`${url}?range=24h#token=${token}`);
// An old log is not called live, and its times have dates.
await page.waitForFunction(() => document.querySelector("#link").textContent === "end of the log");
await page.waitForFunction(() => /^The log ends at .*2026/.test(document.querySelector("#sentence").textContent));
await page.waitForFunction(() => document.querySelectorAll("#rankings .row").length > 20);
await page.locator("nav a", { hasText: "Decisions" }).click();
await page.waitForFunction((total) => document.querySelector("#shown").textContent.replaceAll(/\D/g, "") === String(total), DECISIONS);
assert.match(await page.locator("#rows .open").first().textContent(), /^2026-11-\d\d \d\d:\d\d:\d\d$/);

// Through the table in leaps and in small steps, and to its end.
for (let step = 1; step <= 40; step += 1) {
  await page.evaluate((share) => { const box = document.querySelector("#decisions-scroll"); box.scrollTop = share * box.scrollHeight; }, step / 40);
  await page.waitForFunction(() => [...document.querySelectorAll("#rows tr:not(.spacer)")].every((row) => row.dataset.id), null, { timeout: 10000 });
}
assert.ok((await page.locator("#rows tr").count()) < 80, "only visible rows are elements");
const last = (await api(`activity/decisions?range=24h&offset=${DECISIONS - 1}&limit=1`)).rows[0].id;
assert.equal(await page.locator("#rows tr[data-id]").last().getAttribute("data-id"), last);
for (let step = 0; step < 60; step += 1) {
  await page.mouse.move(700, 600);
  await page.mouse.wheel(0, -700);
  await page.waitForTimeout(16);
}
await page.selectOption("#decision-filter", "deny");
await page.waitForFunction(() => [...document.querySelectorAll("#rows .verdict")].length > 5 && [...document.querySelectorAll("#rows .verdict")].every((verdict) => verdict.textContent.startsWith("deny")));
const longest = Math.max(0, ...(await page.evaluate(() => globalThis.tasks)));
const resident = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
console.log(`  ${DECISIONS} decisions: longest task of the page ${longest.toFixed(0)} ms, resident memory of the process ${resident.toFixed(0)} MB`);
assert.ok(longest < LONGEST_TASK_MS, `a task took ${longest} ms`);
assert.ok(resident < MAX_RESIDENT_MB, `${resident} MB`);
assert.deepEqual(faults, []);
await browser.close();
