// The overview: the state in one sentence, sign-ins over time, and rankings whose values are filters.

import { byId, createButton, createElement, createLink, formatCode, formatCount, formatDate, formatPercent, formatPeriod, formatTime, linkTo, plural } from "./elements.js";
import { listState } from "./lists.js";
import { attackState, rangeOf, readLocation, toggleFilter, urlOf } from "./location.js";
import { showTimeline } from "./timeline.js";

const RANGE_LABELS = { "10m": "ten minutes", "1h": "hour", "6h": "six hours", "24h": "24 hours", "7d": "seven days", "30d": "30 days" };
const KINDS = { credential_stuffing: "credential stuffing", password_guessing: "password guessing" };
const RANKINGS = [
  ["net", "Networks", (v) => [v.value, v.country, v.asn && `AS${v.asn}`].filter(Boolean).join(" · ")],
  ["asn", "Autonomous systems", (v) => `AS${v.value}`],
  ["country", "Countries", (v) => v.value],
  ["user", "Accounts", (v) => v.value],
  ["client", "App clients", (v) => v.value || "none"],
  ["reason", "Reasons that raise the score", (v) => formatCode(v.value)],
  ["decided_by", "Decided by", (v) => formatCode(v.value)],
];

/** Shows a summary. The sentence is about the pool, whatever the filters are. */
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

/** Shows the state in one sentence. Its parts lead to what they name. */
export function showSentence(summary, mayView) {
  const { attack } = summary;
  const detected = summary.detector?.attack;
  const parts = detected ? describeDetected(detected, summary.detector, attack, mayView) : attack ? describeAttack(attack, mayView) : describeCalm(summary, mayView);
  const text = parts.map((part) => (typeof part === "string" ? part : part.textContent)).join("");
  const sentence = byId("sentence");
  sentence.classList.toggle("alarm", Boolean(detected || attack));
  // The sentence is replaced only when it has changed: a reader of the page may have the focus in it.
  if (sentence.textContent !== text && !sentence.matches(":focus-within")) sentence.replaceChildren(...parts);
  document.title = detected || attack ? "Under attack – riskgate" : "riskgate";
}

/** The attack that the pool's detector reports, from the counts of all processes. `attack` is what the stored decisions show of it. */
function describeDetected(detected, detector, attack, mayView) {
  const pool = detector.pool ? ` on ${detector.pool}` : "";
  const kind = KINDS[detected.kind] ?? formatCode(detected.kind);
  const parts = [`${kind[0].toUpperCase()}${kind.slice(1)}${pool} since ${formatTime(detected.since * 1000)}: ${plural(detected.attempts, "attempt")} on `];
  const accounts = plural(detected.accounts, "account");
  parts.push(mayView ? createButton("link", accounts, () => toggleFilter("reason", "attack_wave", "decisions")) : accounts);
  parts.push(` from ${plural(detected.networks, "network")}, `);
  const letIn = `${formatCount(detected.let_in)} let in.`;
  if (detected.let_in && mayView) parts.push(createLink("", letIn, { view: "overview", id: null }, urlOf({ ...readLocation(), view: "overview" })));
  else parts.push(letIn);
  if (detected.sources.length) parts.push(` Most from ${detected.sources.slice(0, 3).join(", ")}.`);
  if (attack) parts.push(` ${formatPercent(attack.stopped / Math.max(attack.risky, 1))} of its risky sign-ins were stopped.`);
  if (detector.pools_under_attack > 1) parts.push(` ${plural(detector.pools_under_attack - 1, "more pool")} under attack.`);
  return parts;
}

function describeAttack(attack, mayView) {
  const parts = ["Under attack ", linkTo("", `since ${formatTime(attack.from * 1000)}`, attackState(attack)), `: ${KINDS[attack.kind] ?? formatCode(attack.kind)}. `];
  parts.push(...describeSources(attack, mayView));
  return parts;
}

