// What changed: a list, newest first, and the thresholds in force.

import { byId, createElement, createScrollRegion, formatDate } from "./elements.js";

const KINDS = { thresholds: "Thresholds", model: "Model", mode: "Mode", start: "Start", action: "Operator", event: "Event" };

/** Shows the changes of a summary. */
export function showChanges(summary) {
  if (byId("view-changes").hidden) return;
  const box = byId("changes-list");
  const { changes, since, thresholds } = summary;
  const key = JSON.stringify([changes, since, thresholds]);
  if (box.dataset.key === key || box.matches(":focus-within")) return;
  box.dataset.key = key;
  const rows = changes.toReversed().map(({ at, kind, text, clients, who }) => [formatDate(at * 1000), KINDS[kind] ?? kind, text, clients.filter(Boolean).join(", ") || "–", who ?? "not recorded"]);
  const note = since ? `The decisions begin at ${formatDate(since * 1000)}; what changed before is not known.` : "There are no decisions yet.";
  const author = "Thresholds, the model and the mode are variables of the deployment: decisions show their values, not who has set them.";
  box.replaceChildren(
    createElement("p", "aside", `${rows.some(([, kind]) => ["Thresholds", "Model", "Mode"].includes(kind)) ? "" : "No threshold, model or mode has changed. "}${note} ${author}`),
    ...(rows.length ? [createTable(["Time", "What", "Change", "App clients", "By"], rows, "Changes, newest first")] : []));
  byId("thresholds-list").replaceChildren(...(thresholds.length
    ? [createTable(["App client", "Review from", "Challenge from", "Deny from", "Since", "Before: review, challenge, deny"], thresholds.map(formatThresholds), "Thresholds in force")]
    : [createElement("p", "empty", "No decision has named its thresholds yet.")]));
}

function formatThresholds({ client, review, challenge, deny, since, before }) {
  const past = before ? [before.review, before.challenge ?? "off", before.deny].join(", ") : "the same as far as known";
  return [client || "none", review, challenge ?? "off", deny, formatDate(since * 1000), past];
}

function createTable(titles, rows, label) {
  const head = createElement("tr", "", ...titles.map((title) => {
    const cell = createElement("th", "", title);
    cell.scope = "col";
    return cell;
  }));
  const body = rows.map((cells) => createElement("tr", "", ...cells.map((text) => createElement("td", "", String(text)))));
  const table = createElement("table", "", createElement("thead", "", head), createElement("tbody", "", ...body));
  return createScrollRegion(table, label);
}
