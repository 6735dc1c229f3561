// Who waits, first who is next, and what a supervisor decides for one of them: an agent, another queue, the front.
import { decide } from "./decide.js";
import { at, make } from "./page.js";
import { count, duration, put, say, whose } from "./say.js";
import { ask, Refusal } from "./session.js";
import { attempt, problem, reasonOf } from "./tell.js";

const SECOND = 1e6;
const rows = new Map();
let me = null;
let agents = [];
let now = 0;

/** What can be decided for a caller: its word, and the choices that its dialog offers (none: only the reason). */
const DECISIONS = [
  { name: "assign", field: "agent", choices: takers },
  { name: "move", field: "queue", choices: queues },
  { name: "forward" },
];

/** Starts the list for this session. */
export function startWaiting(session) {
  me = session;
  return { open() {}, speak: () => rows.forEach(speakRow) };
}

/** Draws the live state's waiting callers; `at_` in microseconds. Only what changed is touched. */
export function showWaiting(state, at_) {
  agents = state.agents;
  now = at_;
  const callers = [...(state.waiting ?? [])].sort((a, b) => a.rank - b.rank);
  const seen = new Set(callers.map(({ call }) => call));
  for (const [call, row] of rows) {
    if (seen.has(call)) continue;
    row.item.remove();
    rows.delete(call);
  }
  callers.forEach((caller, place) => {
    let row = rows.get(caller.call);
    if (!row) rows.set(caller.call, (row = newRow()));
    row.caller = caller;
    drawRow(row);
    // Moved only when it stands elsewhere: a button that has the focus keeps it.
    if (at("waiting-rows").children[place] !== row.item) {
      at("waiting-rows").insertBefore(row.item, at("waiting-rows").children[place] ?? null);
    }
  });
  at("waiting-empty").hidden = callers.length > 0;
  const more = state.stages.waiting - callers.length;
  put(at("waiting-count"), callers.length ? count(state.stages.waiting) : "");
  put(at("waiting-more"), more > 0 ? say("waiting.more", { n: more }) : "");
}

function newRow() {
  const cell = (className = "") => make("td", { className });
  const row = {
    caller: null, number: make("th", { scope: "row" }), queue: cell(), wait: cell("figure lasts"), skills: cell(),
    asked: cell(), before: cell("figure"), assigned: cell(), actions: cell("actions"), buttons: [],
  };
  if (me.rights.includes("callers.write")) {
    for (const decision of DECISIONS) {
      const button = make("button", { type: "button" });
      button.dataset.action = decision.name;
      button.addEventListener("click", () => press(row, decision, button));
      row.buttons.push([button, decision]);
      row.actions.append(button);
    }
  }
  row.item = make("tr", {}, row.number, row.queue, row.wait, row.skills, row.asked, row.before, row.assigned, row.actions);
  return row;
}

function drawRow(row) {
  const { call, caller, queue, since, skills, asked, before, assigned } = row.caller;
  row.item.dataset.call = call;
  put(row.number, named(row.caller));
  put(row.queue, queue);
  put(row.wait, duration((now - since) / SECOND));
  put(row.skills, skills.join(say("comma")));
  put(row.asked, asked ? say("waiting.asked") : "");
  put(row.before, before ? count(before) : "");
  put(row.assigned, assigned ? say("waiting.for", { agent: assigned }) : "");
  if (row.spoken !== caller) speakRow(row);
}

function speakRow(row) {
  row.spoken = row.caller.caller;
  for (const [button, { name }] of row.buttons) {
    put(button, say(`waiting.${name}`));
    button.setAttribute("aria-label", `${say(`waiting.${name}`)} ${named(row.caller)}`);
  }
}

const named = ({ caller }) => whose(caller);

/** Agents who take calls, those who are free first. */
function takers() {
  const able = agents.filter(({ presence }) => ["ready", "talking", "ringing", "wrap-up", "own-call"].includes(presence));
  able.sort((a, b) => (b.presence === "ready") - (a.presence === "ready"));
  return able.map(({ number, name, presence }) => [number, `${number} ${name} · ${say(presence)}`]);
}

async function queues(row) {
  const found = await ask("GET", "/api/queues");
  return found.filter(({ name }) => name !== row.caller.queue).map(({ name }) => [name, name]);
}

async function press(row, { name, field, choices }, button) {
  const { call } = row.caller;
  const who = named(row.caller);
  let options = [];
  try {
    options = choices ? await choices(row) : [];
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  if (choices && !options.length) return problem(say(`waiting.${name}.none`));
  const given = await decide({
    title: say(`waiting.${name}.who`, { caller: who }), hint: say(`waiting.${name}.hint`), text: { word: "waiting.reason" },
    choice: field ? { word: field, options } : null,
  });
  if (!given) return;
  const chosen = { reason: given.text, ...(field ? { [field]: given.choice } : {}) };
  const said = say(`done.waiting.${name}`, { caller: who, ...chosen });
  await attempt(button, said, () => ask("POST", `/api/waiting/${encodeURIComponent(call)}/${name}`, chosen));
}
