// The last hundred decisions: a table that can be searched, and each one's explanation.

import { millis } from "./charts.js";
import { make, signed, words } from "./panels.js";

const KEPT = 100;
const by = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** The table. `settings()` gives the meanings of reasons. */
export class Decisions {
  constructor(settings) {
    this.settings = settings;
    this.kept = [];
    this.waiting = 0;
    this.paused = false;
    for (const id of ["find", "verdict", "only-degraded"]) by(id).addEventListener("input", () => this.draw());
    by("filters").addEventListener("submit", (event) => event.preventDefault());
    by("pause").addEventListener("click", () => {
      this.paused = !this.paused;
      by("pause").setAttribute("aria-pressed", String(this.paused));
      this.draw();
    });
    by("rows").addEventListener("click", (event) => {
      const id = event.target.closest("tr")?.dataset.id;
      const found = this.kept.find((decision) => decision.id === id);
      if (found) explain(found, this.settings());
    });
  }

  replace(decisions) {
    this.kept = decisions.toReversed().slice(0, KEPT);
    this.draw();
  }

  add(decisions) {
    this.kept = [...decisions.toReversed(), ...this.kept].slice(0, KEPT);
    // Rows must not run away under a reader's pointer or focus.
    if (this.paused || by("rows").matches(":hover, :focus-within")) {
      this.waiting += decisions.length;
      this.tell();
      return;
    }
    this.draw();
  }

  draw() {
    this.waiting = 0;
    const find = by("find").value.trim().toLowerCase();
    const verdict = by("verdict").value;
    const degraded = by("only-degraded").checked;
    const shown = this.kept.filter((d) => (!verdict || d.decision === verdict) && (!degraded || d.degraded) && (!find || haystack(d).includes(find)));
    by("rows").replaceChildren(...shown.map(tableRow));
    by("none").hidden = shown.length > 0;
    by("none").textContent = this.kept.length ? "No decision matches." : "No sign-in yet.";
    this.shown = shown.length;
    this.tell();
  }

  tell() {
    const waiting = this.waiting ? `; ${this.waiting} newer wait until you look away` : "";
    by("shown").textContent = `${this.shown ?? 0} of ${this.kept.length} shown${waiting}`;
  }
}

function haystack(d) {
  return [d.id, d.decision, d.user, d.net, d.device, d.country, d.asn && `as${d.asn}`, d.client, d.pool, d.tenant, d.context, ...(d.reasons ?? []).flatMap((r) => [r.code, words(r.code)])]
    .join(" ").toLowerCase();
}

function tableRow(d) {
  const open = make("button", "open", clock.format(new Date(d.time)));
  open.type = "button";
  open.setAttribute("aria-label", `Explain the ${d.decision} of ${clock.format(new Date(d.time))}`);
  const risky = (d.reasons ?? []).slice(0, 4).map((r) => words(r.code)).join(", ");
  const verdict = d.action === d.decision || d.decision === "review" ? d.decision : `${d.decision} (let in)`;
  const row = make("tr", "",
    make("td", "", open), make("td", `verdict ${d.decision}`, verdict), make("td", "number", Number(d.score).toFixed(1)),
    make("td", "reasons", risky), make("td", "mono", short(d.user)), make("td", "", place(d)), make("td", "number", Number(d.elapsed_ms).toFixed(1)));
  row.dataset.id = d.id;
  return row;
}

const short = (pseudonym) => (pseudonym ? String(pseudonym).slice(0, 8) : "–");
const place = (d) => [d.country, d.asn && `AS${d.asn}`].filter(Boolean).join(" · ") || "–";

/** Opens the whole explanation: base, each reason's weight as a bar, their sum, and what was known. */
function explain(d, settings) {
  const score = Number(d.score);
  const let_in = d.action !== "deny" && d.decision === "deny" ? ", but let in" : "";
  by("detail-title").textContent = `${d.decision[0].toUpperCase()}${d.decision.slice(1)}${let_in}: score ${score.toFixed(1)}`;
  const share = 10 ** (-score / 25);
  const rarity = score <= 0 ? "Nothing about it is unusual." : `About one legitimate sign-in in ${new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 }).format(1 / share)} looks at least this risky.`;
  const largest = Math.max(Math.abs(d.base ?? 0), ...(d.reasons ?? []).map((r) => Math.abs(r.weight)), 0.1);
  const weights = make("div", "weights",
    weightRow("to begin with", d.base ?? 0, largest, "log-odds before anything is known"),
    ...(d.reasons ?? []).map((r) => weightRow(words(r.code), r.weight, largest, [r.detail, settings.meanings[r.code]].filter(Boolean).join(" – "))),
    weightRow("log-odds", d.log_odds ?? 0, largest, "the sum"));
  const took = Object.entries(d.took_ms ?? {}).map(([part, ms]) => `${part} ${millis(ms)}`).join(", ");
  const missing = Object.entries(d.degraded?.causes ?? {}).map(([source, cause]) => `${source}: ${words(cause)}`).join(", ");
  by("detail-body").replaceChildren(
    make("p", "", rarity),
    make("h3", "", "What weighed"), weights,
    make("h3", "", "What was known"),
    facts([
      ["id", d.id], ["time", d.time], ["mode", d.mode], ["context", d.context], ["user", d.user], ["network", d.net], ["device", d.device],
      ["country, AS", place(d)], ["client", d.client], ["pool", d.pool], ["tenant", d.tenant], ["trigger", words(d.trigger ?? "")],
      ["evidence", Object.entries(d.evidence ?? {}).map(([source, outcome]) => `${source} ${words(outcome)}`).join(", ")],
      ["missing", missing], ["fallback", d.degraded?.fallback], ["took", `${millis(d.elapsed_ms)}: ${took}`], ["model", d.model],
    ]));
  by("detail").showModal();
}

function weightRow(name, weight, largest, why) {
  const box = make("span", "bar diverging");
  box.setAttribute("aria-hidden", "true");
  const fill = make("i", weight > 0 ? "deny" : "allow");
  const half = Math.min(Math.abs(weight) / largest, 1) * 50;
  fill.style.width = `${half}%`;
  fill.style.left = weight > 0 ? "50%" : `${50 - half}%`;
  box.append(fill);
  return make("div", "row", make("span", "name", name), box, make("span", "figures-text", signed(weight)), why ? make("span", "why", why) : null);
}

function facts(pairs) {
  const list = make("dl", "facts");
  for (const [name, value] of pairs) {
    if (value != null && value !== "") list.append(make("dt", "", name), make("dd", name === "id" ? "mono" : "", String(value)));
  }
  return list;
}
