// Likely mistakes, each with buttons that label it.

import { request } from "./api.js";
import { byId, createButton, createElement, formatCount, formatDate, formatPlace, formatTime, plural } from "./elements.js";
import { filterQuery, readLocation, toggleFilter } from "./location.js";
import { createShortTable } from "./decisions.js";
import { createLabelButtons } from "./actions.js";

/** AS that are listed above the sign-ins. */
const MAX_GROUPS = 8;

/** Shows the likely false positives and the likely missed attacks of the range and the filters. */
export async function showFindings(moved) {
  const findings = await request(`activity/findings?${filterQuery(readLocation())}`);
  for (const [id, name, empty] of [
    ["false-positives", "false_positives", "Nobody was stopped and then proven right."],
    ["missed-attacks", "missed_attacks", "No sign-in was let in by an attack, or then reported or contradicted."],
  ]) {
    const box = byId(id);
    const rows = findings[name];
    byId(`${id}-shown`).textContent = `since ${formatDate(findings.from * 1000)}: ${rows.length < findings.totals[name] ? `the newest ${rows.length} of ` : ""}${plural(findings.totals[name], "sign-in")} of ${plural(findings.accounts[name], "account")}`;
    // A poll moves nothing under the pointer or the focus.
    if (!moved && box.matches(":focus-within, :hover") && box.childElementCount) continue;
    box.replaceChildren(...(rows.length ? [createGroups(findings.groups[name]), createBulkLabels(rows), createShortTable(rows, box.dataset.label, (row) => createElement("span", "buttons", ...createLabelButtons(row.id)))] : [createElement("p", "empty", Object.keys(readLocation().filters).length ? `${empty.slice(0, -1)}, with these filters.` : empty)]));
  }
}

/** Labels all listed sign-ins at once, when the filters have chosen one network or AS. */
function createBulkLabels(rows) {
  const { net, asn } = readLocation().filters;
  return createElement("div", "actions", ...((net || asn) && rows.length > 1 ? createLabelButtons(...rows.map((row) => row.id)) : []));
}

/** Where the sign-ins come from: the AS, each a filter, with how many there are. */
function createGroups(groups) {
  const items = groups.slice(0, MAX_GROUPS).map((group) => createElement("li", "",
    group.asn ? createButton("link", formatPlace(group), () => toggleFilter("asn", group.asn)) : formatPlace(group),
    `: ${plural(group.sign_ins, "sign-in")} of ${plural(group.accounts, "account")} from ${plural(group.networks, "network")}, ${formatTime(group.from * 1000)} to ${formatTime(group.to * 1000)}`));
  if (groups.length > MAX_GROUPS) items.push(createElement("li", "", `${formatCount(groups.length - MAX_GROUPS)} more AS`));
  const list = createElement("ul", "groups", ...items);
  list.setAttribute("aria-label", "By AS");
  return list;
}
