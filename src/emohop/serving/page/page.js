"use strict";
// The page: a file, words or a recording is sent to the service, and its answer is shown.

const at = (id) => document.getElementById(id);
let file = null; // what was chosen, dropped or recorded last
let heard = null; // the words that the service recognised in it, while they stand in the text box
let request = null; // the one that is under way
let answer = null;
let link = null;

function headers() {
  const token = at("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function say(status, error = "") {
  at("status").textContent = status;
  at("error").textContent = error;
  at("error").hidden = !error;
}

// What went wrong; the answer to something else does not stay beside it.
function fail(error) {
  at("result").hidden = true;
  say("", error);
}

function ask(text, segments) {
  if (!file && !text.trim()) {
    fail("Choose a file, record, or write what is said.");
    return;
  }
  const body = new FormData();
  const name = file ? file.name || "recording" : "";
  if (file) body.append("file", file, name);
  if (text.trim()) body.append("text", text);
  if (segments && file && cuts(text, segments)) body.append("segments", segments);
  request = new XMLHttpRequest(); // fetch does not say how much is sent
  request.open("POST", "v1/predict");
  for (const [key, value] of Object.entries(headers())) request.setRequestHeader(key, value);
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) at("sent").value = event.loaded / event.total;
    say(event.loaded < event.total ? "Sending …" : "Working …");
  });
  request.addEventListener("load", () => answered(request, name, text));
  request.addEventListener("error", () => fail("The service cannot be reached, or closed the connection."));
  request.addEventListener("abort", () => say("Cancelled."));
  request.addEventListener("loadend", () => busy(false));
  busy(true);
  say(file ? "Sending …" : "Working …");
  request.send(body);
}

function busy(is) {
  at("go").disabled = is;
  at("cancel").hidden = !is;
  at("sent").hidden = !is || !file;
  at("sent").value = 0;
}

function answered(done, name, text) {
  let found;
  try {
    found = JSON.parse(done.responseText);
  } catch {
    found = {};
  }
  if (done.status === 401) at("secret").hidden = false;
  if (done.status !== 200) {
    fail(found.error || `The service answered ${done.status}.`);
    return;
  }
  show(found, name);
  if (name && !text.trim()) hear(found.predictions);
  const lost = (found.errors || []).map((one) => one.error).join(" ");
  say(found.predictions.length > 1 ? `Done: ${found.predictions.length} clips` : `Done: ${found.predictions[0].label}`, lost);
}

// Whether a choice of how to cut is sent: a text is that of one clip.
function cuts(text, segments) {
  return !text.trim() || segments === "none";
}

function explainCutting() {
  const said = !cuts(at("text").value, at("segments").value) && at("segments").value !== "";
  at("cutting").textContent = said ? "With a text, the file is one clip and is not cut: empty the text to have it cut." : "";
  at("cutting").hidden = !said;
}

// Words that were recognised can be mended where others are written.
function hear(predictions) {
  const said = predictions.length === 1 ? predictions[0].transcript : null;
  heard = said && predictions[0].transcript_from !== "given" ? said : null;
  if (heard) at("text").value = heard;
  at("heard").textContent = heard ? "These words were recognised: mend them and predict again." : "";
  at("heard").hidden = !heard;
  explainCutting();
}

