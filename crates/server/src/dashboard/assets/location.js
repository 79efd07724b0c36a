// What the page shows stands in its URL: the view, the range and the filters. A decision has a path of its own.

/** The filters that combine, with their labels. */
export const FILTERS = {
  attack: "Attack", decision: "Decision", outcome: "Outcome", reason: "Reason", country: "Country", asn: "AS", net: "Network", client: "Client", user: "Account", device: "Device", session: "Session",
  decided_by: "Decided by", degraded: "Degraded",
};

/** The folder that serves the page, with a slash at its end. It may be behind a proxy, under any path. */
export const ROOT = new URL("../", import.meta.url);

/** The views that show what the filters select. A filter that is chosen elsewhere leads to the overview. */
const FILTERED_VIEWS = ["overview", "decisions", "findings", "list"];

/** The views of one thing, which are closed by going back to a list. */
const DETAIL_VIEWS = ["decision", "user", "list"];

const listeners = [];
let defaultRange = "1h";
let read;

/** Sets the range of a URL without one. */
export function setDefaultRange(range) {
  defaultRange = range;
}

/** The state of the URL: `{view, id, who, of, sort, offset, range, from, until, filters}`. */
export function readLocation() {
  // Every row of a table asks for it.
  if (read?.href !== location.href || read.defaultRange !== defaultRange) read = { href: location.href, defaultRange, state: parseLocation() };
  return read.state;
}

function parseLocation() {
  const path = location.pathname.slice(ROOT.pathname.length);
  const parameters = new URLSearchParams(location.search);
  const filters = {};
  for (const name of Object.keys(FILTERS)) if (parameters.get(name)) filters[name] = parameters.get(name);
  const id = path.startsWith("d/") ? decodeURIComponent(path.slice(2)) : null;
  return {
    view: id ? "decision" : parameters.get("view") ?? "overview", id, who: parameters.get("who"), of: parameters.get("of"), sort: parameters.get("sort"), offset: Number(parameters.get("offset")) || 0,
    range: parameters.get("range") ?? defaultRange, from: parameters.get("from"), until: parameters.get("until"), filters,
  };
}

/** Whether filters apply to a view. */
export const isFilteredView = (view) => FILTERED_VIEWS.includes(view);

/** The query string of a range and its filters, without the view. */
export function filterQuery({ range, from, until, filters }) {
  const parameters = new URLSearchParams({ range });
  if (from) parameters.set("from", from);
  if (until) parameters.set("until", until);
  for (const [name, value] of Object.entries(filters)) parameters.set(name, value);
  return parameters.toString();
}

/** The URL of a state. Range and filters stay in it, whatever the view is. */
export function urlOf(state) {
  const parameters = new URLSearchParams(filterQuery(state));
  if (state.view === "decision") return new URL(`d/${encodeURIComponent(state.id)}?${parameters}`, ROOT).href;
  if (state.view !== "overview") parameters.set("view", state.view);
  if (state.view === "user") parameters.set("who", state.who);
  if (state.view === "list") {
    parameters.set("of", state.of);
    if (state.sort) parameters.set("sort", state.sort);
    if (state.offset) parameters.set("offset", state.offset);
  }
  return new URL(`?${parameters}`, ROOT).href;
}

/** The URL of the present state with changes. */
export const urlWith = (changes) => urlOf({ ...readLocation(), ...changes });

/** The link to a decision alone, to be sent to others. */
export const permalinkOf = (id) => new URL(`d/${encodeURIComponent(id)}`, ROOT).href;

const RANGES = [["10m", 600], ["1h", 3600], ["6h", 21600], ["24h", 86400], ["7d", 604800], ["30d", 2592000]];

/** The smallest range of at least so many seconds. */
export const smallestRange = (least) => RANGES.find(([, seconds]) => seconds >= least) ?? RANGES.at(-1);

/** The state that shows exactly a period, in seconds since 1970, without other filters. A period without an end goes on. */
export function rangeOf(from, to, filters = {}) {
  return { from: String(from), until: to == null ? null : String(to), filters };
}

/** The state that shows an attack: exactly its sign-ins, from its start to its end, or to now while it goes on. It replaces other filters. */
export const attackState = (attack, view = "overview") => ({ view, id: null, offset: 0, ...rangeOf(attack.from, attack.to, attack.id == null ? {} : { attack: String(attack.id) }) });

/** Goes to the present state with changes, as a new entry of the history. A detail remembers how many entries ago its list was. */
export function navigate(changes) {
  const before = readLocation();
  const state = { ...before, ...changes };
  // Likely mistakes are stopped and let in ones side by side, so what selects either stays behind.
  if (state.view === "findings" && before.view !== "findings" && !changes.filters) {
    const { decision, outcome, ...filters } = state.filters;
    state.filters = filters;
  }
  const { back = null, steps = 0 } = history.state ?? {};
  const fromList = !DETAIL_VIEWS.includes(before.view) || (before.view === "list" && state.view !== "list");
  const entry = !DETAIL_VIEWS.includes(state.view) ? null : fromList ? { back: location.href, steps: 1 } : steps ? { back, steps: steps + 1 } : null;
  history.pushState(entry, "", urlOf(state));
  notify(true);
}

/** Where a detail was opened from, or the decisions with the present filters. */
export const backUrl = () => history.state?.back ?? urlWith({ view: "decisions", id: null });

/** Closes a detail. */
export function goBack() {
  if (!DETAIL_VIEWS.includes(readLocation().view)) return;
  if (history.state?.steps) history.go(-history.state.steps);
  else navigate({ view: "decisions", id: null });
}

/** Sets or removes a filter. Filters of other kinds stay. */
export function toggleFilter(name, value, view) {
  const state = readLocation();
  const filters = { ...state.filters };
  if (value == null || (filters[name] === String(value) && !view)) delete filters[name];
  else filters[name] = String(value);
  navigate({ filters, id: null, offset: 0, view: view ?? (FILTERED_VIEWS.includes(state.view) ? state.view : "overview") });
}

/** Calls a function when the URL has changed. Its argument is the state, and whether the user has moved to another view. */
export function onLocation(listener) {
  listeners.push(listener);
}

function notify(moved) {
  listeners.forEach((listener) => listener(readLocation(), moved));
}

addEventListener("popstate", () => notify(true));

/** A link within the page. A click with a modifier opens it as any other link. */
export function followLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-state]");
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (link.dataset.state === "back") goBack();
    else navigate(JSON.parse(link.dataset.state));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.target.closest?.("dialog, input, select, textarea") || document.querySelector("dialog[open]")) return;
    goBack();
  });
}
