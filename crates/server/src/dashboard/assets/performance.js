// Latency, services and scores: what the event stream has. The charts are those of the last five minutes.

import { updateCalibration } from "./calibration.js";
import { PointBuffer, createRateChart, createScoreChart, createTimeChart, sum, visibleAnnotations } from "./charts.js";
import { byId, formatPercent, formatTime } from "./elements.js";
import { showAnnotations, showCauses, showParts, showReasons, showServices, showSummary } from "./panels.js";

const count = new Intl.NumberFormat();
const expected = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });

// The thresholds in force, by decisions; those of the process until there are any.
let inForce = [];
let isSliderSet = false;

let settings = { deny_at: 80, challenge_at: null, review_at: 50, budget_ms: 2500, mode: "enforce", services: [], meanings: {} };
let charts;
let latest;
const pointBuffer = new PointBuffer();

/** The settings of the process, as it has sent them. */
export const currentSettings = () => settings;

/** Takes the thresholds that decide now, by app client: `[{client, review, challenge, deny, since, before}]`. */
export function acceptThresholds(thresholds) {
  const groups = new Map();
  for (const { client, review, challenge, deny, since, before } of thresholds ?? []) {
    const key = JSON.stringify([review, challenge, deny]);
    const group = groups.get(key) ?? { review_at: review, challenge_at: challenge, deny_at: deny, clients: [], since, before };
    group.clients.push(client || "none");
    if (since >= group.since) Object.assign(group, { since, before: before ?? group.before });
    groups.set(key, group);
  }
  const found = [...groups.values()].sort((a, b) => b.clients.length - a.clients.length);
  if (JSON.stringify(found) === JSON.stringify(inForce)) return;
  inForce = found;
  if (inForce.length && !isSliderSet) setSliders(inForce[0]);
  showInForce();
  if (!byId("view-performance").hidden) drawPerformance();
}

function setSliders({ challenge_at: challenge, deny_at: deny }) {
  byId("threshold").value = String(deny);
  byId("challenge-threshold").value = String(challenge ?? deny);
}

const formatThresholds = ({ review_at: review, challenge_at: challenge, deny_at: deny }) => `review from ${review}, ${challenge == null ? "no challenges" : `challenge from ${challenge}`}, deny from ${deny}`;

/** Says which thresholds are in force, for which app clients, and which were before. */
function showInForce() {
  const texts = inForce.map((group) => {
    const before = group.before ? ` since ${formatTime(group.since * 1000)}; before: ${formatThresholds({ review_at: group.before.review, challenge_at: group.before.challenge, deny_at: group.before.deny })}` : "";
    return `${formatThresholds(group)}${inForce.length > 1 ? ` (${group.clients.join(", ")})` : ""}${before}`;
  });
  byId("in-force").textContent = texts.length ? `In force: ${texts.join(". ")}.` : "";
}

/** The thresholds of the most app clients. */
const mostInForce = () => ({ ...settings, ...inForce[0] });

/** The thresholds of the sliders. Challenges from the deny threshold on are no challenges. */
function whatIfThresholds() {
  const deny = Number(byId("threshold").value);
  return { challenge: Math.min(Number(byId("challenge-threshold").value), deny), deny };
}

function showWhatIf() {
  const { challenge, deny } = whatIfThresholds();
  byId("threshold-value").textContent = String(deny);
  byId("threshold").setAttribute("aria-valuetext", `deny from ${deny}`);
  byId("challenge-threshold-value").textContent = challenge < deny ? String(challenge) : "off";
  byId("challenge-threshold").setAttribute("aria-valuetext", challenge < deny ? `challenge from ${challenge}` : "no challenges");
  if (!latest) return;
  const { scores, challenged, denied } = latest;
  const all = sum(scores, 0);
  const atLeast = sum(scores, deny * 2);
  const between = sum(scores, challenge * 2, deny * 2);
  // A score of 25 n is reached by one legitimate sign-in in 10^n.
  const legitimate = all * (10 ** (-challenge / 25) - 10 ** (-deny / 25));
  byId("whatif").textContent = all
    ? [
      `Of the last hour's ${count.format(all)} sign-ins, ${count.format(atLeast)} (${formatPercent(atLeast / all)}) would have been denied`,
      challenge < deny ? ` and ${count.format(between)} (${formatPercent(between / all)}) challenged, about ${expected.format(legitimate)} of them legitimate by the model's tables` : "",
      `. ${count.format(denied)} (${formatPercent(denied / all)}) were classified as deny and ${count.format(challenged)} (${formatPercent(challenged / all)}) as challenge.`,
    ].join("")
    : "No sign-ins in the last hour.";
  charts?.score(scores);
}

/** Prepares the sliders. */
export function setUpPerformance() {
  for (const id of ["threshold", "challenge-threshold"]) {
    byId(id).addEventListener("input", () => {
      isSliderSet = true;
      showWhatIf();
    });
  }
}

/** Takes the settings. The first ones create the charts. */
export function acceptSettings(received) {
  settings = received;
  if (charts) return;
  setSliders(mostInForce());
  charts = {
    rate: createRateChart(byId("rate-chart")),
    time: createTimeChart(byId("time-chart"), received.budget_ms),
    score: createScoreChart(byId("score-chart"), () => ({ settings: mostInForce(), others: inForce.slice(1), before: inForce.map((group) => group.before).filter(Boolean), whatIf: whatIfThresholds() })),
  };
}

/** Takes a message of the stream. A hidden view is not drawn. */
export function acceptMessage(message) {
  latest = message;
  pointBuffer.update(message.seconds);
  if (!byId("view-performance").hidden) drawPerformance();
}

/** Draws the view. */
export function drawPerformance() {
  void updateCalibration();
  if (!latest) return;
  const points = pointBuffer.list();
  const annotations = visibleAnnotations(latest.annotations, points);
  charts?.rate(points, annotations);
  charts?.time(points, annotations);
  showAnnotations(annotations);
  showSummary(latest, settings);
  showParts(latest, settings);
  showServices(latest, settings);
  showCauses(latest);
  showReasons(latest, settings);
  showWhatIf();
}
