"use strict";
// Live: the microphone is streamed to the service, and what it says of it grows.

const LIVE_SECONDS = 60; // of the timeline that are seen
const LIVE_LEAST = 10; // so that the first bar is not the whole width

function liveShow(updates) {
  const now = updates[updates.length - 1];
  at("live-result").hidden = false;
  at("now").textContent = `${now.label}, ${percent(now)}`;
  const ordered = Object.entries(now.probabilities);
  at("live-shares").replaceChildren(...ordered.map(([name, share]) => row(name, share)));
  const width = Math.max(280, at("timeline").clientWidth);
  const first = Math.max(0, now.end - LIVE_SECONDS);
  at("timeline").replaceChildren(timelineOf(updates, width, first, Math.max(now.end, first + LIVE_LEAST)));
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
