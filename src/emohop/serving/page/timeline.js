"use strict";
// Emotions over time, as SVG: one row per class, as high as it is probable, dark where it is the most probable.

const NAMES = 76, ROW = 32;

// `predictions` in order, over the seconds from `first` to `last`; `choose(k)` is told which is clicked.
function timelineOf(predictions, width, first, last, choose = null) {
  const names = Object.keys(predictions[0].probabilities);
  const x = (seconds) => NAMES + ((width - NAMES) * Math.max(0, seconds - first)) / Math.max(0.1, last - first);
  const height = (names.length + 1) * ROW;
  const drawn = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const put = (...made) => drawn.appendChild(element(...made));
  put("title", {}, `The probability of each emotion from ${clock(first)} to ${clock(last)}`);
  names.forEach((name, row) => {
    const bottom = (row + 1) * ROW;
    put("text", { x: 0, y: bottom - 9 }, name);
    put("line", { x1: NAMES, x2: width, y1: bottom - 1, y2: bottom - 1, class: "line" });
  });
  let from = first;
  predictions.forEach((one, k) => {
    const begins = Math.max(one.start, from); // of clips that grow, what is new
    const wide = Math.max(x(one.end ?? one.start) - x(begins), 0);
    from = Math.max(from, one.end ?? one.start);
    if (wide <= 0) return;
    names.forEach((name, row) => {
      const tall = (ROW - 4) * one.probabilities[name];
      const kind = name === one.label ? "most" : "less";
      put("rect", { class: kind, x: x(begins), y: (row + 1) * ROW - 1 - tall, width: wide, height: tall });
    });
    if (!choose) return;
    const whole = put("rect", { class: "clip", x: x(begins), y: 0, width: wide, height: height - ROW });
    whole.append(element("title", {}, `${clock(one.start)} ${one.label}`));
    whole.addEventListener("click", () => choose(k));
  });
  for (const [seconds, anchor] of [[first, "start"], [last, "end"]]) {
    put("text", { class: "faint", x: x(seconds), y: height - 12, "text-anchor": anchor }, clock(seconds));
  }
  return drawn;
}
