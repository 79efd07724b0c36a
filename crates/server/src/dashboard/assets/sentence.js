// The state of the pool in one sentence. It is the same whatever the range and the filters are; a number of a filter says so.

import { showChanges } from "./changes.js";
import { byId, formatCode, formatCount, formatDate, formatPercent, formatPeriod, formatTime, linkTo, plural } from "./elements.js";
import { listState } from "./lists.js";
import { attackState, rangeOf, readLocation } from "./location.js";
import { acceptThresholds } from "./performance.js";

const RANGE_LABELS = { "10m": "ten minutes", "1h": "hour", "6h": "six hours", "24h": "24 hours", "7d": "seven days", "30d": "30 days" };
const KINDS = { credential_stuffing: "credential stuffing", password_guessing: "password guessing" };

/** Shows the state in one sentence. Its parts lead to what they name. */
export function showSentence(summary, mayView) {
  const { attack } = summary;
  const detected = attack ? null : summary.detector?.attack;
  const isAttack = Boolean(detected || attack);
  const parts = attack ? describeAttack(summary, mayView) : detected ? describeDetected(detected, summary.detector, mayView) : describeCalm(summary, mayView);
  parts.push(...describeStopped(summary, isAttack), ...describeChange(summary));
  const text = parts.map((part) => (typeof part === "string" ? part : part.textContent)).join("");
  const sentence = byId("sentence");
  sentence.classList.toggle("alarm", isAttack);
  sentence.classList.toggle("warn", !isAttack && Boolean(summary.wrongly_stopped?.is_ongoing));
  // The sentence is replaced only when it has changed: a reader of the page may have the focus in it.
  if (sentence.textContent !== text && !sentence.matches(":focus-within")) sentence.replaceChildren(...parts);
  document.title = isAttack ? "Under attack – riskgate" : "riskgate";
  acceptThresholds(summary.thresholds);
  showChanges(summary);
}

/** The attack that the pool's detector reports, from the counts of all processes, while the stored decisions show none. */
function describeDetected(detected, detector, mayView) {
  const pool = detector.pool ? ` on ${detector.pool}` : "";
  const parts = [`Under attack${pool} since ${formatTime(detected.since * 1000)}: ${KINDS[detected.kind] ?? formatCode(detected.kind)}, ${plural(detected.attempts, "attempt")} on `];
  const state = rangeOf(detected.since, null, { reason: "attack_wave" });
  const list = (of, text) => (mayView ? linkTo("", text, { ...listState(of), ...state }) : text);
  parts.push(list("user", plural(detected.accounts, "account")), " from ", list("net", plural(detected.networks, "network")));
  if (detected.sources.length) parts.push(`, most from ${detected.sources.slice(0, 3).join(", ")}`);
  parts.push("; ", ...describeLetIn(detected.accounts_let_in?.total ?? detected.let_in, state, mayView), ".");
  if (detector.pools_under_attack > 1) parts.push(` ${plural(detector.pools_under_attack - 1, "more pool")} under attack.`);
  return parts;
}

function describeAttack(summary, mayView) {
  const { attack, now } = summary;
  const start = summary.is_live ? "Under attack " : `The log ends at ${formatDate(now * 1000)}, under attack `;
  const parts = [start, linkTo("", `since ${formatTime(attack.from * 1000)}`, attackState(attack)), ": ", ...describeSources(attack, mayView)];
  const quiet = now - attack.last;
  if (quiet > 120) parts.push(` The newest attempt was ${plural(Math.round(quiet / 60), "minute")} ago.`);
  return parts;
}

/** From where, at whom, and with what success. A link replaces the filters in force: a filter for another network would hide the attack. */
function describeSources(attack, mayView) {
  const state = attackState(attack);
  const list = (of, text) => (mayView ? linkTo("", text, { ...state, ...listState(of) }) : text);
  const attempts = plural(attack.attempts, "attempt");
  const parts = [`${KINDS[attack.kind] ?? formatCode(attack.kind)}, `, mayView ? linkTo("", attempts, { ...state, view: "decisions" }) : attempts,
    " on ", list("user", plural(attack.accounts, "account")), " from ", list("net", plural(attack.networks, "network"))];
  attack.named.forEach(({ asn, attempts, usual }, index) => {
    parts.push(index ? ", " : ", most from ", linkTo("", `AS${asn}`, { ...state, filters: { ...state.filters, asn: String(asn) } }), ` (${formatCount(attempts)}${usual >= 1 ? `, usually ${formatCount(Math.round(usual))}` : ""})`);
  });
  if (attack.countries.length) parts.push(` in ${attack.countries.join(", ")}`);
  if (attack.clients.length) parts.push(`, at the app client${attack.clients.length > 1 ? "s" : ""} ${attack.clients.join(", ")}`);
  const all = Math.max(attack.attempts, 1);
  parts.push(`. ${formatPercent(attack.stopped / all)} were stopped, ${formatPercent(attack.failed / all)} had a wrong password; `, ...describeLetIn(attack.got_in, state, mayView), ".");
  return parts;
}

