// The complete list behind a ranking or a number: every network, account or other value with its counts, in pages.

import { request } from "./api.js";
import { byId, createButton, createElement, formatCode, formatCount, formatPlace, formatTime, linkTo } from "./elements.js";
import { filterQuery, navigate, readLocation } from "./location.js";

const PAGE = 50;
const KINDS = {
  net: ["Networks", "Network", (value) => value], asn: ["Autonomous systems", "AS", (value) => `AS${value}`], country: ["Countries", "Country", (value) => value],
  user: ["Accounts", "Account", (value) => value], client: ["App clients", "Client", (value) => value || "none"], reason: ["Reasons that raise the score", "Reason", formatCode], decided_by: ["Decided by", "Rule", formatCode],
};
const COLUMNS = [["total", "Sign-ins"], ["got_in", "Got in"], ["stopped", "Stopped"], ["failed", "Failed"], ["last", "Newest"]];
let shown = null;

/** The state of a list: `changes` may replace the filters and the range. */
export const listState = (of, changes = {}) => ({ view: "list", of, sort: null, offset: 0, id: null, ...changes });

/** A link to the complete list of a kind. */
export const createListLink = (of, text, changes) => linkTo("", text, listState(of, changes));

/** Shows the list that the URL names. A poll does not move rows under the pointer or the focus. */
export async function showList(moved) {
  const { of, sort, offset } = readLocation();
  const kind = KINDS[of] ? of : "net";
  const [title, heading, format] = KINDS[kind];
  const query = `of=${kind}&sort=${sort ?? "total"}&offset=${offset}&limit=${PAGE}&${filterQuery(readLocation())}`;
  const box = byId("list-body");
  if (!moved && shown === query && box.matches(":hover, :focus-within")) return;
  const answer = await request(`activity/values?${query}`);
  const isFocused = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  shown = query;
  byId("list-title").textContent = title;
  byId("list-shown").textContent = answer.total ? `${formatCount(offset + 1)} to ${formatCount(offset + answer.rows.length)} of ${formatCount(answer.total)}, in the chosen range and filters` : "";
  box.replaceChildren(answer.rows.length ? createTable(kind, heading, format, sort ?? "total", answer.rows) : createElement("p", "empty", "None in this range with these filters."), createPages(answer.total, offset));
  if (isFocused) box.querySelector(`[data-key="${CSS.escape(isFocused)}"]`)?.focus({ preventScroll: true });
}

function createTable(of, heading, format, sort, rows) {
  const hasPlace = of === "net" || of === "user";
  const head = createElement("tr", "", createHead(heading), hasPlace ? createHead("From", "wide") : null, ...COLUMNS.map(([name, title]) => {
    const button = createButton("link", title, () => navigate({ sort: name, offset: 0 }));
    button.dataset.key = `sort-${name}`;
    const cell = createHead(button, name === "last" ? "wide" : "number");
    cell.setAttribute("aria-sort", sort === name ? "descending" : "none");
    return cell;
  }), of === "user" ? null : createHead("Accounts that got in", "number wide"));
  const body = rows.map((row) => {
    const text = format(row.value);
    const filters = { ...readLocation().filters, [of]: String(row.value) };
    const link = of === "user" ? linkTo("mono", text, { view: "user", who: row.value, id: null }) : linkTo(of === "net" ? "mono" : "", text, { view: "decisions", id: null, filters });
    link.dataset.key = String(row.value);
    const counts = COLUMNS.slice(0, 4).map(([name]) => createElement("td", "number", row[name] ? linkTo("", formatCount(row[name]), { view: "decisions", id: null, filters: { ...filters, ...narrowTo(name) } }) : "0"));
    return createElement("tr", "", createElement("td", "name", link), hasPlace ? createElement("td", "wide", formatPlace(row)) : null, ...counts, createElement("td", "wide", formatTime(row.last)),
      of === "user" ? null : createElement("td", "number wide", formatCount(row.accounts_in)));
  });
  const table = createElement("table", "list", createElement("thead", "", head), createElement("tbody", "", ...body));
  table.setAttribute("aria-labelledby", "list-title");
  return table;
}

/** The filter behind a column, so that a count leads to exactly its decisions. */
const narrowTo = (column) => ({ got_in: { outcome: "got_in" }, failed: { outcome: "failed" }, stopped: { decision: "stopped" } })[column] ?? {};

function createHead(content, className = "") {
  const cell = createElement("th", className, content);
  cell.scope = "col";
  return cell;
}

function createPages(total, offset) {
  const page = (text, to, isPossible) => {
    const button = createButton("", text, () => navigate({ offset: to }));
    button.disabled = !isPossible;
    button.dataset.key = text;
    return button;
  };
  const pages = createElement("p", "buttons", page("Previous", Math.max(offset - PAGE, 0), offset > 0), page("Next", offset + PAGE, offset + PAGE < total));
  pages.hidden = total <= PAGE;
  return pages;
}
