// The state of the pool in one sentence. It is the same whatever the range and the filters are; a number of a filter says so.

import { showChanges } from "./changes.js";
import { byId, createButton, createLink, formatCode, formatCount, formatDate, formatPercent, formatTime, plural } from "./elements.js";
import { navigate, rangeOf, readLocation, toggleFilter, urlOf } from "./location.js";
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
  const accounts = plural(detected.accounts, "account");
  parts.push(mayView ? createButton("link", accounts, () => toggleFilter("reason", "attack_wave", "decisions")) : accounts);
  parts.push(` from ${plural(detected.networks, "network")}`);
  if (detected.sources.length) parts.push(`, most from ${detected.sources.slice(0, 3).join(", ")}`);
  parts.push("; ", ...describeLetIn(detected.accounts_let_in?.total ?? detected.let_in, mayView), ".");
  if (detector.pools_under_attack > 1) parts.push(` ${plural(detector.pools_under_attack - 1, "more pool")} under attack.`);
  return parts;
}

function describeAttack(summary, mayView) {
  const { attack, now } = summary;
  const start = summary.is_live ? "Under attack" : `The log ends at ${formatDate(now * 1000)}, under attack`;
  const parts = [`${start} since ${formatTime(attack.from * 1000)}: `, ...describeSources(attack, mayView)];
  const quiet = now - attack.last;
  if (quiet > 120) parts.push(` The newest attempt was ${plural(Math.round(quiet / 60), "minute")} ago.`);
  return parts;
}

/** From where, at whom, and with what success. */
function describeSources(attack, mayView) {
  const filter = (name, value, text) => createButton("link", text, () => toggleFilter(name, value, "overview"));
  const parts = [`${KINDS[attack.kind] ?? formatCode(attack.kind)}, ${plural(attack.attempts, "attempt")} on ${plural(attack.accounts, "account")} from ${plural(attack.networks, "network")}`];
  attack.named.forEach(({ asn, attempts, usual }, index) => {
    parts.push(index ? ", " : ", most from ", filter("asn", asn, `AS${asn}`), ` (${formatCount(attempts)}${usual >= 1 ? `, usually ${formatCount(Math.round(usual))}` : ""})`);
  });
  if (attack.countries.length) parts.push(` in ${attack.countries.join(", ")}`);
  if (attack.clients.length) parts.push(`, at ${attack.clients.join(", ")}`);
  const all = Math.max(attack.attempts, 1);
  parts.push(`. ${formatPercent(attack.stopped / all)} were stopped, ${formatPercent(attack.failed / all)} had a wrong password; `, ...describeLetIn(attack.got_in, mayView), ".");
  return parts;
}

function describeLetIn(count, mayView) {
  if (!count) return ["no account was let in"];
  const text = plural(count, "account");
  return [mayView ? createLink("", text, { view: "findings", id: null }, urlOf({ ...readLocation(), view: "findings" })) : text, count === 1 ? " was let in" : " were let in"];
}

function describeCalm(summary, mayView) {
  const [, review, challenge, deny] = summary.decisions;
  const { until, range, filters } = readLocation();
  const isFiltered = Object.keys(filters).length > 0;
  const named = until || filters.attack ? "the chosen range" : `${summary.is_live ? "the last" : "its last"} ${RANGE_LABELS[range] ?? "range"}`;
  const parts = [summary.is_live ? "No attack. " : `The log ends at ${formatDate(summary.now * 1000)}, without an attack. `];
  const count = isFiltered ? `With these filters, ${plural(summary.total, "sign-in")}` : plural(summary.total, "sign-in");
  if (!summary.total) parts.push(isFiltered ? `No sign-ins with these filters in ${named}.` : `No sign-ins in ${named}.`);
  else parts.push(`${count} in ${named}: ${formatPercent((deny + challenge) / summary.total)} stopped or challenged, ${formatPercent(review / summary.total)} flagged.`);
  const last = summary.last_attack;
  if (last) {
    const period = createButton("link", `${formatTime(last.from * 1000)} to ${formatTime(last.to * 1000)}`, () => navigate(rangeOf(last.from, last.to)));
    parts.push(" The last attack was ", period, ": ", ...describeSources(last, mayView));
  } else if (summary.since) parts.push(` None since ${formatTime(summary.since * 1000)}, where the decisions begin.`);
  return parts;
}

/** Owners who were stopped in a mass, and the change before it. */
function describeStopped(summary, isAttack) {
  const mass = summary.wrongly_stopped;
  if (!mass) return [];
  const verb = mass.is_ongoing ? "are being" : "were";
  const place = [mass.asn && `AS${mass.asn}`, mass.country].filter(Boolean).join(" ") || "one place";
  const time = mass.is_ongoing ? `since ${formatTime(mass.from * 1000)}` : `from ${formatTime(mass.from * 1000)} to ${formatTime(mass.to * 1000)}`;
  const parts = [
    `${isAttack ? " Apart from it, o" : " O"}wners ${verb} probably stopped wrongly ${time}: `,
    createLink("", plural(mass.stopped, "sign-in"), { view: "findings", id: null }, urlOf({ ...readLocation(), view: "findings" })),
    ` of ${plural(mass.accounts, "account")} from ${place} (${plural(mass.networks, "network")}), ${formatCount(mass.proven)} of them proven right by the account's own device or network.`,
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

const linkToChanges = (text) => createLink("", text, { view: "changes", id: null }, urlOf({ ...readLocation(), view: "changes" }));
