// Calls: search, and their recordings. The address names the recording that is played, and the place in it:
// #calls&call=ID&t=75 opens it there.
import { at, make } from "./page.js";
import { duration, known, moment, say } from "./say.js";
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
let player = null;

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
  return {
    async open() {
      await search();
      await followAddress();
    },
    speak() {
      fillOutcomes();
      draw();
      player?.speak();
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

/** Opens the recording that the address names, at its place. */
async function followAddress() {
  const named = new URLSearchParams(location.hash.slice(1));
  if (!named.has("call") && !named.has("t")) return;
  const [id, place] = [named.get("call") ?? playing?.id, Number(named.get("t")) || 0];
  if (!id || !me.rights.includes("recordings.read")) return;
  if (id === playing?.id) return player?.seek(place);
  try {
    await open((await ask("GET", `/api/calls/${encodeURIComponent(id)}`)).call, place);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem(reasonOf(error));
  }
}

async function play(call) {
  if (call.id !== playing?.id) await open(call);
  await player?.play();
}

async function open(call, seconds = 0) {
  close();
  playing = call;
  const { mountPlayer } = await import("./player.js");
  if (playing !== call) return; // another one was opened meanwhile
  at("player").hidden = false;
  player = mountPlayer(at("player"), call.id, {
    me,
    seconds,
    title: () => say("playing", { time: moment(at_(call.arrived)), caller: call.caller, agents: call.agents.join(" ") }),
    onPlace: remember,
    onClose: () => {
      close();
      history.replaceState(null, "", "#calls");
    },
  });
  at("player").scrollIntoView({ block: "nearest" });
}

function remember(seconds) {
  if (playing) history.replaceState(null, "", `#calls&call=${encodeURIComponent(playing.id)}&t=${Math.round(seconds * 10) / 10}`);
}

function close() {
  playing = null;
  player?.close();
  player = null;
  at("player").hidden = true;
}
