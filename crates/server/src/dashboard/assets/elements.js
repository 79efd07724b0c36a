// Elements and texts that every view uses.

import { urlWith } from "./location.js";

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

/** A time in milliseconds as `[date, time]`, both ISO and in UTC. */
const parts = (millis) => {
  const text = new Date(millis).toISOString();
  return [text.slice(0, 10), text.slice(11, 19)];
};

/** Formats a time in milliseconds, in UTC: the time of day, with the date unless it is today. */
export function formatTime(millis) {
  const [date, time] = parts(millis);
  return date === parts(Date.now())[0] ? time : `${date} ${time}`;
}

/** Formats a time in milliseconds with its date, in UTC. */
export const formatDate = (millis) => `${parts(millis).join(" ")} UTC`;

/** Formats a period in seconds since 1970. The end has its date only if it is another day; a period without an end goes on. */
export function formatPeriod(from, to) {
  if (to == null) return `${formatTime(from * 1000)} to now`;
  const isSameDay = parts(from * 1000)[0] === parts(to * 1000)[0];
  return `${formatTime(from * 1000)} – ${isSameDay ? parts(to * 1000)[1] : formatTime(to * 1000)}`;
}

/** Formats the label of a time axis whose range has so many seconds. */
export function formatTick(seconds, width, range) {
  const [date, time] = parts(seconds * 1000);
  return range > 86400 ? `${date} ${time.slice(0, 5)}` : width < 30 ? time : time.slice(0, 5);
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

/** A link to the present state with changes. */
export const linkTo = (className, text, changes) => createLink(className, text, changes, urlWith(changes));

/** A table or plot that scrolls sideways, also with the keyboard. */
export function createScrollRegion(content, label) {
  const scroll = createElement("div", "scroll-x", content);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", label);
  return scroll;
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