/** From where, at whom, and with what success. */
function describeSources(attack, mayView) {
  const state = attackState(attack);
  // A link replaces the filters in force: a filter for another network would hide the attack.
  const list = (of, text) => (mayView ? linkTo("", text, { ...state, ...listState(of) }) : text);
  const parts = [mayView ? linkTo("", plural(attack.risky, "risky sign-in"), { ...state, view: "decisions" }) : plural(attack.risky, "risky sign-in"), " from ", list("net", plural(attack.networks, "network"))];
  if (attack.named.length) {
    parts.push(", most from ");
    attack.named.forEach(({ asn }, index) => parts.push(index ? ", " : "", linkTo("", `AS${asn}`, { ...state, filters: { ...state.filters, asn: String(asn) } })));
  }
  if (attack.countries.length) parts.push(` (${attack.countries.join(", ")})`);
  parts.push(", aimed at ");
  parts.push(list("user", plural(attack.accounts, "account")));
  parts.push(`. ${formatPercent(attack.stopped / Math.max(attack.risky, 1))} were stopped; `);
  if (!attack.got_in) parts.push("no account was let in.");
  else if (mayView) parts.push(linkTo("", plural(attack.got_in, "account"), { ...state, ...listState("user", { sort: "got_in" }), filters: { ...state.filters, outcome: "got_in" } }), " let in.");
  else parts.push(`${plural(attack.got_in, "account")} let in.`);
  return parts;
}

function describeCalm(summary, mayView) {
  const [, review, challenge, deny] = summary.decisions;
  const named = RANGE_LABELS[readLocation().range] ?? "range";
  const range = readLocation().until ? "the chosen range" : `${summary.is_live ? "the last" : "its last"} ${named}`;
  const parts = [summary.is_live ? "No attack. " : `The log ends at ${formatDate(summary.now * 1000)}. `];
  if (!summary.total) parts.push(`No sign-ins in ${range}.`);
  else parts.push(`${plural(summary.total, "sign-in")} in ${range}: ${formatPercent((deny + challenge) / summary.total)} stopped or challenged, ${formatPercent(review / summary.total)} flagged.`);
  const last = summary.last_attack;
  if (last) {
    const period = linkTo("", formatPeriod(last.from, last.to), attackState(last));
    parts.push(" The last attack was ", period, `: ${KINDS[last.kind] ?? formatCode(last.kind)}. `, ...describeSources(last, mayView));
  }
  if (summary.change) {
    const [at, text] = summary.change;
    parts.push(" Changed at ", linkTo("", formatTime(at * 1000), { view: "overview", id: null, ...rangeOf(at - 900, at + 900) }), `: ${text}.`);
  }
  return parts;
}

/** The accounts to act on, each with its sign-in. The server names them only to those who may view them. */
function showLetIn(summary) {
  const attack = summary.detector?.attack ?? summary.attack ?? summary.last_attack;
  const { total, listed } = attack?.accounts_let_in ?? { total: 0, listed: [] };
  const panel = byId("let-in");
  if (panel.matches(":focus-within, :hover") && total) return;
  panel.hidden = !total;
  byId("let-in-shown").textContent = total > listed.length ? `the newest ${listed.length} of ${formatCount(total)}` : plural(total, "account");
  byId("let-in-accounts").replaceChildren(...listed.map(({ user, id, at, outcome }) => createElement("li", "row",
    createLink("", user, { view: "user", who: user, id: null }, urlOf({ ...readLocation(), view: "user", who: user })),
    createElement("span", "figures-text", `${formatTime(at)}, ${formatCode(outcome)} `, createLink("", "decision", { view: "decision", id }, urlOf({ ...readLocation(), view: "decision", id }))))));
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
    const most = Math.max(...listed.map((value) => value.risky || value.total), 1);
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
  box.replaceChildren(...panels.map(([, panel]) => panel));
}

function createRankingRow(name, value, text, most, pressed) {
  const button = createButton("filter", text, () => toggleFilter(name, value.value));
  button.setAttribute("aria-pressed", String(pressed));
  button.title = `${pressed ? "Remove the filter" : "Filter by"} ${text}`;
  const bar = createElement("span", "bar");
  bar.setAttribute("aria-hidden", "true");
  for (const [className, share] of [["review", value.risky / most], ["deny", value.stopped / most]]) {
    const fill = createElement("i", className);
    fill.style.width = `${Math.min(share, 1) * 100}%`;
    bar.append(fill);
  }
  const figures = createElement("span", "figures-text", `${formatCount(value.risky)} risky of ${formatCount(value.total)}`);
  figures.title = `${formatCount(value.stopped)} stopped, ${formatCount(value.got_in)} got in`;
  const row = createElement("li", "row", button, bar, figures);
  if (name === "user") row.append(createLink("timeline-link", "timeline", { view: "user", who: value.value, id: null }, urlOf({ ...readLocation(), view: "user", who: value.value })));
  return row;
}
