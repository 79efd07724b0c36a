// The page: it connects the URL, the queries and the event stream to the views.

import { hasToken, request, setToken, takeToken } from "./api.js";
import { createActions, setActionContext, setUpDialog, showActions } from "./actions.js";
import { showDecision } from "./decision.js";
import { DecisionTable } from "./decisions.js";
import { byId, createButton, createElement, formatDate, formatPeriod, formatTime } from "./elements.js";
import { showFindings } from "./findings.js";
import { showList } from "./lists.js";
import { FILTERS, ROOT, backUrl, filterQuery, followLinks, isFilteredView, navigate, onLocation, readLocation, setDefaultRange, smallestRange, toggleFilter, urlOf } from "./location.js";
import { showOverview, showSentence } from "./overview.js";
import { acceptMessage, acceptSettings, currentSettings, drawPerformance, setUpPerformance } from "./performance.js";
import { subscribe } from "./stream.js";
import { showUser } from "./user.js";

const POLL_MS = 2000;
const VIEWS = ["overview", "decisions", "findings", "changes", "actions", "performance", "user", "decision", "list"];
const NEEDS_TOKEN = ["decisions", "findings", "actions", "user", "decision", "list"];

let session = { may_view: false };
let summary = null;
let connection = "connecting";
const table = new DecisionTable();

/** Draws what the URL says. `moved` is true after a click, false for a poll. */
async function showView(moved) {
  const state = readLocation();
  const view = VIEWS.includes(state.view) ? state.view : "overview";
  const shown = NEEDS_TOKEN.includes(view) && !session.may_view ? "locked" : view;
  for (const name of [...VIEWS, "locked"]) byId(`view-${name}`).hidden = name !== shown;
  showNavigation(state, view);
  showFilters(state);
  showFilterActions(state, moved);
  if (shown === "decisions") await (moved ? table.show() : table.poll());
  if (shown === "list") await showList(moved);
  if (shown === "findings") await showFindings(moved);
  if (shown === "actions") await showActions();
  if (shown === "performance") drawPerformance();
  if (shown === "user" && moved) await showDetail("user", `Account ${state.who ?? ""}`, () => showUser(state.who ?? ""));
  if (shown === "decision" && moved) await showDetail("decision", `Decision ${state.id}`, () => showDecision(state.id, currentSettings()));
}

/** Shows one thing. Nothing of the last one stays when this one is not found. */
async function showDetail(name, title, show) {
  byId(`${name}-title`).textContent = title;
  byId(`${name}-body`).replaceChildren(createElement("p", "empty", "…"));
  try {
    await show();
  } catch (error) {
    if (error.status !== 404) throw error;
    byId(`${name}-body`).replaceChildren(createElement("p", "empty", `Not found: ${error.detail}.`));
  }
}

