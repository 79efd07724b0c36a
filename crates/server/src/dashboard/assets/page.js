// The page: it connects the URL, the queries and the event stream to the views.

import { hasToken, request, setToken, takeToken } from "./api.js";
import { setActionContext, setUpDialog, showActions } from "./actions.js";
import { showDecision } from "./decision.js";
import { DecisionTable } from "./decisions.js";
import { byId, createButton, createElement, formatCode } from "./elements.js";
import { showFindings } from "./findings.js";
import { FILTERS, ROOT, filterQuery, followLinks, navigate, onLocation, readLocation, setDefaultRange, smallestRange, toggleFilter, urlOf } from "./location.js";
import { showOverview, showSentence } from "./overview.js";
import { acceptMessage, acceptSettings, currentSettings, drawPerformance, setUpPerformance } from "./performance.js";
import { subscribe } from "./stream.js";
import { showUser } from "./user.js";

const POLL_MS = 2000;
const VIEWS = ["overview", "decisions", "findings", "changes", "actions", "performance", "user", "decision"];
const NEEDS_TOKEN = ["decisions", "findings", "actions", "user", "decision"];

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
  if (shown === "decisions") await (moved ? table.refresh() : table.poll());
  if (shown === "findings") await showFindings();
  if (shown === "actions") await showActions();
  if (shown === "performance") drawPerformance();
  if (shown === "user" && moved) await showUser(state.who ?? "");
  if (shown === "decision" && moved) await showDecision(state.id, currentSettings());
}

function showNavigation(state, view) {
  for (const link of document.querySelectorAll("nav a")) {
    const target = JSON.parse(link.dataset.state);
    link.href = urlOf({ ...state, ...target });
    if (target.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("range").value = state.range;
}

function showFilters(state) {
  byId("chips").hidden = !["overview", "decisions", "findings"].includes(state.view);
  byId("decision-filter").value = state.filters.decision ?? "";
  const chips = Object.entries(state.filters).map(([name, value]) => {
    const chip = createButton("chip-filter", `${FILTERS[name]}: ${formatCode(value)} ×`, () => toggleFilter(name, null));
    chip.setAttribute("aria-label", `Remove the filter ${FILTERS[name]} ${value}`);
    return chip;
  });
  if (state.until) chips.push(createButton("chip-filter", `until ${new Date(state.until * 1000).toLocaleString()} ×`, () => navigate({ until: null })));
  const key = JSON.stringify([state.filters, state.until]);
  if (byId("chips").dataset.key === key) return;
  byId("chips").dataset.key = key;
  byId("chips").replaceChildren(...chips);
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
  setActionContext(session, () => update(true));
  byId("who").textContent = session.operator ? `operator ${session.operator}` : session.may_view ? "view only" : "aggregates only";
  byId("sign-out").hidden = !hasToken();
  byId("sign-in-form").hidden = session.may_view && Boolean(session.operator);
  byId("find-form").hidden = !session.may_view;
}

function showState() {
  const isLive = summary?.is_live !== false;
  const [text, kind] = connection === "lost" ? ["no connection, trying again", "bad"] : isLive ? ["live", "good"] : ["end of the log", ""];
  byId("link").textContent = connection === "connecting" ? "connecting" : text;
  byId("link").className = `chip ${kind}`;
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
  byId("range").addEventListener("change", () => navigate({ range: byId("range").value, until: null }));
  byId("decision-filter").addEventListener("change", () => toggleFilter("decision", byId("decision-filter").value || null, "decisions"));
  byId("find-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = byId("find").value.trim();
    if (!text) return;
    byId("find").value = "";
    // An id of a decision, a pseudonym, or else a name, which only the server can look up.
    if (/^[0-9A-HJKMNP-TV-Z]{26}$/.test(text)) return void navigate({ view: "decision", id: text });
    try {
      const direct = await request(`activity/users/${encodeURIComponent(text)}`).then(() => text, () => null);
      const { user } = direct ? { user: direct } : await request("activity/users", { name: text, pool: byId("find-pool").value.trim() });
      navigate({ view: "user", who: user, id: null });
    } catch (error) {
      byId("fault").hidden = false;
      byId("fault").textContent = error.message;
    }
  });
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
  byId("done").textContent = "";
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
