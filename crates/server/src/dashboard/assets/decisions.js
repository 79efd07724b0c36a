// The last hundred decisions: a searchable table, and the explanation of each decision.

import { formatMillis } from "./charts.js";
import { byId, createElement, formatCode, formatSigned } from "./panels.js";

const MAX_DECISIONS = 100;
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** The table of decisions. `settings()` returns the meanings of the reasons. */
export class DecisionTable {
  constructor(settings) {
    this.settings = settings;
    this.decisions = [];
    this.pending = 0;
    this.paused = false;
    for (const id of ["find", "verdict", "only-degraded"]) byId(id).addEventListener("input", () => this.draw());
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("pause").addEventListener("click", () => {
      this.paused = !this.paused;
      byId("pause").setAttribute("aria-pressed", String(this.paused));
      this.draw();
    });
    byId("rows").addEventListener("click", (event) => {
      const id = event.target.closest("tr")?.dataset.id;
      const found = this.decisions.find((decision) => decision.id === id);
      if (found) explain(found, this.settings());
    });
  }

  replace(decisions) {
    this.decisions = decisions.toReversed().slice(0, MAX_DECISIONS);
    this.draw();
  }

  add(decisions) {
    this.decisions = [...decisions.toReversed(), ...this.decisions].slice(0, MAX_DECISIONS);
    // The table is not redrawn while the user points at it or has focus in it, because the rows would move.
    if (this.paused || byId("rows").matches(":hover, :focus-within")) {
      this.pending += decisions.length;
      this.showCount();
      return;
    }
    this.draw();
  }

  draw() {
    this.pending = 0;
    const find = byId("find").value.trim().toLowerCase();
    const verdict = byId("verdict").value;
    const degraded = byId("only-degraded").checked;
    const shown = this.decisions.filter((d) => (!verdict || d.decision === verdict) && (!degraded || d.degraded) && (!find || searchText(d).includes(find)));
    byId("rows").replaceChildren(...shown.map(createTableRow));
    byId("none").hidden = shown.length > 0;
    byId("none").textContent = this.decisions.length ? "No decision matches." : "No sign-ins yet.";
    this.shown = shown.length;
    this.showCount();
  }

  showCount() {
    const pending = this.pending ? `; ${this.pending} newer not shown yet` : "";
    byId("shown").textContent = `${this.shown ?? 0} of ${this.decisions.length} shown${pending}`;
  }
}

function searchText(d) {
  return [d.id, d.decision, d.user, d.net, d.device, d.country, d.asn && `as${d.asn}`, d.client, d.pool, d.tenant, d.context, ...(d.reasons ?? []).flatMap((r) => [r.code, formatCode(r.code)])]
    .join(" ").toLowerCase();
}

function createTableRow(d) {
  const open = createElement("button", "open", timeFormat.format(new Date(d.time)));
  open.type = "button";
  open.setAttribute("aria-label", `Explain the ${d.decision} of ${timeFormat.format(new Date(d.time))}`);
  const risky = (d.reasons ?? []).slice(0, 4).map((r) => formatCode(r.code)).join(", ");
  const verdict = d.action === d.decision || d.decision === "review" ? d.decision : `${d.decision} (let in)`;
  const row = createElement("tr", "",
    createElement("td", "", open), createElement("td", `verdict ${d.decision}`, verdict), createElement("td", "number", Number(d.score).toFixed(1)),
    createElement("td", "reasons", risky), createElement("td", "mono", shorten(d.user)), createElement("td", "", formatLocation(d)), createElement("td", "number", Number(d.elapsed_ms).toFixed(1)));
  row.dataset.id = d.id;
  return row;
}

const shorten = (pseudonym) => (pseudonym ? String(pseudonym).slice(0, 8) : "–");
const formatLocation = (d) => [d.country, d.asn && `AS${d.asn}`].filter(Boolean).join(" · ") || "–";

/** Shows the explanation of a decision: the base, the weight of each reason as a bar, their sum, and the inputs. */
function explain(d, settings) {
  const score = Number(d.score);
  const letIn = d.action !== d.decision && d.decision !== "review" ? ", but let in" : "";
  byId("detail-title").textContent = `${d.decision[0].toUpperCase()}${d.decision.slice(1)}${letIn}: score ${score.toFixed(1)}`;
  const share = 10 ** (-score / 25);
  const rarity = score <= 0 ? "Nothing about this sign-in is unusual." : `About one legitimate sign-in in ${new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 }).format(1 / share)} looks at least this risky.`;
  const largest = Math.max(Math.abs(d.base ?? 0), ...(d.reasons ?? []).map((r) => Math.abs(r.weight)), 0.1);
  const weights = createElement("div", "weights",
    createWeightRow("base", d.base ?? 0, largest, "log-odds before any evidence"),
    ...(d.reasons ?? []).map((r) => createWeightRow(formatCode(r.code), r.weight, largest, [r.detail, settings.meanings[r.code]].filter(Boolean).join(" – "))),
    createWeightRow("log-odds", d.log_odds ?? 0, largest, "the sum"));
  const took = Object.entries(d.took_ms ?? {}).map(([part, ms]) => `${part} ${formatMillis(ms)}`).join(", ");
  const missing = Object.entries(d.degraded?.causes ?? {}).map(([source, cause]) => `${source}: ${formatCode(cause)}`).join(", ");
  byId("detail-body").replaceChildren(
    createElement("p", "", rarity),
    createElement("h3", "", "Weights"), weights,
    createElement("h3", "", "Inputs"),
    createFacts([
      ["id", d.id], ["time", d.time], ["mode", d.mode], ["context", d.context], ["user", d.user], ["network", d.net], ["device", d.device],
      ["country, AS", formatLocation(d)], ["client", d.client], ["pool", d.pool], ["tenant", d.tenant], ["trigger", formatCode(d.trigger ?? "")],
      ["evidence", Object.entries(d.evidence ?? {}).map(([source, outcome]) => `${source} ${formatCode(outcome)}`).join(", ")],
      ["missing", missing], ["fallback", d.degraded?.fallback], ["took", `${formatMillis(d.elapsed_ms)}: ${took}`], ["model", d.model],
    ]));
  byId("detail").showModal();
}

function createWeightRow(name, weight, largest, why) {
  const bar = createElement("span", "bar diverging");
  bar.setAttribute("aria-hidden", "true");
  const fill = createElement("i", weight > 0 ? "deny" : "allow");
  const half = Math.min(Math.abs(weight) / largest, 1) * 50;
  fill.style.width = `${half}%`;
  fill.style.left = weight > 0 ? "50%" : `${50 - half}%`;
  bar.append(fill);
  return createElement("div", "row", createElement("span", "name", name), bar, createElement("span", "figures-text", formatSigned(weight)), why ? createElement("span", "why", why) : null);
}

function createFacts(pairs) {
  const list = createElement("dl", "facts");
  for (const [name, value] of pairs) {
    if (value != null && value !== "") list.append(createElement("dt", "", name), createElement("dd", name === "id" ? "mono" : "", String(value)));
  }
  return list;
}