function showNavigation(state, view) {
  for (const link of document.querySelectorAll("nav a")) {
    const target = JSON.parse(link.dataset.state);
    link.href = urlOf({ ...state, ...target });
    if (target.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("range").value = state.from || state.until ? "" : state.range;
  for (const link of document.querySelectorAll("a.back")) link.href = backUrl();
}

/** The texts of filters whose values are names of the server. Pseudonyms are shown as they are. */
const WORDS = ["decision", "outcome", "reason", "session", "decided_by"];

function chipText(name, value) {
  if (name === "attack") return `since ${formatTime(value * 1000)}`;
  if (name === "asn") return `AS${value}`;
  return WORDS.includes(name) ? value.replaceAll("_", " ") : value;
}

function showFilters(state) {
  byId("decision-filter").value = state.filters.decision ?? "";
  byId("outcome-filter").value = state.filters.outcome ?? "";
  const isFiltered = isFilteredView(state.view);
  const chips = Object.entries(state.filters).map(([name, value]) => {
    const label = name === "asn" ? "" : `${FILTERS[name]}: `;
    const chip = createButton("chip-filter", `${label}${chipText(name, value)} ×`, () => (name === "attack" ? navigate({ from: null, until: null, filters: without(name) }) : toggleFilter(name, null)));
    chip.title = `Remove the filter ${FILTERS[name]} ${value}`;
    return chip;
  });
  if (state.from || state.until) {
    const text = state.from ? formatPeriod(Number(state.from), state.until && Number(state.until)) : `until ${formatTime(state.until * 1000)}`;
    const chip = createButton("chip-filter", `${text} ×`, () => navigate({ from: null, until: null, offset: 0, filters: without("attack") }));
    chip.title = `Remove the period ${text}`;
    chips.unshift(chip);
  }
  if (chips.length > 1) chips.push(createButton("link", "remove all", () => navigate({ from: null, until: null, offset: 0, filters: {} })));
  if (chips.length && !isFiltered) chips.push(createElement("span", "muted", "This page shows everything, whatever the filters are."));
  const key = JSON.stringify([state.filters, state.from, state.until, isFiltered]);
  byId("chips").hidden = !chips.length;
  if (byId("chips").dataset.key === key) return;
  byId("chips").dataset.key = key;
  byId("chips").replaceChildren(...chips);
}

/** The actions on the network, the AS or the client that the filters have chosen. */
function showFilterActions(state, moved) {
  const box = byId("filter-actions");
  const { net, asn, client } = state.filters;
  box.hidden = !session.may_view || !isFilteredView(state.view) || state.view === "list" || !(net || asn || client);
  const key = JSON.stringify([net, asn, client]);
  if (box.hidden || (!moved && box.dataset.key === key)) return;
  box.dataset.key = key;
  box.replaceChildren(...createActions({ net, asn, client }));
}

function without(name) {
  const { [name]: _, ...others } = readLocation().filters;
  return others;
}

/** Fetches the summary: for the sentence always, for the overview with its filters. */
async function pollSummary() {
  const state = readLocation();
  const query = filterQuery(state);
  const answer = await request(`activity?${query}`);
  // A process that has just started has nothing to show in an hour, and a log that has ended is shown as a whole.
  const stored = answer.now - answer.stored_since;
  if (!summary && stored < 600) setDefaultRange("10m");
  else if (!summary && !answer.is_live) setDefaultRange(smallestRange(stored)[0]);
  summary = answer;
  showSentence(answer, session.may_view);
  showState();
  const names = Object.keys(state.filters).map((name) => FILTERS[name]);
  byId("timeline-filtered").textContent = names.length ? `only what matches the filters: ${names.join(", ")}` : "";
  if (query === filterQuery(readLocation()) && !byId("view-overview").hidden) showOverview(answer);
}

async function update(moved) {
  const fault = byId("fault");
  try {
    await Promise.all([pollSummary(), showView(moved)]);
    // What the source says about itself: that it fails, or is still being read.
    fault.hidden = !summary.notice;
    fault.textContent = summary.notice ?? "";
  } catch (error) {
    if (error.status === 401 && hasToken()) {
      setToken(null);
      await identify();
    }
    fault.hidden = false;
    fault.textContent = error.message;
  }
}

async function identify() {
  try {
    session = await request("activity/session");
  } catch (error) {
    // A stored token may have been replaced since.
    if (error.status !== 401 || !hasToken()) throw error;
    setToken(null);
    session = await request("activity/session");
  }
  await setActionContext(session, () => update(true));
  byId("who").textContent = session.operator ? `operator ${session.operator}` : session.may_view ? "view only" : "aggregates only";
  byId("sign-out").hidden = !hasToken();
  byId("sign-in-form").hidden = session.may_view;
  byId("find-form").hidden = !session.may_view;
}

/** What the source is. Only a process that decides, and the store that it writes to, are live. */
function sourceState() {
  if (connection === "connecting") return ["connecting", ""];
  if (connection === "lost") return ["no connection, trying again", "bad"];
  if (session.source === "log") return summary?.is_live === false ? ["end of the log", ""] : ["log, followed", ""];
  return ["live", "good"];
}

function showState() {
  const [text, kind] = sourceState();
  byId("link").textContent = text;
  byId("link").className = `chip ${kind}`;
  const pools = summary?.pools ?? [];
  byId("pool").hidden = !pools.length;
  byId("pool").textContent = pools.length > 1 ? `${pools.length} user pools` : pools[0] ?? "";
  byId("pool").title = `User pool: ${pools.join(", ")}`;
  if (summary) byId("clock").textContent = summary.is_live === false ? formatDate(summary.now * 1000) : `${formatTime(summary.now * 1000)} UTC`;
}

function setUpForms() {
  for (const form of document.querySelectorAll(".sign-in")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const input = form.querySelector("input");
      setToken(input.value.trim());
      input.value = "";
      await identify().catch(() => {});
      if (!hasToken()) {
        byId("fault").hidden = false;
        byId("fault").textContent = "The token is not known.";
        return;
      }
      update(true);
    });
  }
  byId("sign-out").addEventListener("click", () => {
    setToken(null);
    identify().then(() => update(true));
  });
  byId("range").addEventListener("change", () => navigate({ range: byId("range").value, from: null, until: null, offset: 0, filters: without("attack") }));
  byId("decision-filter").addEventListener("change", () => toggleFilter("decision", byId("decision-filter").value || null));
  byId("outcome-filter").addEventListener("change", () => toggleFilter("outcome", byId("outcome-filter").value || null));
  byId("find-form").addEventListener("submit", (event) => {
    event.preventDefault();
    findText(byId("find").value.trim());
  });
}

