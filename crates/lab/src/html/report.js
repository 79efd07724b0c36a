"use strict";
(() => {
  const percent = (share) => (share * 100).toFixed(share > 0 && share < 0.001 ? 3 : 2) + " %";
  const count = (share, total) => Math.round(share * total).toLocaleString("en");

  const slider = document.querySelector(".slider");
  const input = document.getElementById("threshold");
  const points = JSON.parse(slider.dataset.points);
  const { legitimate, labelled } = slider.dataset;
  const chosen = document.getElementById("chosen");
  const frame = chosen.ownerSVGElement.querySelector(".grid");
  const [left, right] = [Number(frame.getAttribute("x1")), Number(frame.getAttribute("x2"))];
  const choose = () => {
    const threshold = Number(input.value);
    const [stopped, caught] = points[Math.round(threshold * 2)];
    const found = Number(labelled) > 0 ? ` and ${percent(caught)} of labelled attacks (${count(caught, labelled)} of ${Number(labelled).toLocaleString("en")})` : "";
    document.getElementById("value").textContent = threshold;
    document.getElementById("effect").textContent =
      `Stops ${percent(stopped)} of legitimate sign-ins (${count(stopped, legitimate)} of ${Number(legitimate).toLocaleString("en")})${found}.`;
    const x = left + ((right - left) * threshold) / 100;
    chosen.setAttribute("x1", x);
    chosen.setAttribute("x2", x);
  };
  input.addEventListener("input", choose);
  choose();

  for (const figure of document.querySelectorAll("figure")) {
    const readout = figure.querySelector(".readout");
    const values = JSON.parse(readout.dataset.values);
    const svg = figure.querySelector("svg");
    const guide = figure.querySelector(".guide");
    if (values.length === 0) continue;
    let current = -1;
    const show = (index) => {
      current = index;
      const [x, text] = values[index];
      readout.textContent = text;
      guide.setAttribute("x1", x);
      guide.setAttribute("x2", x);
      guide.style.visibility = "visible";
    };
    readout.textContent = "Point at the chart, or use the arrow keys, to read values.";
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const distance = (index) => Math.abs(values[index][0] - x);
      show(values.reduce((best, _, index) => (distance(index) < distance(best) ? index : best), 0));
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(Math.min(Math.max(current + step, 0), values.length - 1));
    });
  }
})();