function row(name, share) {
  const line = document.createElement("div");
  line.className = "share";
  const label = document.createElement("span");
  label.textContent = name;
  const bar = document.createElement("meter");
  bar.value = share;
  bar.setAttribute("aria-label", name);
  const number = document.createElement("span");
  number.textContent = `${Math.round(100 * share)} %`;
  line.append(label, bar, number);
  return line;
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

function percent(one) {
  return `${Math.round(100 * one.probabilities[one.label])} %`;
}

// A line a clip; the button in it shows the clip.
function table(predictions, choose) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  const said = predictions.some((one) => one.transcript) ? ["said"] : [];
  const notes = predictions.some((one) => one.notes.length) ? ["notes"] : [];
  for (const name of ["from", "to", "emotion", "probability", ...said, ...notes]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
  const rows = made.createTBody();
  predictions.forEach((one, k) => {
    const line = rows.insertRow();
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = clock(one.start);
    button.setAttribute("aria-label", `Show the clip from ${clock(one.start)}`);
    button.addEventListener("click", () => choose(k));
    line.insertCell().append(button);
    const cells = [clock(one.end ?? one.start), one.label, percent(one), ...said.map(() => one.transcript || ""), ...notes.map(() => one.notes.join(" "))];
    for (const text of cells) line.insertCell().textContent = text;
  });
  return made;
}

function showClip(one) {
  const ordered = Object.entries(one.probabilities).sort((a, b) => b[1] - a[1]);
  at("shares").replaceChildren(...ordered.map(([name, share]) => row(name, share)));
  const facts = [`Used: ${one.used.join(", ")}.`];
  if (one.missing.length) facts.push(`Missing: ${one.missing.join(", ")}.`);
  if (one.unknown_words.length) facts.push(`Words that the model does not know: ${one.unknown_words.join(", ")}.`);
  at("facts").textContent = facts.join(" ");
  const drawn = one.attention.length > 0;
  at("attention").replaceChildren(...(drawn ? [attentionOf(one, Math.max(280, at("attention").clientWidth))] : []));
  at("note").hidden = !drawn;
}

// A recording: its timeline, a table of its clips, and the one that was chosen.
function showClips(predictions) {
  const last = Math.max(...predictions.map((one) => one.end ?? one.start));
  const choose = (k) => {
    const one = predictions[k];
    at("chosen").textContent = `${clock(one.start)} to ${clock(one.end ?? one.start)}: ${one.label}, ${percent(one)}`;
    for (const all of [at("clips").querySelectorAll("tbody tr"), at("line").querySelectorAll(".clip")]) {
      all.forEach((mark, n) => mark.classList.toggle("chosen", n === k));
    }
    showClip(one);
  };
  const width = Math.max(280, at("line").clientWidth);
  at("line").replaceChildren(timelineOf(predictions, width, 0, last, choose));
  at("clips").replaceChildren(table(predictions, choose));
  choose(0);
}

// What an answer is not about, above it.
function showNotes(predictions) {
  const all = predictions.flatMap((one) => [...one.notes, ...one.segments.flatMap((part) => part.notes)]);
  const notes = [...new Set(all)];
  at("notes").textContent = notes.length > 3 ? `${notes.slice(0, 3).join(" ")} … (${notes.length} notes in all)` : notes.join(" ");
  at("notes").hidden = !notes.length;
}

function show(found, name) {
  answer = found;
  const one = found.predictions[0];
  const parts = found.predictions.length > 1 ? found.predictions : one.segments;
  const several = parts.length > 1;
  for (const id of ["line", "clips", "chosen"]) at(id).hidden = !several;
  at("result").hidden = false;
  at("of").textContent = name ? `What the service says of ${name}` : "What the service says of these words";
  showNotes(found.predictions);
  const many = found.predictions.length > 1;
  at("label").textContent = many ? `${found.predictions.length} clips` : `${one.label}, ${percent(one)}`;
  if (several) showClips(parts);
  else showClip(one);
  if (link) URL.revokeObjectURL(link);
  link = URL.createObjectURL(new Blob([JSON.stringify(answer, null, 1)], { type: "application/json" }));
  at("download").href = link;
}

function take(chosen) {
  file = chosen;
  if (heard !== null && at("text").value === heard) at("text").value = ""; // of the file before
  hear([]);
  at("remove").hidden = !chosen;
  if (chosen && at("file").files[0] !== chosen) { // the field names what was dropped or recorded, too
    const held = new DataTransfer();
    held.items.add(chosen);
    at("file").files = held.files;
  }
  if (!chosen) at("file").value = "";
  say(chosen ? `Ready: ${chosen.name || "recording"}` : "");
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask(at("text").value, at("segments").value);
});
at("cancel").addEventListener("click", () => request && request.abort());
at("remove").addEventListener("click", () => take(null));
for (const id of ["text", "segments"]) at(id).addEventListener("input", explainCutting);
at("file").addEventListener("change", () => take(at("file").files[0] || null));

for (const kind of ["dragover", "dragenter"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  at("drop").addEventListener(kind, () => at("drop").classList.remove("over"));
}
at("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
});

function recorder(button, wanted, name) {
  let running = null;
  const idle = button.textContent;
  button.addEventListener("click", async () => {
    if (running) {
      running.stop();
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia(wanted);
    } catch (problem) {
      fail(`Nothing can be recorded here (${problem.message}).`);
      return;
    }
    const parts = [];
    running = new MediaRecorder(stream);
    running.addEventListener("dataavailable", (event) => parts.push(event.data));
    running.addEventListener("stop", () => {
      for (const track of stream.getTracks()) track.stop();
      running = null;
      button.textContent = idle;
      take(new File(parts, name));
    });
    running.start();
    button.textContent = "Stop";
    say("Recording …");
  });
}

const records = navigator.mediaDevices && window.MediaRecorder;
for (const [id, wanted, name] of [
  ["record-audio", { audio: true }, "recording.webm"],
  ["record-video", { audio: true, video: true }, "video.webm"],
]) {
  if (records) recorder(at(id), wanted, name);
  else at(id).hidden = true;
}

fetch("v1/model", { headers: headers() })
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(response.status))))
  .then((model) => {
    at("model").textContent = `${model.model}: ${model.labels.join(", ")}`;
  })
  .catch(() => {
    at("secret").hidden = false;
  });
