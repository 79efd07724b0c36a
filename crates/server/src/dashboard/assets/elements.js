// Elements and texts that every view uses.

/** Creates an element with a class and children. Strings become text nodes, never HTML. */
export function createElement(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child != null));
  return element;
}

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

/** Formats a reason, cause or outcome code for display. */
export const formatCode = (code) => String(code).replaceAll("_", " ");

/** Formats a share between 0 and 1 as a percentage. */
export const formatPercent = (share) => (share == null || Number.isNaN(share) ? "–" : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);

const count = new Intl.NumberFormat();

/** Formats a count. */
export const formatCount = (value) => count.format(value);

/** Formats a count with its noun. */
export const plural = (value, one, many = `${one}s`) => `${count.format(value)} ${value === 1 ? one : many}`;

/** Formats a weight with its sign. */
export const formatSigned = (weight) => `${weight > 0 ? "+" : weight < 0 ? "−" : "±"}${Math.abs(weight).toFixed(2)}`;

const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const minuteOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const dayAndTime = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const complete = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hour12: false });

/** Formats a time in milliseconds: the time of day, with the date unless it is today. */
export function formatTime(millis) {
  const date = new Date(millis);
  return (date.toDateString() === new Date().toDateString() ? timeOfDay : dayAndTime).format(date);
}

/** Formats a time in milliseconds with its date. */
export const formatDate = (millis) => complete.format(new Date(millis));

/** Formats the label of a time axis. */
export function formatTick(seconds, width) {
  const date = new Date(seconds * 1000);
  if (width >= 3600) return new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" }).format(date);
  return (width < 30 ? timeOfDay : minuteOfDay).format(date);
}

/** A button. */
export function createButton(className, text, onClick) {
  const button = createElement("button", className, text);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}

/** A link to another state of the page. */
export function createLink(className, text, state, href) {
  const link = createElement("a", className, text);
  link.href = href;
  link.dataset.state = JSON.stringify(state);
  return link;
}

/** A list of names and values. Empty values are left out. */
export function createFacts(pairs) {
  const list = createElement("dl", "facts");
  for (const [name, value] of pairs) {
    if (value != null && value !== "") list.append(createElement("dt", "", name), createElement("dd", name === "id" ? "mono" : "", value instanceof Node ? value : String(value)));
  }
  return list;
}

/** The decision as a word, and what was done with it if that differs. */
export function createVerdict(row) {
  const enforced = row.action !== row.decision && row.decision !== "review" ? " (let in)" : "";
  return createElement("span", `verdict ${row.decision}`, `${row.decision}${enforced}`);
}

/** Where a sign-in came from, as text. */
export const formatPlace = (row) => [row.country, row.asn && `AS${row.asn}`].filter(Boolean).join(" ") || "–";
