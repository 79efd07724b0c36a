// Likely mistakes, each with buttons that label it.

import { request } from "./api.js";
import { byId, createElement } from "./elements.js";
import { filterQuery, readLocation } from "./location.js";
import { createShortTable } from "./decisions.js";
import { createLabelButtons } from "./actions.js";

/** Shows the likely false positives and the likely missed attacks of the range and the filters. */
export async function showFindings() {
  const findings = await request(`activity/findings?${filterQuery(readLocation())}`);
  for (const [id, rows, empty] of [
    ["false-positives", findings.false_positives, "Nobody was stopped and then proven right."],
    ["missed-attacks", findings.missed_attacks, "No sign-in was let in and then reported or contradicted."],
  ]) {
    const box = byId(id);
    if (box.matches(":focus-within, :hover") && box.childElementCount) continue;
    box.replaceChildren(rows.length ? createShortTable(rows, box.dataset.label, (row) => createElement("span", "buttons", ...createLabelButtons(row.id))) : createElement("p", "empty", Object.keys(readLocation().filters).length ? `${empty.slice(0, -1)}, with these filters.` : empty));
  }
}
