"use strict";
// Attention weights as SVG: one band per hop over the time, or the words, of the clip.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 76, RIGHT = 44, BAND = 46, WORDS = 70;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function isTimed(hop) {
  return hop.starts.every((start) => start !== null);
}

// The steps of a hop from 0 to `seconds`: where they are, or one after the other where that is not known.
function stepsOf(hop, seconds) {
  const timed = isTimed(hop);
  const count = hop.weights.length;
  return hop.weights.map((weight, k) => {
    const from = timed ? hop.starts[k] : (k * seconds) / count;
    const to = timed ? hop.ends[k] : ((k + 1) * seconds) / count;
    return { weight, from, to: Math.max(to, from + seconds / 500), word: hop.words ? hop.words[k] : null };
  });
}

function putWords(figure, steps, x, bottom) {
  const every = Math.ceil(steps.length / 30);
  steps.forEach((step, k) => {
    if (k % every) return;
    const middle = (x(step.from) + x(step.to)) / 2;
    const turned = { x: middle, y: bottom, transform: `rotate(-45 ${middle} ${bottom})` };
    figure.append(element("text", turned, step.word.slice(0, 14)));
  });
}

// Words without times stand in a band of their own, which is not on the seconds below.
// `width` is that of the place where it will stand, so that its letters keep their size.
function attentionOf(prediction, width) {
  const hops = prediction.attention;
  const seconds = prediction.end === null ? 1 : Math.max(0.05, prediction.end - prediction.start);
  const inner = width - LEFT - RIGHT;
  const x = (time) => LEFT + (inner * Math.min(time, seconds)) / seconds;
  const ofWords = (hop) => hop.words && hop.words.length;
  const spoken = hops.find((hop) => ofWords(hop) && isTimed(hop));
  const apart = hops.map((hop) => ofWords(hop) && !isTimed(hop) && prediction.end !== null);
  const rowOfWords = spoken || (prediction.end === null && hops.some(ofWords)) ? WORDS : 0;
  const height = rowOfWords + hops.length * BAND + apart.filter(Boolean).length * WORDS + 24;
  const figure = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  figure.append(element("title", {}, `Attention weights of ${hops.length} hops`));
  if (rowOfWords) putWords(figure, stepsOf(spoken || hops.find(ofWords), seconds), x, rowOfWords - 8);
  let bottom = rowOfWords - 8;
  hops.forEach((hop, number) => {
    bottom += BAND + (apart[number] ? WORDS : 0);
    if (apart[number]) {
      const top = bottom - BAND - WORDS + 12;
      figure.append(element("rect", { x: LEFT, y: top, width: inner, height: bottom - top, class: "apart" }));
      figure.append(element("text", { x: LEFT - 8, y: bottom + 6, "text-anchor": "end", class: "faint" }, "in order"));
      putWords(figure, stepsOf(hop, seconds), x, bottom - BAND + 6);
    }
    const name = { x: LEFT - 8, y: bottom - 10, "text-anchor": "end" };
    figure.append(element("text", name, `${hop.hop} ${hop.target}`));
    figure.append(element("line", { x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom, class: "line" }));
    if (!hop.weights.length) {
      figure.append(element("text", { x: LEFT + 8, y: bottom - 10, class: "faint" }, "no steps"));
      return;
    }
    const most = Math.max(...hop.weights);
    for (const step of stepsOf(hop, seconds)) {
      const tall = ((BAND - 14) * step.weight) / most;
      const wide = Math.max(0.5, x(step.to) - x(step.from) - 0.5);
      const bar = { x: x(step.from), y: bottom - tall, width: wide, height: tall, class: hop.target };
      figure.append(element("rect", bar));
    }
    figure.append(element("text", { x: width - RIGHT + 8, y: bottom - 10, class: "faint" }, hop.entropy.toFixed(2)));
  });
  if (prediction.end !== null) {
    figure.append(element("text", { x: LEFT, y: height - 6, class: "faint" }, "0 s"));
    const end = { x: width - RIGHT, y: height - 6, "text-anchor": "end", class: "faint" };
    figure.append(element("text", end, `${seconds.toFixed(1)} s`));
  }
  return figure;
}
