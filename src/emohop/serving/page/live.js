"use strict";
// Live: the microphone is streamed to the service, and what it says of it grows.

const LIVE_SECONDS = 60; // of the timeline that are seen

function liveTimeline(updates) {
  const names = Object.keys(updates[0].probabilities);
  const width = Math.max(280, at("timeline").clientWidth);
  const [left, high] = [90, 22];
  const last = updates[updates.length - 1].end;
  const first = Math.max(0, last - LIVE_SECONDS);
  const x = (seconds) => left + ((width - left) * Math.max(0, seconds - first)) / Math.max(10, last - first);
  const drawn = element("svg", { viewBox: `0 0 ${width} ${(names.length + 1) * high}`, role: "img" });
  const put = (...made) => drawn.append(element(...made));
  put("title", {}, `Emotions from ${clock(first)} to ${clock(last)}`);
  names.forEach((name, row) => put("text", { x: 0, y: (row + 0.75) * high }, name));
  let from = 0;
  for (const one of updates) {
    const begins = Math.max(one.start, from);
    const wide = x(one.end) - x(begins);
    if (wide > 0) {
      names.forEach((name, row) => {
        const share = one.probabilities[name];
        put("rect", { class: "audio", x: x(begins), y: row * high, width: wide, height: high - 2, "fill-opacity": share });
      });
    }
    from = one.end;
  }
  for (const [seconds, anchor] of [[first, "start"], [last, "end"]]) {
    put("text", { class: "faint", x: x(seconds), y: (names.length + 0.75) * high, "text-anchor": anchor }, clock(seconds));
  }
  return drawn;
}

function liveShow(updates) {
  const now = updates[updates.length - 1];
  at("live-result").hidden = false;
  at("now").textContent = `${now.label}, ${Math.round(100 * now.probabilities[now.label])} %`;
  const ordered = Object.entries(now.probabilities);
  at("live-shares").replaceChildren(...ordered.map(([name, share]) => row(name, share)));
  at("timeline").replaceChildren(liveTimeline(updates));
}

async function live(ended) {
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext();
  const address = new URL("v1/stream", location.href);
  address.protocol = location.protocol.endsWith("s:") ? "wss:" : "ws:";
  const still = () => {
    for (const track of microphone.getTracks()) track.stop();
    if (context.state !== "closed") context.close();
  };
  try {
    await context.audioWorklet.addModule("page/microphone.js");
  } catch (problem) {
    still();
    throw problem;
  }
  const node = new AudioWorkletNode(context, "microphone");
  const socket = new WebSocket(address);
  const tell = (value) => socket.readyState === WebSocket.OPEN && socket.send(value);
  const words = () => tell(JSON.stringify({ text: at("text").value.trim() || null }));
  const updates = [];
  let error = "";
  socket.addEventListener("open", () => {
    const begin = { sample_rate: context.sampleRate, format: "f32le", attention: false };
    if (at("text").value.trim()) begin.text = at("text").value;
    if (at("token").value.trim()) begin.token = at("token").value.trim();
    begin.turns = at("segments").value === "speech";
    tell(JSON.stringify(begin));
    node.port.onmessage = (event) => tell(event.data.buffer);
    context.createMediaStreamSource(microphone).connect(node).connect(context.destination);
    at("text").addEventListener("input", words);
    say("Listening …");
  });
  socket.addEventListener("message", (event) => {
    const found = JSON.parse(event.data);
    error = found.error || error;
    if (!found.prediction) return;
    updates.push(found.prediction);
    while (updates[0].end < found.prediction.end - LIVE_SECONDS) updates.shift();
    liveShow(updates);
  });
  socket.addEventListener("close", (event) => {
    still();
    at("text").removeEventListener("input", words);
    if (error.includes("token")) at("secret").hidden = false;
    if (event.code === 1000) say(updates.length ? `Done: ${updates[updates.length - 1].label}` : "Nothing was heard.");
    else say("", error || `The stream was closed (${event.code}).`);
    ended();
  });
  return () => {
    still();
    if (socket.readyState === WebSocket.OPEN) tell(JSON.stringify({ end: true }));
    else socket.close();
  };
}

{
  const button = at("live");
  const idle = button.textContent;
  let stop = null;
  button.hidden = !(navigator.mediaDevices && window.AudioWorkletNode);
  button.addEventListener("click", async () => {
    if (stop) {
      stop();
      return;
    }
    button.disabled = true;
    try {
      stop = await live(() => {
        stop = null;
        button.textContent = idle;
      });
      button.textContent = "Stop";
    } catch (problem) {
      say("", `Nothing can be heard here (${problem.message}).`);
    } finally {
      button.disabled = false;
    }
  });
}
