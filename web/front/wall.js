// The wallboard: what happens now, readable from five metres.
import "./wall.css";
import { showAlarms } from "./alarms.js";
import { Curve } from "./curve.js";
import { AgentFloor } from "./floor.js";
import { follow, ServerClock } from "./live.js";
import { at, make, start, turn } from "./page.js";
import { clock, count, day, duration, percent, put, say } from "./say.js";
import { session, signOut } from "./session.js";

const GOAL = 0.95;
const SMALLEST_SAMPLE = 20;
const MOST_ALARMS = 3;
const SECOND = 1e6;

const serverClock = new ServerClock();
const curve = new Curve(at("curve"));
const floor = new AgentFloor({ floor: at("floor"), chips: at("chips"), total: at("total"), empty: at("no-agents") });
let state = null;
let staleSince = null; // microseconds; null while news comes

/** The service figures: a word, what is large, what is small beside it. A dash where the state does not say. */
const SERVICE = [
  { id: "m4", name: () => say("m4"), value: (s) => share(s.m4) },
  { id: "asa", name: () => say("asa"), value: (s) => seconds(s.asa) },
  { id: "sla15", name: () => say("sla", { n: 15 }), value: (s) => share(s.sla15) },
  { id: "sla60", name: () => say("sla", { n: 60 }), value: (s) => share(s.sla60) },
  { id: "abandoned", name: () => say("abandoned"), value: (s) => share(s.abandoned), small: satisfied },
  { id: "callbacks", name: () => say("callbacks"), value: (s) => whole(s.callbacks.due), small: (s) => say("yielded", { n: count(s.callbacks.yielded) }) },
];
/** Today's M12, as soon as somebody has rated a talk. */
function satisfied({ figures }) {
  const M12 = figures?.M12;
  return M12?.denominator ? say("satisfied", { share: share(M12.value).join("") }) : "";
}
const cells = new Map();
for (const one of SERVICE) {
  const name = make("dt");
  const value = make("span", { className: "value" });
  const unit = make("span", { className: "unit" });
  const small = make("span", { className: "small" });
  at("service").append(make("div", { id: one.id }, name, make("dd", {}, value, unit, small)));
  cells.set(one.id, { name, value, unit, small });
}

function draw() {
  drawClock();
  drawPulse();
  if (!state) return;
  put(at("waiting"), count(state.stages.waiting + state.stages.ringing));
  for (const item of at("stages").children) {
    const many = state.stages[item.dataset.stage];
    put(item.lastElementChild, count(many));
    item.classList.toggle("some", many > 0);
  }
  drawRate();
  for (const one of SERVICE) {
    const cell = cells.get(one.id);
    const [value, unit] = one.value(state);
    put(cell.name, one.name(state));
    put(cell.value, value);
    put(cell.unit, unit);
    put(cell.small, one.small?.(state) ?? "");
  }
  showAlarms(state.alarms, MOST_ALARMS);
  curve.show(state.curve);
  floor.show(state.agents, now());
  drawWait();
}

function drawRate() {
  const { calls, human, m1 } = state.today;
  put(at("m1"), m1 === null ? "–" : percent(m1));
  put(at("m1-unit"), m1 === null ? "" : "%");
  put(at("m1-of"), say("m1.of", { human: count(human), calls: count(calls) }));
  const verdict = at("verdict");
  verdict.hidden = m1 === null;
  const few = calls < SMALLEST_SAMPLE;
  const holds = m1 >= GOAL;
  verdict.dataset.state = few ? "few" : holds ? "good" : "bad";
  put(verdict.lastElementChild, say(few ? "m1.few" : holds ? "m1.good" : "m1.bad"));
  verdict.firstElementChild.toggleAttribute("hidden", few);
  turn(verdict.firstElementChild, holds ? "good" : "bad");
  at("m1").parentElement.classList.toggle("alarming", m1 !== null && !few && !holds);
}

function drawClock() {
  if (!serverClock.set) return;
  const now = serverClock.now();
  put(at("day"), day(now));
  put(at("time"), clock(now));
}

function drawPulse() {
  const stale = staleSince !== null;
  at("pulse").dataset.state = stale ? "stale" : state ? "live" : "connecting";
  put(at("pulse-text"), say(state ? "live" : "connecting"));
  at("pulse").hidden = stale;
  const text = !stale ? "" : staleSince ? say("stale", { time: clock(staleSince) }) : say("stale.never");
  put(at("stale"), text);
  document.body.classList.toggle("is-stale", stale);
}

/** What counts up. While the figures are stale the times stand still: it is unknown whether they still run. */
function drawTimes() {
  drawWait();
  floor.tick(now());
}

function drawWait() {
  const since = state.waiting_since;
  put(at("longest"), since ? duration((now() - since) / SECOND) : "–");
  // The two largest figures share a line; the style sheet makes them smaller when they are long.
  at("queue").dataset.length = Math.min(10, at("waiting").textContent.length + at("longest").textContent.length);
}

const now = () => (staleSince === null ? serverClock.now() : staleSince);

/** A share as large text and unit; a dash when there is none. */
const share = (value) => (value === null ? ["–", ""] : [percent(value), "%"]);
const seconds = (value) => (value === null ? ["–", ""] : [value.toFixed(1), say("seconds")]);
const whole = (value) => [count(value), ""];

async function who() {
  try {
    const found = await session();
    if (!found) return location.assign("/sign-in?next=/");
    at("to-supervisor").hidden = !found.rights.includes("agents.read");
    if (found.masked) floor.byNumber();
    at("sign-out").hidden = !found.csrf; // a wall screen at an open address has no session
  } catch {
    // The screen says by itself that nothing comes.
  }
}

start("title.wall", () => {
  draw();
  curve.redraw();
  floor.speak();
});
at("sign-out").addEventListener("click", signOut);
setInterval(() => {
  drawClock();
  if (state) drawTimes();
}, 1000);
follow({
  onClock: (now) => serverClock.heard(now),
  onState(next) {
    state = next;
    draw();
  },
  onStale(since) {
    staleSince = since;
    draw();
  },
  onFresh() {
    staleSince = null;
    draw();
  },
  onLost: who,
});
who();
