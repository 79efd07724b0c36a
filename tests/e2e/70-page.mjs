// Looks at the page as an analyst on call does, during the attack of the demo: by mouse, by keyboard, and through axe.
// 70-page.mjs URL AUDIT TOKEN [PICTURES]
// SIGN_INS is the URL of the demo if the page at URL reads its decisions from a store. LATER is the number of decisions after which the
// permalink is opened, 10000 by default. With SHORT, what does not depend on the source is left out.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [url, audit, token, pictures] = process.argv.slice(2);
const fromStore = Boolean(process.env.SIGN_INS);
const isShort = Boolean(process.env.SHORT);
const signIns = process.env.SIGN_INS ?? url;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function open(name, viewport, colorScheme, path = "") {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(`${name}: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`${name}: ${error.message}`));
  page.on("response", (answer) => answer.status() >= 400 && faults.push(`${name}: ${answer.status()} for ${answer.url()}`));
  page.on("request", (request) => request.url().startsWith(url) || faults.push(`${name}: asks ${request.url()}`));
  const answer = await page.goto(url + path);
  assert.match(answer.headers()["content-security-policy"], /default-src 'none'.*script-src 'self'/);
  return { page, faults };
}

const picture = (page, name, fullPage) => (pictures ? page.screenshot({ path: `${pictures}/${name}.png`, fullPage }) : undefined);

async function accessible(page, name) {
  if (isShort) return;
  const violations = await page.evaluate(`${axe}; axe.run().then((found) => found.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html).join(" | ")))`);
  assert.deepEqual(violations, [], name);
}

const see = (page, view) => page.locator(`nav a[data-state*='"${view}"']`).click();
const api = async (path, options = {}) => (await fetch(`${url}v1/${path}`, { ...options, headers: { authorization: `Bearer ${token}`, ...options.headers } })).json();
const sentence = (page) => page.locator("#sentence").textContent();

// === Without a token: aggregates only ===

const anonymous = await open("anonymous", { width: 1440, height: 900 }, "light");
await anonymous.page.waitForFunction(() => /No attack\.|Under attack/.test(document.querySelector("#sentence").textContent), null, { timeout: 30000 });
await anonymous.page.waitForFunction(() => document.querySelectorAll("#rankings .row").length > 3, null, { timeout: 30000 });
assert.doesNotMatch(await anonymous.page.locator("#rankings").textContent(), /Accounts|Networks/);
await see(anonymous.page, "decisions");
await anonymous.page.waitForSelector("#view-locked:not([hidden])");
assert.equal(await anonymous.page.locator("#rows tr").count(), 0);
await accessible(anonymous.page, "anonymous");
await anonymous.page.context().close();

// === With the token of the printed link, which leaves the URL ===

const { page, faults } = await open("analyst", { width: 1440, height: 1000 }, "light", `#token=${token}`);
await page.waitForFunction(() => document.querySelector("#who").textContent.startsWith("operator"));
assert.ok(!page.url().includes("token"), page.url());

// === The attack is named within 15 seconds of its start ===