/** Opens what a text names. Only the server knows, and it says when nothing has this name. */
async function findText(text) {
  if (!text) return;
  const fault = byId("find-fault");
  fault.textContent = "";
  try {
    const { kind, value, last } = await request("activity/find", { text });
    byId("find").value = "";
    if (kind === "decision") navigate({ view: "decision", id: value });
    else if (kind === "user") navigate({ view: "user", who: value, id: null });
    else navigate({ view: "decisions", id: null, filters: { [kind]: value }, ...rangeWith(last) });
  } catch (error) {
    fault.textContent = error.status === 404 ? `“${text}” was not found: ${error.detail}.` : error.message;
  }
}

/** The present range if it has a time, in milliseconds; else the smallest one up to now that has it. */
function rangeWith(at) {
  if (!summary || (at >= summary.from * 1000 && at < summary.to * 1000)) return {};
  return { range: smallestRange(summary.now - at / 1000 + 60)[0], from: null, until: null };
}

let announced = "";

/** Announces the beginning and the end of an attack to screen readers, and nothing in between. */
function announce() {
  const now = summary?.attack ? "An attack goes on." : summary ? "No attack." : "";
  if (now && now !== announced && announced) byId("announcement").replaceChildren(createElement("span", "", now));
  announced = now || announced;
}

// A relative path would be resolved again whenever the URL changes.
for (const link of document.querySelectorAll("link[rel=icon]")) link.href = new URL("assets/icon.svg", ROOT).href;

takeToken();
followLinks();
setUpForms();
setUpDialog();
setUpPerformance();
onLocation((state, moved) => {
  byId("find-fault").textContent = "";
  update(moved);
  if (moved) byId("content").focus({ preventScroll: true });
});
subscribe({
  onConnection(state) {
    connection = state;
    showState();
  },
  settings(received) {
    acceptSettings(received);
    byId("mode").textContent = received.mode === "monitor" ? "monitor mode" : "enforcing";
    byId("mode").className = `chip ${received.mode === "monitor" ? "warn" : "good"}`;
    byId("source").textContent = `${received.source} · riskgate ${received.version} · model ${received.model}`;
  },
  state: acceptMessage,
  tick: acceptMessage,
});
await identify().catch(() => {});
await update(true);
setInterval(() => {
  if (document.hidden) return;
  update(false).then(announce);
}, POLL_MS);
