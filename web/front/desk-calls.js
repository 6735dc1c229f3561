// Calls: search, and their recordings.
import { at, make } from "./page.js";
import { duration, known, moment, put, say } from "./say.js";
import { ask, Refusal } from "./session.js";
import { problem, reasonOf } from "./tell.js";

const OUTCOMES = [
  "human", "human_overflow", "abandoned_greeting", "abandoned_queue", "abandoned_ringing", "self_served", "voicemail",
  "timed_out", "queue_full", "no_capacity", "closed_hours", "blocked", "system_failure", "test",
];
let me = null;
let calls = [];
let next = null;
let playing = null;

/** Starts the search for this session. */
export function startCalls(session) {
  me = session;
  at("call-caller-label").hidden = Boolean(me.masked); // whoever sees no numbers cannot search by them
  fillOutcomes();
  at("call-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  at("call-more").addEventListener("click", () => search(next));
  at("player-close").addEventListener("click", close);
  at("audio").addEventListener("error", notPlayed);
  return {
    open: () => search(),
    speak() {
      fillOutcomes();
      draw();
    },
  };
}

function fillOutcomes() {
  const chosen = at("call-outcome").value;
  const any = make("option", { value: "" }, say("outcome.any"));
  at("call-outcome").replaceChildren(
    any, ...OUTCOMES.map((name) => make("option", { value: name, selected: name === chosen }, say(`outcome.${name}`))),
  );
}

async function search(cursor = null) {
  const asked = new URLSearchParams();
  for (const name of ["since", "until", "caller", "agent", "outcome"]) {
    const value = at(`call-${name}`).value.trim();
    if (value) asked.set(name, value);
  }
  if (cursor) asked.set("cursor", cursor);
  let page;
  try {
    page = await ask("GET", `/api/calls?${asked}`);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  calls = cursor ? [...calls, ...page.calls] : page.calls;
  next = page.next;
  draw();
}

function draw() {
  at("calls-empty").hidden = calls.length > 0;
  at("call-more").hidden = next === null;
  at("call-rows").replaceChildren(...calls.map(row));
  if (playing) sayPlayer();
}

function row(call) {
  const word = `outcome.${call.outcome ?? "pending"}`;
  const recording = make("td", { className: "actions" });
  if (call.recording_seconds !== null && me.rights.includes("recordings.read")) {
    const button = make("button", { type: "button" }, `${say("play")} ${duration(call.recording_seconds)}`);
    button.addEventListener("click", () => play(call));
    recording.append(button);
  } else if (call.recording_seconds !== null) recording.append(duration(call.recording_seconds));
  const item = make(
    "tr", {},
    make("th", { scope: "row" }, `${moment(at_(call.arrived))}`),
    make("td", {}, call.number),
    make("td", {}, call.caller),
    make("td", {}, known(word) ? say(word) : String(call.outcome)),
    make("td", { className: "figure" }, between(call.queued, call.answered ?? call.ended)),
    make("td", { className: "figure" }, between(call.answered, call.ended)),
    make("td", {}, call.agents.join("  ")),
    recording,
  );
  item.dataset.call = call.id;
  return item;
}

const at_ = (iso) => Date.parse(iso) * 1000;

function between(begin, end) {
  return begin && end ? duration((Date.parse(end) - Date.parse(begin)) / 1000) : "";
}

function play(call) {
  playing = call;
  const address = `/api/calls/${encodeURIComponent(call.id)}/recording`;
  at("audio").src = address;
  at("download").href = `${address}?download=1`;
  at("player").hidden = false;
  sayPlayer();
  at("audio").play().catch(() => {}); // its event `error` says what is wrong with it
}

function sayPlayer() {
  put(at("player-says"), say("playing", { time: moment(at_(playing.arrived)), caller: playing.caller, agents: playing.agents.join(" ") }));
}

function close() {
  playing = null;
  at("audio").pause();
  at("audio").removeAttribute("src");
  at("player").hidden = true;
}

/** A player only knows that it cannot play; the server says why. */
async function notPlayed() {
  if (!playing) return;
  try {
    await ask("GET", at("audio").getAttribute("src"));
    problem(say("play.failed"));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem(reasonOf(error));
  }
}
