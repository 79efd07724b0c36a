// The decisions of the range and the filters: a table of any length, of which only the visible rows are elements.

import { request } from "./api.js";
import { byId, createElement, createScrollRegion, createVerdict, formatCode, formatCount, formatPlace, formatTime, linkTo } from "./elements.js";
import { filterQuery, readLocation, toggleFilter } from "./location.js";

// A narrow window shows each row as a card of two lines. The style sheet has the same heights and width.
const narrow = matchMedia("(max-width: 640px)");
const rowHeight = () => (narrow.matches ? 60 : 34);
const PAGE = 100;
const MAX_PAGES = 40;

/** The table. It fetches the pages that are visible, and forgets others. */
export class DecisionTable {
  constructor() {
    this.scroll = byId("decisions-scroll");
    this.reset();
    this.scroll.addEventListener("scroll", () => {
      // A hidden table scrolls to its top.
      if (this.scroll.clientHeight) this.top = this.scroll.scrollTop;
      this.schedule();
    }, { passive: true });
    new ResizeObserver(() => this.schedule()).observe(this.scroll);
    narrow.addEventListener("change", () => this.schedule());
    byId("newer").addEventListener("click", () => this.refresh());
  }

  reset() {
    this.query = filterQuery(readLocation());
    this.pages = new Map();
    this.asOf = null;
    this.total = null;
    this.generation = (this.generation ?? 0) + 1;
  }

  /** Shows the newest rows of the present filters. */
  async refresh() {
    this.reset();
    this.scroll.scrollTop = 0;
    await this.load(0);
  }

  /** Shows the rows again where they were left, unless the filters have changed since. */
  async show() {
    if (this.asOf == null || this.query !== filterQuery(readLocation())) return this.refresh();
    this.scroll.scrollTop = this.top ?? 0;
    this.draw();
    return this.poll();
  }

  /** Asks whether there are newer rows. They are shown at once only if the first rows are visible and nobody points at them. */
  async poll() {
    if (this.asOf == null) return this.refresh();
    const generation = this.generation;
    const answer = await request(`activity/decisions?${filterQuery(readLocation())}&limit=${PAGE}`);
    if (generation !== this.generation || answer.as_of === this.asOf) return undefined;
    if (this.scroll.scrollTop < rowHeight() && !this.scroll.matches(":hover, :focus-within")) {
      this.reset();
      this.accept(0, answer);
      return this.draw();
    }
    const newer = answer.total - this.total;
    byId("newer").hidden = newer <= 0;
    byId("newer").textContent = `Show ${formatCount(newer)} newer`;
    return undefined;
  }

  async load(page) {
    const generation = this.generation;
    this.pages.set(page, null);
    const asOf = this.asOf == null ? "" : `&as_of=${this.asOf}`;
    try {
      const answer = await request(`activity/decisions?${filterQuery(readLocation())}&offset=${page * PAGE}&limit=${PAGE}${asOf}`);
      if (generation !== this.generation) return;
      this.accept(page, answer);
    } catch (error) {
      if (generation === this.generation) this.pages.delete(page);
      throw error;
    }
    this.draw();
  }

  accept(page, answer) {
    this.asOf = answer.as_of;
    this.total = answer.total;
    this.pages.set(page, answer.rows);
    for (const stored of this.pages.keys()) {
      if (this.pages.size <= MAX_PAGES) break;
      if (Math.abs(stored - page) > 4) this.pages.delete(stored);
    }
    if (page === 0) byId("newer").hidden = true;
  }

