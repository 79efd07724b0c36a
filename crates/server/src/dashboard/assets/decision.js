// One decision with everything that led to it. Its path, /d/ID, is a permalink.

import { request } from "./api.js";
import { byId, createElement, createFacts, createVerdict, formatCode, formatDate, formatSigned } from "./elements.js";
import { permalinkOf } from "./location.js";
import { createFilterButton, createUserLink } from "./decisions.js";
import { createActions, createLabelButtons } from "./actions.js";

/** Shows a decision. `settings` has the meanings of the reasons. */
export async function showDecision(id, settings) {
  const box = byId("decision-body");
  const decision = await request(`activity/decisions/${encodeURIComponent(id)}`);
  const list = decision.list_entry ? `, entry ${decision.list_entry}` : "";
  byId("decision-title").replaceChildren(createVerdict(decision), `: score ${decision.score.toFixed(1)}`);
  const share = 10 ** (-decision.score / 25);
  const rarity = decision.score <= 0 ? "Nothing about this sign-in is unusual." : `About one legitimate sign-in in ${new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 }).format(1 / share)} looks at least this risky.`;
  const used = decision.thresholds;
  const changed = decision.thresholds_changed;
  const thresholds = used ? ` Thresholds then: review from ${used.review}, ${used.challenge == null ? "no challenges" : `challenge from ${used.challenge}`}, deny from ${used.deny}${changed ? `; changed at ${formatDate(changed.at * 1000)}: ${changed.text}` : ""}.` : "";
  const largest = Math.max(Math.abs(decision.base ?? 0), ...decision.reasons.map((reason) => Math.abs(reason.weight)), 0.1);
  const pairs = (map) => Object.entries(map ?? {}).map(([source, text]) => `${source} ${formatCode(text)}`).join(", ");
  box.replaceChildren(
    createElement("p", "decided-by", createElement("b", "", "Decided by "), `${formatCode(decision.decided_by ?? "thresholds")}${list}.${thresholds} ${rarity}`),
    createElement("h3", "", "Weights"),
    createElement("div", "weights",
      createWeightRow("base", decision.base ?? 0, largest, "log-odds before any evidence"),
      ...decision.reasons.map((reason) => createWeightRow(formatCode(reason.code), reason.weight, largest, [reason.detail, settings.meanings?.[reason.code]].filter(Boolean).join(" – "))),
      createWeightRow("log-odds", decision.log_odds ?? 0, largest, "the sum")),
    createElement("h3", "", "Inputs"),
    createFacts([
      ["id", createPermalink(decision.id)], ["time", formatDate(decision.at)], ["outcome", decision.outcome && formatCode(decision.outcome)], ["session", decision.session && formatSession(decision.session)], ["mode", decision.mode], ["context", decision.context],
      ["account", decision.user && createUserLink(decision.user)], ["network", decision.net && createFilterButton("net", decision.net)], ["device", decision.device && createFilterButton("device", decision.device)], ["country, AS", createPlace(decision)], ["client", decision.client && createFilterButton("client", decision.client)], ["pool", decision.pool],
      ["tenant", decision.tenant], ["trigger", formatCode(decision.trigger ?? "")], ["evidence", pairs(decision.evidence)], ["missing", pairs(decision.missing)],
      ["fallback", decision.fallback], ["took", `${decision.elapsed_ms} ms`], ["model", decision.model],
    ]),
    createElement("h3", "", "Actions"),
    createElement("div", "actions", ...createLabelButtons(decision.id), ...createActions({ ...decision, asn: isLikelyOwner(decision) ? null : decision.asn })));
}

/** Whether the sign-in was probably by the owner: no advice to suspend a whole AS stands there. */
const isLikelyOwner = (decision) => ["success", "not_fraud", "challenge_passed"].includes(decision.outcome) || decision.reasons.some(({ code, weight }) => weight < 0 && ["known_device", "known_network", "known_ip"].includes(code));

function createPermalink(id) {
  const link = createElement("a", "mono", id);
  link.href = permalinkOf(id);
  link.title = "The link to this decision alone";
  return link;
}

function createPlace({ country, asn }) {
  if (!country && !asn) return null;
  return createElement("span", "", createFilterButton("country", country), " ", createFilterButton("asn", asn, asn && `AS${asn}`));
}

function formatSession({ result, score, contradicted, moved }) {
  const found = [contradicted && "the claimed address is contradicted", moved && "it moved faster than anyone travels"].filter(Boolean);
  return `${result}: score ${score.toFixed(1)} with the address that the user pool saw${found.length ? `, ${found.join(", ")}` : ""}`;
}

function createWeightRow(name, weight, largest, why) {
  const bar = createElement("span", "bar diverging");
  bar.setAttribute("aria-hidden", "true");
  const fill = createElement("i", weight > 0 ? "deny" : "allow");
  const half = Math.min(Math.abs(weight) / largest, 1) * 50;
  fill.style.width = `${half}%`;
  fill.style.left = weight > 0 ? "50%" : `${50 - half}%`;
  bar.append(fill);
  return createElement("div", "row", createElement("span", "name", name), bar, createElement("span", "figures-text", formatSigned(weight)), why ? createElement("span", "why", why) : null);
}
