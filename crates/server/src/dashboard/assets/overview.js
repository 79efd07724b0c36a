// The overview: the accounts that were let in, sign-ins over time, and rankings whose values are filters.

import { byId, createButton, createElement, createLink, formatCode, formatCount, formatDate, formatPercent, formatTime, linkTo, plural } from "./elements.js";
import { listState } from "./lists.js";
import { readLocation, toggleFilter, urlOf } from "./location.js";
import { showTimeline } from "./timeline.js";

export { showSentence } from "./sentence.js";

const RANKINGS = [
  ["net", "Networks", (v) => [v.value, v.country, v.asn && `AS${v.asn}`].filter(Boolean).join(" · ")],
  ["asn", "Autonomous systems", (v) => `AS${v.value}`],
  ["country", "Countries", (v) => v.value],
  ["user", "Accounts", (v) => v.value],
  ["client", "App clients", (v) => v.value || "none"],
  ["reason", "Reasons that raise the score", (v) => formatCode(v.value)],
  ["decided_by", "Decided by", (v) => formatCode(v.value)],
];

/** Shows a summary. */
export function showOverview(summary) {
  showLetIn(summary);
  showFigures(summary);
  showSessions(summary.sessions);
  showTimeline(summary);
  showRankings(summary);
  const sampled = summary.unsampled ? ` ${formatCount(summary.unsampled)} more were counted, not stored: too many at once.` : "";
  byId("coverage").textContent = `Rankings, filters and decisions cover ${plural(summary.stored, "stored decision")} since ${formatDate(summary.stored_since * 1000)}.${sampled}`
    + (summary.unreadable ? ` ${plural(summary.unreadable, "line")} of the log could not be read.` : "");
}

/** The accounts to act on, each with its sign-in. The server names them only to those who may view them. */
function showLetIn(summary) {
  const attack = summary.attack ?? summary.detector?.attack ?? summary.last_attack;
  const { total, listed } = attack?.accounts_let_in ?? { total: 0, listed: [] };
  const panel = byId("let-in");
  if (panel.matches(":focus-within, :hover") && total) return;
  panel.hidden = !total;
  const time = attack?.to ? ` of ${formatTime(attack.from * 1000)} to ${formatTime(attack.to * 1000)}` : "";
  byId("let-in-title").textContent = `Accounts let in by the attack${time}`;
  byId("let-in-shown").textContent = total > listed.length ? `the newest ${listed.length} of ${formatCount(total)}` : plural(total, "account");
  byId("let-in-accounts").replaceChildren(...listed.map(({ user, id, at, outcome, why }) => createElement("li", "row",
    createLink("", user, { view: "user", who: user, id: null }, urlOf({ ...readLocation(), view: "user", who: user })),
    createElement("span", "figures-text", `${formatTime(at)}, ${formatCode(outcome)}, ${why} `, createLink("", "decision", { view: "decision", id }, urlOf({ ...readLocation(), view: "decision", id }))))));
}

function showFigures(summary) {
  byId("total").textContent = formatCount(summary.total);
  ["allow", "review", "challenge", "deny"].forEach((name, at) => {
    byId(`figure-${name}`).textContent = formatCount(summary.decisions[at]);
    byId(`figure-${name}-note`).textContent = summary.total ? formatPercent(summary.decisions[at] / summary.total) : "–";
  });
  byId("figure-degraded").textContent = formatCount(summary.degraded);
}

function showSessions(sessions) {
  const box = byId("sessions");
  box.hidden = !sessions.verified;
  if (box.hidden || box.matches(":focus-within")) return;
  const parts = [["verified", "judged again with the address that the user pool saw"], ["contradicted", "contradicted"], ["moved", "moved too fast"], ["challenged", "challenged"], ["denied", "denied"], ["revoked", "revoked"]]
    .filter(([name]) => sessions[name])
    .flatMap(([name, text], index) => [index ? ", " : "", createButton("link", `${formatCount(sessions[name])} ${text}`, () => toggleFilter("session", name))]);
  box.replaceChildren("Sessions: ", ...parts, ".");
}

function showRankings(summary) {
  const active = readLocation().filters;
  const panels = RANKINGS.filter(([name]) => summary.rankings[name]).map(([name, title, label]) => {
    const { values, listed } = summary.rankings[name];
    const most = Math.max(...listed.map((value) => value.suspicious || value.total), 1);
    const rows = listed.map((value) => createRankingRow(name, value, label(value), most, active[name] === String(value.value)));
    const panel = createElement("section", "panel ranking",
      createElement("div", "head", createElement("h2", "", title), createElement("span", "aside", values > listed.length ? linkTo("", `all ${formatCount(values)}`, listState(name)) : "")),
      rows.length ? createElement("ol", "rows", ...rows) : createElement("p", "empty", "None in this range."));
    panel.setAttribute("aria-label", title);
    return [name, panel];
  });
  const box = byId("rankings");
  // Rows do not move under the pointer or the focus.
  if (box.matches(":focus-within") && box.dataset.query === location.search) return;
  if (box.matches(":hover") && box.dataset.query === location.search && box.childElementCount) return;
  box.dataset.query = location.search;
  const note = "Ranked by suspicious sign-ins: those that were stopped or had a wrong password, and are not from a device or an address that the account has used before. A stopped sign-in was denied or challenged; one that got in had the right password.";
  box.replaceChildren(createElement("p", "aside full", note), ...panels.map(([, panel]) => panel));
}

function createRankingRow(name, value, text, most, pressed) {
  const button = createButton("filter", text, () => toggleFilter(name, value.value));
  button.setAttribute("aria-pressed", String(pressed));
  button.title = `${pressed ? "Remove the filter" : "Filter by"} ${text}`;
  const bar = createElement("span", "bar");
  bar.setAttribute("aria-hidden", "true");
  for (const [className, share] of [["failed", value.suspicious / most], ["deny", Math.min(value.stopped, value.suspicious) / most]]) {
    const fill = createElement("i", className);
    fill.style.width = `${Math.min(share, 1) * 100}%`;
    bar.append(fill);
  }
  const counts = [[value.stopped, "stopped"], [value.failed, "failed"], [value.got_in, "got in"]].filter(([count]) => count).map(([count, name]) => `${formatCount(count)} ${name}`);
  const figures = createElement("span", "figures-text", `${counts.join(", ") || "no outcome"} of ${formatCount(value.total)}`);
  figures.title = `${formatCount(value.suspicious)} suspicious`;
  const row = createElement("li", "row", button, bar, figures);
  if (name === "user") row.append(linkTo("timeline-link", "timeline", { view: "user", who: value.value, id: null }));
  return row;
}
