// Latency, services and scores: what the event stream has. The charts are those of the last five minutes.

import { updateCalibration } from "./calibration.js";
import { PointBuffer, createRateChart, createScoreChart, createTimeChart, sum, visibleAnnotations } from "./charts.js";
import { byId, formatPercent } from "./elements.js";
import { showAnnotations, showCauses, showParts, showReasons, showServices, showSummary } from "./panels.js";

const count = new Intl.NumberFormat();
const expected = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });

let settings = { deny_at: 80, challenge_at: null, review_at: 50, budget_ms: 2500, mode: "enforce", services: [], meanings: {} };
let charts;
let latest;
const pointBuffer = new PointBuffer();

/** The settings of the process, as it has sent them. */
export const currentSettings = () => settings;

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
  for (const id of ["threshold", "challenge-threshold"]) byId(id).addEventListener("input", showWhatIf);
}

/** Takes the settings. The first ones create the charts. */
export function acceptSettings(received) {
  settings = received;
  if (charts) return;
  byId("threshold").value = String(received.deny_at);
  byId("challenge-threshold").value = String(received.challenge_at ?? received.deny_at);
  charts = {
    rate: createRateChart(byId("rate-chart")),
    time: createTimeChart(byId("time-chart"), received.budget_ms),
    score: createScoreChart(byId("score-chart"), () => ({ settings, whatIf: whatIfThresholds() })),
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
