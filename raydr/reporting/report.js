"use strict";
// What the page does beyond standing still: it reads curves under the pointer and moves a threshold.
(() => {
  document.documentElement.classList.add("live");

  // Reading: the nearest point of any named curve of a figure, or the words of a mark.
  const reading = document.createElement("div");
  reading.className = "reading";
  reading.setAttribute("role", "status");
  reading.hidden = true;
  document.body.append(reading);

  function read(title, rows, left, top) {
    const lines = rows.map(([label, value]) => {
      const line = document.createElement("span");
      line.append(label, Object.assign(document.createElement("b"), { textContent: value }));
      return line;
    });
    reading.replaceChildren(Object.assign(document.createElement("strong"), { textContent: title }), ...lines);
    reading.hidden = false;
    const width = reading.offsetWidth, room = document.documentElement.clientWidth;
    reading.style.left = `${Math.max(8, Math.min(left + 14, room - width - 8)) + scrollX}px`;
    reading.style.top = `${Math.max(8, top - reading.offsetHeight - 12) + scrollY}px`;
  }

  function readable(picture) {
    const labels = (picture.dataset.reads || "").split("|");
    const curves = [...picture.querySelectorAll("path[data-values]")].map((path) => ({
      name: path.dataset.name,
      kind: path.getAttribute("class"),
      places: path.getAttribute("d").slice(1).split("L").map((place) => place.split(" ").map(Number)),
      values: path.dataset.values.split(" ").map((row) => row.split(",").map(Number)),
    }));
    if (!curves.length) return;
    const spot = document.createElementNS(picture.namespaceURI, "circle");
    spot.setAttribute("r", 4.5);
    const leave = () => { reading.hidden = true; spot.remove(); };
    const follow = (event) => {
      const says = event.target.closest("[data-says]");
      if (says) { spot.remove(); return read(says.dataset.says, [], event.clientX, event.clientY); }
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
      let best = null;
      for (const curve of curves)
        curve.places.forEach(([x, y], row) => {
          const distance = Math.hypot(x - at.x, y - at.y);
          if (!best || distance < best.distance) best = { curve, row, distance, x, y };
        });
      if (best.distance > 60) return leave();
      spot.setAttribute("class", `spot ${best.curve.kind}`);
      spot.setAttribute("cx", best.x);
      spot.setAttribute("cy", best.y);
      picture.append(spot);
      const { values, name } = best.curve;
      read(name, values[best.row].map((value, column) => [labels[column], tidy(value)]), event.clientX, event.clientY);
    };
    picture.addEventListener("pointermove", follow);
    picture.addEventListener("pointerdown", follow);
    picture.addEventListener("pointerleave", leave);
  }

  const tidy = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(3));

  for (const title of document.querySelectorAll("svg title")) {
    const mark = title.parentNode;
    mark.dataset.says = title.textContent;
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
    if (mark.closest("svg").querySelector("path[data-values]")) continue;
    mark.addEventListener("pointermove", (event) => read(mark.dataset.says, [], event.clientX, event.clientY));
    mark.addEventListener("pointerleave", () => { reading.hidden = true; });
  }
  document.querySelectorAll("svg[data-reads]").forEach(readable);

  // The threshold: one slider, the calls of every data set, and a cursor in every figure that it touches.
  const data = document.getElementById("threshold-data");
  if (!data) return;
  const { thresholds, start, first_referable: firsts, called } = JSON.parse(data.textContent);
  const slider = document.getElementById("threshold");
  const shown = document.getElementById("threshold-value");
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const count = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const share = (part, whole) => (whole ? (part / whole).toFixed(3) : "–");

  function put(place, figures) {
    const card = document.querySelector(`[data-calls="${place}"]`);
    for (const [name, words] of Object.entries(figures)) card.querySelector(`[data-figure="${name}"]`).textContent = words;
  }

  function point(curve, place, x, y) {
    for (const mark of document.querySelectorAll(`[data-cursor="${curve}"][data-set="${place}"]`)) {
      const [left, top, right, bottom] = mark.closest("svg").dataset.frame.split(" ").map(Number);
      const isDefined = Number.isFinite(x) && Number.isFinite(y);
      mark.style.visibility = isDefined ? "visible" : "hidden";
      if (!isDefined) continue;
      const across = left + (right - left) * x;
      if (mark.tagName === "line") { mark.setAttribute("x1", across); mark.setAttribute("x2", across); continue; }
      mark.setAttribute("cx", across);
      mark.setAttribute("cy", bottom + (top - bottom) * y);
    }
  }

  function show(step) {
    shown.textContent = thresholds[step].toFixed(3);
    slider.setAttribute("aria-valuetext", `threshold ${thresholds[step].toFixed(3)}`);
    for (const button of document.querySelectorAll("button[data-step]"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.step) === step));
    called.forEach((grades, place) => {
      const now = grades.map((row) => row[step]), all = grades.map((row) => row[0]);
      const first = firsts[place];
      const tp = sum(now.slice(first)), fp = sum(now.slice(0, first));
      const positives = sum(all.slice(first)), negatives = sum(all.slice(0, first));
      const fn = positives - tp, tn = negatives - fp;
      if (positives + negatives)
        put(place, {
          tp: count(tp), fp: count(fp), fn: count(fn), tn: count(tn),
          Sensitivity: share(tp, positives), Specificity: share(tn, negatives),
          PPV: share(tp, tp + fp), NPV: share(tn, tn + fn),
          ...(grades.length > 2 && Object.fromEntries(now.map((value, grade) => [`grade-${grade}`, `${count(value)} of ${count(all[grade])}`]))),
        });
      const meters = document.querySelectorAll(`[data-calls="${place}"] [data-meter]`);
      meters.forEach((meter, grade) => meter.style.setProperty("--share", all[grade] ? now[grade] / all[grade] : 0));
      point("roc", place, negatives ? fp / negatives : NaN, positives ? tp / positives : NaN);
      point("precision", place, positives ? tp / positives : NaN, tp + fp ? tp / (tp + fp) : NaN);
      point("scores", place, thresholds[step], 0);
    });
  }

  slider.max = thresholds.length - 1;
  slider.value = start;
  slider.addEventListener("input", () => show(Number(slider.value)));
  for (const button of document.querySelectorAll("button[data-step]"))
    button.addEventListener("click", () => { slider.value = button.dataset.step; show(Number(slider.value)); });
  show(Number(slider.value));
})();
