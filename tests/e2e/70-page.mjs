// Looks at the page as people do: by eye (pixels), by mouse, by keyboard, and through axe.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [url, pictures] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function open(name, viewport, colorScheme) {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(`${name}: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`${name}: ${error.message}`));
  page.on("request", (request) => request.url().startsWith(url) || faults.push(`${name}: asks ${request.url()}`));
  const answer = await page.goto(url);
  assert.match(answer.headers()["content-security-policy"], /default-src 'none'.*script-src 'self'/);
  await page.waitForFunction(() => document.querySelectorAll("#rows tr").length > 20, null, { timeout: 30000 });
  return { page, faults };
}

const picture = (page, name, fullPage) => (pictures ? page.screenshot({ path: `${pictures}/${name}.png`, fullPage }) : undefined);

async function accessible(page, name) {
  const violations = await page.evaluate(`${axe}; axe.run().then((found) => found.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html).join(" | ")))`);
  assert.deepEqual(violations, [], name);
}

// === Every panel fills; the outage is seen ===

const { page, faults } = await open("light", { width: 1440, height: 1000 }, "light");
const inked = (id) => page.evaluate((id) => {
  const canvas = document.querySelector(`#${id} canvas`);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let inked = 0;
  for (let at = 3; at < data.length; at += 4) inked += data[at] > 0;
  return inked / (data.length / 4);
}, id);
for (const id of ["rate-chart", "time-chart", "score-chart"]) assert.ok((await inked(id)) > 0.01, `${id} is empty`);
for (const [rows, least] of [["#parts .row", 4], ["#services .service", 1], ["#caches .row", 1], ["#reasons .row", 3]]) {
  await page.waitForFunction(([rows, least]) => document.querySelectorAll(rows).length >= least, [rows, least], { timeout: 20000 });
}
await page.waitForFunction(() => /sign-ins in the last minute/.test(document.querySelector("#summary").textContent));
await page.waitForFunction(() => document.querySelectorAll("#causes .row").length > 0, null, { timeout: 60000 });
await page.waitForFunction(() => /1normal traffic.*2credential stuffing/.test(document.querySelector("#annotations").textContent), null, { timeout: 60000 });
await page.waitForFunction(() => /breaker open/.test(document.querySelector("#services").textContent), null, { timeout: 60000 });
await picture(page, "dashboard-light", true);
await accessible(page, "light");

// === What if ===

const summary = () => page.locator("#whatif").textContent();
const stopped = async () => Number(/([\d,]+) \([^)]*\) would have been denied/.exec(await summary())[1].replaceAll(",", ""));
await page.locator("#threshold").focus();
await page.keyboard.press("End");
const atMost = await stopped();
await page.keyboard.press("Home");
assert.equal(await page.locator("#threshold-value").textContent(), "0");
assert.ok((await stopped()) > atMost, `${atMost} at 100, ${await stopped()} at 0`);
const box = await page.locator("#threshold").boundingBox();
await page.mouse.move(box.x + 2, box.y + box.height / 2);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 5 });
await page.mouse.up();
assert.ok(Number(await page.locator("#threshold-value").textContent()) > 40, "dragged");

// === Filter, and one decision explained ===

await page.selectOption("#verdict", "deny");
const verdicts = await page.locator("#rows .verdict").allTextContents();
assert.ok(verdicts.length > 0 && verdicts.every((verdict) => verdict.startsWith("deny")), verdicts.join());
await page.fill("#find", "no such thing anywhere");
assert.equal(await page.locator("#rows tr").count(), 0);
await page.fill("#find", "");
await page.locator("#pause").click();
await page.locator("#rows .open").first().focus();
await page.keyboard.press("Enter");
assert.ok(await page.locator("#detail").evaluate((dialog) => dialog.open));
assert.ok((await page.locator("#detail .weights .row").count()) >= 3);
const [sum, parts] = await page.locator("#detail .weights .row").evaluateAll((rows) => {
  const weights = rows.map((row) => Number(row.querySelector(".figures-text").textContent.replace("−", "-").replace("±", "")));
  return [weights.at(-1), weights.slice(0, -1).reduce((a, b) => a + b, 0)];
});
assert.ok(Math.abs(sum - parts) < 0.06, `${parts} is not ${sum}`);
await picture(page, "dashboard-explained", false);
await accessible(page, "explained");
await page.keyboard.press("Escape");
assert.ok(!(await page.locator("#detail").evaluate((dialog) => dialog.open)));
assert.deepEqual(faults, []);

// === A time just under a power of ten, where a logarithmic axis once found no end ===

await page.evaluate(async () => {
  const { createTimeChart } = await import(new URL("assets/charts.js", document.baseURI));
  const box = document.body.appendChild(document.createElement("div"));
  box.style.height = "200px";
  for (const low of [0.0973, 0.00983, 0.0999]) createTimeChart(box, 2500)([[1, 0, 0, 0, 0, low, 1, 2], [2, 0, 0, 0, 0, low, 1, 2]]);
  box.remove();
});

// === Dark, and narrow ===

for (const [name, viewport, scheme] of [["dark", { width: 1440, height: 1000 }, "dark"], ["narrow", { width: 390, height: 844 }, "light"], ["narrow-dark", { width: 390, height: 844 }, "dark"]]) {
  const { page, faults } = await open(name, viewport, scheme);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: wider than its window`);
  if (name !== "narrow-dark") await picture(page, `dashboard-${name}`, true);
  await accessible(page, name);
  assert.deepEqual(faults, []);
  await page.context().close();
}
await browser.close();