  schedule() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    requestAnimationFrame(() => {
      this.isScheduled = false;
      this.draw();
    });
  }

  draw() {
    if (this.total == null || byId("view-decisions").hidden) return;
    const first = Math.max(Math.floor(this.scroll.scrollTop / rowHeight()) - 8, 0);
    const last = Math.min(first + Math.ceil(this.scroll.clientHeight / rowHeight()) + 16, this.total);
    const rows = [];
    for (let index = first; index < last; index += 1) {
      const page = Math.floor(index / PAGE);
      const loaded = this.pages.get(page);
      if (loaded === undefined) this.load(page).catch(() => {});
      rows.push(loaded?.[index % PAGE] ? createTableRow(loaded[index % PAGE], index) : createEmptyRow(index));
    }
    const focused = document.activeElement?.closest("#rows tr")?.dataset.id;
    byId("rows").replaceChildren(createSpacer(first), ...rows, createSpacer(this.total - last));
    if (focused) byId("rows").querySelector(`tr[data-id="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
    byId("decisions-table").setAttribute("aria-rowcount", String(this.total + 1));
    byId("shown").textContent = this.total ? `${formatCount(this.total)} decisions match` : "No decision matches.";
  }
}

function createSpacer(rows) {
  const row = createElement("tr", "spacer");
  row.setAttribute("aria-hidden", "true");
  const cell = createElement("td", "");
  cell.colSpan = 9;
  cell.style.height = `${rows * rowHeight()}px`;
  row.append(cell);
  return row;
}

function createEmptyRow(index) {
  const row = createElement("tr", "");
  row.setAttribute("aria-rowindex", String(index + 2));
  const cell = createElement("td", "empty", "…");
  cell.colSpan = 9;
  row.append(cell);
  return row;
}

/** A button that filters by the value that it shows. */
export function createFilterButton(name, value, text) {
  if (value == null || value === "") return createElement("span", "muted", "–");
  const button = createElement("button", "cell-filter", text ?? String(value));
  button.type = "button";
  button.title = `Filter by ${text ?? value}`;
  button.addEventListener("click", () => toggleFilter(name, value));
  return button;
}

/** A link to a decision, which shows its time. */
export function createDecisionLink(row) {
  const link = linkTo("open", formatTime(row.at), { view: "decision", id: row.id });
  link.setAttribute("aria-label", `Explain the ${row.decision} of ${formatTime(row.at)}`);
  return link;
}

/** A link to a user's timeline. */
export function createUserLink(user, text = user) {
  if (!user) return createElement("span", "muted", "–");
  return linkTo("mono", text, { view: "user", who: user, id: null });
}

/** An element whose role holds in every layout: a row that is laid out as a card would lose it. */
function withRole(role, element) {
  element.setAttribute("role", role);
  return element;
}

function createTableRow(row, index) {
  const { filters } = readLocation();
  // The reason that is filtered by is visible, whatever its rank.
  const reasons = filters.reason && row.reasons.includes(filters.reason) ? [filters.reason, ...row.reasons.filter((code) => code !== filters.reason)] : row.reasons;
  const cells = [
    ["time", createDecisionLink(row)], ["", createVerdict(row)], ["number", row.score.toFixed(1)],
    ["outcome", row.outcome ? createFilterButton("outcome", row.outcome, formatCode(row.outcome)) : createElement("span", "muted", "–")],
    ["user", createUserLink(row.user)], ["", createElement("span", "place", createFilterButton("country", row.country), " ", createFilterButton("asn", row.asn, row.asn && `AS${row.asn}`))],
    ["wide", createFilterButton("net", row.net)], ["wide", createElement("span", "", row.decided_by && row.decided_by !== "thresholds" ? `${formatCode(row.decided_by)}: ` : "", reasons.slice(0, 4).map(formatCode).join(", "), row.degraded ? " (degraded)" : "")],
    ["wide", createFilterButton("client", row.client)],
  ];
  const element = createElement("tr", "");
  element.dataset.id = row.id;
  element.setAttribute("aria-rowindex", String(index + 2));
  element.append(...cells.map(([className, content]) => withRole("cell", createElement("td", className, content))));
  // Reasons that do not fit are in the tooltip, and in the explanation.
  element.children[7].title = reasons.map(formatCode).join(", ");
  return withRole("row", element);
}

/** A short table of decisions, without scrolling. `extra` makes one more cell of each row. */
export function createShortTable(rows, label, extra) {
  const titles = ["Time", "Decision", "Score", "Outcome", "Account", "From", "Why", ...(extra ? ["Label"] : [])];
  const head = withRole("row", createElement("tr", "", ...titles.map((title) => {
    const cell = withRole("columnheader", createElement("th", title === "Score" ? "number" : "", title));
    cell.scope = "col";
    return cell;
  })));
  const body = rows.map((row) => {
    const place = createElement("span", "", formatPlace(row));
    const cells = [createDecisionLink(row), createVerdict(row), row.score.toFixed(1), formatCode(row.outcome ?? "–"), createUserLink(row.user), place, row.why ?? row.reasons.slice(0, 3).map(formatCode).join(", "), ...(extra ? [extra(row)] : [])];
    return withRole("row", createElement("tr", "", ...cells.map((cell, at) => withRole("cell", createElement("td", at === 2 ? "number" : "", cell)))));
  });
  const table = withRole("table", createElement("table", "short", withRole("rowgroup", createElement("thead", "", head)), withRole("rowgroup", createElement("tbody", "", ...body))));
  return createScrollRegion(table, label);
}