// The demo marks the start of its attack; a store has no such mark.
const started = async () => (await (await fetch(`${signIns}v1/activity?range=1h`)).json()).marks.find(([, text]) => text === "credential stuffing")?.[0];
await page.waitForFunction(() => document.querySelector("#sentence").textContent.startsWith("Under attack since"), null, { timeout: 180000, polling: 200 });
const late = Date.now() / 1000 - (await started());
// The time is the requirement's own. The demo runs at its own speed here. In the short form a slow emulator shares the machine with builds.
assert.ok(late <= (isShort ? 60 : 15), `named ${late.toFixed(1)} s after its start`);
// It names an AS as soon as one has two of the risky sign-ins.
const described = /credential stuffing, [\d,]+ attempts on [\d,]+ accounts? from [\d,]+ networks?, most from AS\d+ \([\d,]+.* [\d.]+ % were stopped, [\d.]+ % had a wrong password; /;
await page.waitForFunction((pattern) => new RegExp(pattern).test(document.querySelector("#sentence").textContent), described.source, { timeout: 30000 });
assert.match(await sentence(page), described);
console.log(`  named after ${late.toFixed(1)} s: ${await sentence(page)}`);
await page.waitForTimeout(isShort ? 0 : 6000);
await picture(page, "dashboard-light", true);
await accessible(page, "overview");

// === Three clicks: the network, its targets, the timeline of one ===

// A filter that is in force does not hide the attack: the link replaces it. The list has as many rows as the sentence says, in pages of fifty.
const parameter = (name) => page.evaluate((name) => new URLSearchParams(location.search).get(name), name);
await page.goto(`${url}?range=1h&country=ZZ`);
await page.waitForFunction(() => document.querySelector("#chips").textContent.includes("Country: ZZ"));
await page.locator("#sentence a", { hasText: "network" }).click();
await page.waitForFunction(() => document.querySelectorAll("#list-body tbody tr").length > 0);
assert.equal(await parameter("country"), null);
assert.ok(Number(await parameter("from")) >= (await started()) - 60, "the list begins with the attack");
assert.equal(await parameter("until"), null, "an attack that goes on has no end");
await picture(page, "dashboard-list", true);
await accessible(page, "list");
const net = await page.locator("#list-body tbody a.mono").first().textContent();
await page.locator("#list-body tbody a.mono").first().click();
await page.waitForSelector("#view-decisions:not([hidden]) #rows tr[data-id]");
assert.equal(await parameter("net"), net);
assert.ok(await page.getByRole("button", { name: "Suspend network" }).isVisible());
await page.locator("#rows .user a").first().click();
await page.waitForSelector("#view-user:not([hidden]) table.short tbody tr");
const target = await parameter("who");
// Range and filters stay, Escape goes back to where the account was opened.
assert.equal(await parameter("net"), net);
await page.keyboard.press("Escape");
await page.waitForSelector("#view-decisions:not([hidden]) #rows tr[data-id]");
await page.goBack();
await page.goForward();
await page.waitForSelector("#view-decisions:not([hidden]) #rows tr[data-id]");
await page.goto(`${url}?view=user&who=${target}&range=1h&net=${net}`);
await page.waitForSelector("#view-user:not([hidden]) table.short tbody tr");
assert.match(await page.locator("#user-title").textContent(), new RegExp(target));
await picture(page, "dashboard-account", true);
await accessible(page, "account");

// === Suspend, with a note; the command, the audit line; undo ===

const suspended = async () => (await api(`activity/users/${target}`)).records.some((record) => record.block?.kind === "suspend");
assert.equal(await suspended(), false);
await page.getByRole("button", { name: "Suspend account" }).click();
await page.locator("#action-submit").click();
assert.ok(await page.locator("#action").evaluate((dialog) => dialog.open), "an action without a note");
assert.match(await page.locator("#action-effect").textContent(), /Denies every sign-in of this account/);
assert.equal(await page.locator("#action-submit").textContent(), "Suspend");
await page.fill("#action-note", "target of the wave <img src=x onerror=alert(1)>");
await accessible(page, "dialog");
await page.keyboard.press("Tab");
await page.locator("#action-submit").click();
// What was done stands beside the button, with its undoing.
await page.waitForFunction(() => /Account suspended until .* by ada/.test(document.querySelector("#user-body .action-state")?.textContent ?? ""));
assert.equal(await suspended(), true);
await see(page, "actions");
await page.waitForFunction((target) => new RegExp(`riskgate block add account '?${target}'? --for 6h --note 'target of the wave <img`).test(document.querySelector("#actions-list").textContent), target);
assert.equal(await page.locator("#actions-list img").count(), 0);
await accessible(page, "actions");
await page.getByRole("button", { name: "Undo" }).first().click();
await page.fill("#action-note", "it was the target, not the attacker");
await page.locator("#action-submit").click();
await page.waitForFunction(() => /Undone by ada at [\d:]+: “it was the target/.test(document.querySelector("#actions-list").textContent));
assert.equal(await suspended(), false);
const actionLines = () => readFileSync(audit, "utf8").split("\n").filter((line) => line.includes('"trigger":"operator"') && line.endsWith("}")).map((line) => JSON.parse(line));
// The page does not wait for the audit log.
for (let tries = 0; actionLines().length < 2 && tries < 50; tries += 1) await page.waitForTimeout(100);
const lines = actionLines();
assert.deepEqual(lines.map(({ operator, operation, subject, value }) => [operator, operation, subject, value]), Array(2).fill(["ada", "suspend", "user", target]));
assert.equal(lines[1].undoes, lines[0].action_id);

// === Decisions: filters combine, every filtered value is visible, the explanation begins with what decided ===

await page.goto(`${url}?view=decisions&range=1h`);
await page.waitForFunction(() => document.querySelectorAll("#rows tr[data-id]").length > 10);
await page.selectOption("#decision-filter", "deny");
await page.waitForFunction(() => [...document.querySelectorAll("#rows .verdict")].length > 5 && [...document.querySelectorAll("#rows .verdict")].every((verdict) => verdict.textContent.startsWith("deny")));
const country = await page.locator("#rows .place .cell-filter").first().textContent();
await page.locator("#rows .place .cell-filter").first().click();
await page.waitForFunction((country) => {
  const places = [...document.querySelectorAll("#rows tr[data-id] .place")];
  return places.length > 0 && places.every((place) => place.textContent.startsWith(country));
}, country);
assert.match(await page.locator("#chips").textContent(), /Decision: deny.*Country: /);
await picture(page, "dashboard-decisions", false);
await accessible(page, "decisions");
await page.locator("#rows .open").first().focus();
await page.keyboard.press("Enter");
await page.waitForSelector("#view-decision:not([hidden]) .weights .row");
const permalink = page.url();
assert.match(permalink, /\/d\/[0-9A-Z]{26}\?range=1h&decision=deny&country=/);
assert.match(await page.locator("#chips").textContent(), /Decision: deny.*Country: /, "the filters stay");
assert.match(await page.locator("#decision-body").textContent(), /^Decided by /);
const [sum, parts] = await page.locator("#decision-body .weights .row").evaluateAll((rows) => {
  const weights = rows.map((row) => Number(row.querySelector(".figures-text").textContent.replace("−", "-").replace("±", "")));
  return [weights.at(-1), weights.slice(0, -1).reduce((a, b) => a + b, 0)];
});
assert.ok(Math.abs(sum - parts) < 0.06, `${parts} is not ${sum}`);
await picture(page, "dashboard-explained", true);
await accessible(page, "explained");
await page.keyboard.press("Escape");
await page.waitForSelector("#view-decisions:not([hidden]) #rows tr[data-id]");

// === Outcomes: who got in, who failed ===

for (const [value, words] of [["got_in", /^(success|challenge passed|not fraud|fraud)$/], ["failed", /^(failure|challenge failed)$/]]) {
  await page.goto(`${url}?view=decisions&range=1h`);
  await page.waitForSelector("#rows tr[data-id]");
  await page.selectOption("#outcome-filter", value);
  await page.waitForFunction((value) => new URLSearchParams(location.search).get("outcome") === value, value);
  const { total } = await api(`activity/decisions?range=1h&outcome=${value}&limit=1`);
  assert.ok(total > 0, value);
  await page.waitForFunction((pattern) => [...document.querySelectorAll("#rows .outcome")].length > 0 && [...document.querySelectorAll("#rows .outcome")].every((cell) => new RegExp(pattern).test(cell.textContent)), words.source);
}

// === Find: what is known opens, what is not is said ===

const find = async (text) => {
  await page.fill("#find", text);
  await page.keyboard.press("Enter");
};
await find("nobody-has-this-name");
await page.waitForFunction(() => /“nobody-has-this-name” was not found/.test(document.querySelector("#find-fault").textContent));
assert.equal(await page.getByRole("button", { name: "Suspend account" }).count(), 0);
await find(net);
await page.waitForFunction((net) => new URLSearchParams(location.search).get("net") === net, net);
await find(target);
await page.waitForSelector("#view-user:not([hidden]) table.short tbody tr");
// An account that does not exist offers no action.
await page.goto(`${url}?view=user&who=AAAAAAAAAAAAAAAA`);
await page.waitForFunction(() => /Not found/.test(document.querySelector("#user-body").textContent));
assert.equal(await page.getByRole("button", { name: "Suspend account" }).count(), 0);
// The browser reports the answers 404 that are meant here.
assert.deepEqual(faults.splice(0).filter((fault) => !fault.includes("404")), []);

// === Performance: every panel fills, what-if answers ===

await see(page, "performance");
await page.waitForFunction(() => /sign-ins in the last minute/.test(document.querySelector("#summary").textContent));
const inked = (id) => page.evaluate((id) => {
  const canvas = document.querySelector(`#${id} canvas`);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let inked = 0;
  for (let at = 3; at < data.length; at += 4) inked += data[at] > 0;
  return inked / (data.length / 4);
}, id);
await page.waitForTimeout(1500);
for (const id of ["rate-chart", "time-chart", "score-chart"]) assert.ok((await inked(id)) > 0.01, `${id} is empty`);
for (const [rows, least] of [// A store does not have the time of each part.
  ["#parts .row", fromStore ? 0 : 4], ["#services .service", 1], ["#caches .row", fromStore ? 0 : 1], ["#reasons .row", 3]]) {
  await page.waitForFunction(([rows, least]) => document.querySelectorAll(rows).length >= least, [rows, least], { timeout: 20000 });
}
// Until a minute of successes is over, or in a log, there are no rates.
await page.waitForSelector("#calibration :is(svg.promises, p.empty)");
await picture(page, "dashboard-performance", true);
await accessible(page, "performance");

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

// === The person who was stopped wrongly is listed ===

// The demo has such persons, but with few users in a short run it may take minutes until one is proven right: this one was suspended by mistake.
if (isShort) {
  const post = (address, body) => fetch(address, { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${token}` }, body: JSON.stringify(body) }).then((answer) => answer.json());
  const signIn = () => post(`${signIns}v1/assess`, { user: "suspended-by-mistake", ip: "8.8.8.8", pool: "demo", client: "web", deviceId: "a-device-of-a-person" });
  const succeed = async () => post(`${signIns}v1/outcome`, { id: (await signIn()).id, outcome: "success" });
  await succeed();
  const { user } = await post(`${url}v1/activity/users`, { name: "suspended-by-mistake", pool: "demo" });
  // The page reads new decisions every two seconds. Those of unknown names have no rows while many arrive.
  do {
    await succeed();
    await page.waitForTimeout(3000);
  } while (!(await api(`activity/users/${user}`)).total);
  const { id } = await post(`${url}v1/actions`, { action: "suspend", subject: "user", value: user, note: "a mistake", seconds: 3600 });
  assert.equal((await signIn()).decided_by, "suspended");
  await post(`${url}v1/actions/${id}/undo`, { note: "it was a mistake" });
  await succeed();
}
await page.goto(`${url}?view=findings&range=1h`);
await page.waitForFunction(() => document.querySelectorAll("#false-positives tbody tr").length > 0, null, { timeout: 240000 });
await picture(page, "dashboard-mistakes", true);
await accessible(page, "findings");

// === The permalink opens 10,000 decisions later ===

const body = (number) => JSON.stringify({ user: `later-${number}`, ip: "8.8.8.8", pool: "demo", client: "web" });
const assess = (number) => fetch(`${signIns}v1/assess`, { method: "POST", headers: { "content-type": "application/json" }, body: body(number) });
for (let number = 0; number < Number(process.env.LATER ?? 10000); number += 50) {
  await Promise.all(Array.from({ length: 50 }, async (_, index) => {
    // A connection that was idle for five seconds may be closed while the request is under way.
    const answer = await assess(number + index).catch(() => assess(number + index));
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
  }));
}
await page.goto(permalink);
await page.waitForSelector("#view-decision:not([hidden]) .weights .row");
assert.match(await page.locator("#decision-body").textContent(), /^Decided by /);
assert.deepEqual(faults, []);

// === A time just under a power of ten, where a logarithmic axis once found no end ===

await page.evaluate(async (root) => {
  const { createTimeChart } = await import(`${root}assets/charts.js`);
  const box = document.body.appendChild(document.createElement("div"));
  box.style.height = "200px";
  for (const low of [0.0973, 0.00983, 0.0999]) createTimeChart(box, 2500)([[1, 0, 0, 0, 0, low, 1, 2], [2, 0, 0, 0, 0, low, 1, 2]]);
  box.remove();
}, url);

// === Dark, and narrow ===

for (const [name, viewport, scheme] of isShort ? [] : [["dark", { width: 1440, height: 1000 }, "dark"], ["narrow", { width: 390, height: 844 }, "light"], ["narrow-dark", { width: 390, height: 844 }, "dark"]]) {
  const { page, faults } = await open(name, viewport, scheme, `#token=${token}`);
  await page.waitForFunction(() => document.querySelectorAll("#rankings .row").length > 10);
  for (const view of ["overview", "decisions", "findings", "performance"]) {
    await see(page, view);
    await page.waitForTimeout(700);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}, ${view}: wider than its window`);
    if (name !== "narrow-dark" && view === "overview") await picture(page, `dashboard-${name}`, true);
    await accessible(page, `${name}, ${view}`);
  }
  assert.deepEqual(faults, []);
  await page.context().close();
}
await browser.close();