/** How many accounts were let in, as a link to the list of exactly these. */
function describeLetIn(count, state, mayView) {
  if (!count) return ["no account was let in"];
  const text = plural(count, "account");
  return [mayView ? linkTo("", text, { ...state, ...listState("user", { sort: "got_in" }), filters: { ...state.filters, outcome: "got_in" } }) : text, count === 1 ? " was let in" : " were let in"];
}

function describeCalm(summary, mayView) {
  const [, review, challenge, deny] = summary.decisions;
  const { from, until, range, filters } = readLocation();
  const isFiltered = Object.keys(filters).length > 0;
  const named = from || until ? "the chosen range" : `${summary.is_live ? "the last" : "its last"} ${RANGE_LABELS[range] ?? "range"}`;
  const parts = [summary.is_live ? "No attack. " : `The log ends at ${formatDate(summary.now * 1000)}, without an attack. `];
  const count = isFiltered ? `With these filters, ${plural(summary.total, "sign-in")}` : plural(summary.total, "sign-in");
  if (!summary.total) parts.push(isFiltered ? `No sign-ins with these filters in ${named}.` : `No sign-ins in ${named}.`);
  else parts.push(`${count} in ${named}: ${formatPercent((deny + challenge) / summary.total)} stopped or challenged, ${formatPercent(review / summary.total)} flagged.`);
  const last = summary.last_attack;
  if (last) {
    const period = linkTo("", formatPeriod(last.from, last.to), attackState(last));
    parts.push(" The last attack was ", period, ": ", ...describeSources(last, mayView));
  } else if (summary.since) parts.push(` None since ${formatTime(summary.since * 1000)}, where the decisions begin.`);
  return parts;
}

/** Owners who were stopped in a mass, and the change before it. */
function describeStopped(summary, isAttack) {
  const mass = summary.wrongly_stopped;
  if (!mass) return [];
  const owners = `${isAttack ? " Apart from it, o" : " O"}wners ${mass.is_ongoing ? "are probably being" : "were probably"} stopped wrongly`;
  const time = mass.is_ongoing ? `since ${formatTime(mass.from * 1000)}` : `from ${formatTime(mass.from * 1000)} to ${formatTime(mass.to * 1000)}`;
  const [most] = mass.named;
  const isOne = mass.asns === 1;
  const place = isOne ? [most.asn && `AS${most.asn}`, mass.country].filter(Boolean).join(" ") || "one place" : `${plural(mass.asns, "AS", "AS")}, most from ${mass.named.map(({ asn, stopped }) => `AS${asn} (${formatCount(stopped)})`).join(", ")}`;
  const state = { view: "findings", id: null, ...rangeOf(mass.from, mass.is_ongoing ? null : mass.to, isOne && most.asn ? { asn: String(most.asn) } : {}) };
  const parts = [
    `${owners} ${time}: ${plural(mass.stopped, "sign-in")} of ${plural(mass.accounts, "account")} in ${plural(mass.networks, "network")} of ${place}; `,
    linkTo("", `${formatCount(mass.proven)} of them`, state),
    " were proven right by the account's own device or network.",
  ];
  if (mass.change) parts.push(` Before it, at ${formatTime(mass.change.at * 1000)}, this changed: ${mass.change.text}.`);
  return parts;
}

/** The newest change of the configuration, or that there was none. */
function describeChange(summary) {
  const { change, wrongly_stopped: mass, since } = summary;
  if (!change) return since ? [" No threshold, model or mode has changed since ", linkToChanges(formatTime(since * 1000)), "."] : [];
  if (mass?.change?.at === change.at) return [];
  const clients = change.clients.filter(Boolean);
  return [" Changed at ", linkToChanges(formatTime(change.at * 1000)), `: ${clients.length ? `${clients.join(", ")}: ` : ""}${change.text}.`];
}

const linkToChanges = (text) => linkTo("", text, { view: "changes", id: null });
