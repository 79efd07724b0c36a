// What the page shows stands in its URL: the view, the range and the filters. A decision has a path of its own.

/** The filters that combine, with their labels. */
export const FILTERS = {
  decision: "Decision", reason: "Reason", country: "Country", asn: "AS", net: "Network", client: "Client", user: "Account", device: "Device", outcome: "Outcome", session: "Session",
  decided_by: "Decided by", degraded: "Degraded",
};

/** The folder that serves the page, with a slash at its end. It may be behind a proxy, under any path. */
export const ROOT = new URL("../", import.meta.url);

const listeners = [];
let defaultRange = "1h";
let read;

/** Sets the range of a URL without one. */
export function setDefaultRange(range) {
  defaultRange = range;
}

/** The state of the URL: `{view, id, who, range, until, filters}`. */
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
  return { view: id ? "decision" : parameters.get("view") ?? "overview", id, who: parameters.get("who"), range: parameters.get("range") ?? defaultRange, until: parameters.get("until"), filters };
}

/** The query string of a range and its filters, without the view. */
export function filterQuery({ range, until, filters }) {
  const parameters = new URLSearchParams({ range });
  if (until) parameters.set("until", until);
  for (const [name, value] of Object.entries(filters)) parameters.set(name, value);
  return parameters.toString();
}

/** The URL of a state. */
export function urlOf(state) {
  if (state.view === "decision") return new URL(`d/${encodeURIComponent(state.id)}`, ROOT).href;
  const parameters = new URLSearchParams(filterQuery(state));
  if (state.view !== "overview") parameters.set("view", state.view);
  if (state.view === "user") parameters.set("who", state.who);
  return new URL(`?${parameters}`, ROOT).href;
}

const RANGES = [["10m", 600], ["1h", 3600], ["6h", 21600], ["24h", 86400], ["7d", 604800], ["30d", 2592000]];

/** The smallest range of at least so many seconds. */
export const smallestRange = (least) => RANGES.find(([, seconds]) => seconds >= least) ?? RANGES.at(-1);

/** The state that shows a period, in seconds since 1970, in the middle of the chart. */
export function rangeOf(from, to) {
  const [range, seconds] = smallestRange(to - from + 120);
  return { range, until: String(Math.round((from + to) / 2 + seconds / 2)) };
}

/** Goes to the present state with changes, as a new entry of the history. */
export function navigate(changes) {
  const state = { ...readLocation(), ...changes };
  history.pushState(null, "", urlOf(state));
  notify(true);
}

/** Sets or removes a filter. Filters of other kinds stay. */
export function toggleFilter(name, value, view) {
  const state = readLocation();
  const filters = { ...state.filters };
  if (value == null || (filters[name] === String(value) && !view)) delete filters[name];
  else filters[name] = String(value);
  navigate({ filters, id: null, view: view ?? (["overview", "decisions", "findings"].includes(state.view) ? state.view : "overview") });
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
    navigate(JSON.parse(link.dataset.state));
  });
}
