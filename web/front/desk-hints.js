// A day's hints: which calls a person should listen to, and from where on. Each leads into the player. They are no score.
import { at, make } from "./page.js";
import { language } from "./preferences.js";
import { duration, known, moment, put, say, today } from "./say.js";
import { ask, Refusal } from "./session.js";
import { problem, reasonOf } from "./tell.js";

const KINDS = [
  "long_silence", "talk_over", "agent_hung_up_first", "too_short", "too_quiet", "too_loud", "forbidden", "no_greeting",
  "fast", "slow",
];
const AT_LEAST = 50; // hints at once: a day may have thousands
const WAIT = 20_000;
let hints = [];
let counts = { calls: 0, waiting: 0, unheard: 0 };
let next = null;
let asked = null; // the day and the filter of what is shown
let reading = 0;

/** Starts the list. Nothing is asked for before its tab is opened. */
export function startHints() {
  at("hint-day").value = today();
  fillKinds();
  at("hint-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  at("hint-more").addEventListener("click", () => read(AT_LEAST));
  return {
    open: () => (asked ? undefined : search()),
    speak() {
      fillKinds();
      draw();
    },
  };
}

function fillKinds() {
  const chosen = at("hint-kind").value;
  const options = KINDS.map((name) => make("option", { value: name, selected: name === chosen }, say(`hint.${name}`)));
  at("hint-kind").replaceChildren(make("option", { value: "" }, say("hints.any")), ...options);
}

async function search() {
  asked = new URLSearchParams({ day: at("hint-day").value, limit: String(AT_LEAST) });
  for (const name of ["kind", "agent"]) if (at(`hint-${name}`).value) asked.set(name, at(`hint-${name}`).value);
  hints = [];
  counts = { calls: 0, waiting: 0, unheard: 0 };
  next = null;
  await read(AT_LEAST);
}

/** Reads on until there are so many more hints, or the day ends: one part of a day may hold none that fits. */
async function read(more) {
  const mine = ++reading;
  const enough = hints.length + more;
  at("hint-more").disabled = true;
  do {
    const cursor = next === null ? "" : `&cursor=${next}`;
    let part;
    try {
      part = await ask("GET", `/api/hints?${asked}${cursor}`, undefined, { wait: WAIT });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      problem(reasonOf(error));
      break;
    }
    if (mine !== reading) return; // another search has begun
    hints.push(...part.hints);
    for (const name of Object.keys(counts)) counts[name] += part[name];
    next = part.next;
    draw();
  } while (next !== null && hints.length < enough && !at("hints").hidden);
  at("hint-more").disabled = false;
}

function draw() {
  at("hints-empty").hidden = hints.length > 0 || next !== null || asked === null;
  at("hint-more").hidden = next === null;
  const { calls, waiting, unheard } = counts;
  const told = [say("hints.counts", { hints: hints.length, calls }), next === null ? "" : say("hints.more")];
  if (waiting) told.push(say("hints.waiting", { n: waiting }));
  if (unheard) told.push(say("hints.unheard", { n: unheard }));
  put(at("hint-counts"), asked ? told.join("") : "");
  at("hint-rows").replaceChildren(...hints.map(row));
}

function row(one) {
  const place = make("td", { className: "actions" });
  if (one.recorded) {
    const go = make(
      "a", { className: "button", href: `#calls&call=${encodeURIComponent(one.call)}&t=${one.at}` },
      say("hints.listen", { place: duration(one.at) }),
    );
    place.append(go);
  } else place.append(say("hints.no-sound"));
  const kind = `hint.${one.kind}`;
  return make(
    "tr", {},
    make("th", { scope: "row" }, moment(Date.parse(one.arrived) * 1000)),
    make("td", {}, one.caller),
    make("td", {}, one.agent),
    make("td", {}, known(kind) ? say(kind) : one.kind),
    make("td", { className: "words" }, language() === "zh" ? one.text_zh : one.text_en),
    place,
  );
}
