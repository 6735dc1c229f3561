// The agents' list: what each does now, and what a supervisor can tell them to do.
import { hasButtons, openTalk } from "./desk-talk.js";
import { STATES } from "./floor.js";
import { at, icon, make, turn } from "./page.js";
import { count, duration, put, say, whose } from "./say.js";
import { ask, Refusal } from "./session.js";
import { attempt, problem, reasonOf } from "./tell.js";

const SECOND = 1e6;
const rows = new Map();
let me = null;
let live = [];
let state = null;
let now = 0;
let memberships = new Map(); // agent's number → [{queue, penalty}]

/** Starts the list for this session. */
export function startAgents(session) {
  me = session;
  at("agent-filter").addEventListener("input", filter);
  return { open: readQueues, speak: () => rows.forEach(speakRow) };
}

/** Draws the live state's agents; `at` in microseconds. Only what changed is touched. */
export function showAgents(next, at_) {
  const { agents } = (state = next);
  live = agents;
  now = at_;
  const seen = new Set();
  for (const agent of agents) {
    seen.add(agent.number);
    let row = rows.get(agent.number);
    if (!row) {
      rows.set(agent.number, (row = newRow(agent.number)));
      const after = [...rows.keys()].filter((number) => number > agent.number).sort()[0];
      at("agent-rows").insertBefore(row.item, after ? rows.get(after).item : null);
    }
    row.agent = agent;
    drawRow(row);
  }
  for (const [number, row] of rows) {
    if (seen.has(number)) continue;
    row.item.remove();
    rows.delete(number);
  }
  at("agents-empty").hidden = agents.length > 0;
  filter();
}

function filter() {
  const wanted = at("agent-filter").value.trim().toLowerCase();
  const many = new Map();
  for (const row of rows.values()) {
    const { number, name, presence, reason } = row.agent;
    many.set(presence, (many.get(presence) ?? 0) + 1);
    const text = [number, name, say(presence), reason].join(" ").toLowerCase();
    row.item.hidden = !text.includes(wanted);
  }
  const counts = STATES.filter((state) => many.has(state)).map((state) => `${say(state)} ${count(many.get(state))}`);
  put(at("agent-counts"), counts.join(" · "));
}

function newRow(number) {
  const cell = (className = "") => make("td", { className });
  const row = {
    agent: null, number: make("th", { scope: "row" }, number), name: cell(), state: cell("state"), lasts: cell("figure lasts"),
    talk: cell("talk"), queues: cell("queues"), actions: cell("actions"), symbol: icon("out"), word: make("span"), late: make("strong", { className: "late" }),
    silent: make("strong", { className: "late" }),
  };
  row.state.append(row.symbol, row.word, row.late, row.silent);
  const mine = me.rights.includes("agents.write") || (me.rights.includes("agents.own") && me.agent === number);
  row.buttons = [];
  if (mine) {
    for (const action of ["ready", "pause", "out"]) {
      row.buttons.push([make("button", { type: "button" }), `do.${action}`, () => (action === "pause" ? pause(row) : request(row, action))]);
    }
  }
  if (me.rights.includes("recordings.pause") && mine) {
    for (const action of ["recording/pause", "recording/resume"]) {
      row.buttons.push([make("button", { type: "button", hidden: true }), `do.${action}`, () => request(row, action)]);
    }
  }
  if (me.rights.includes("talks.survey") && mine) {
    row.buttons.push([make("button", { type: "button", hidden: true }), "do.survey", () => survey(row)]);
    row.buttons.push([make("button", { type: "button", hidden: true }), "do.explain", () => explain(row)]);
  }
  if (me.rights.includes("agents.write") && me.rights.includes("queues.read")) {
    row.buttons.push([make("button", { type: "button" }), "do.move", () => move(row)]);
  }
  row.buttons.unshift([make("button", { type: "button", hidden: true }), "do.talk", () => openTalk(row.agent, state, now)]);
  for (const [button, word, press] of row.buttons) {
    button.dataset.action = word;
    button.addEventListener("click", press);
    row.actions.append(button);
  }
  row.item = make("tr", {}, row.number, row.name, row.state, row.lasts, row.talk, row.queues, row.actions);
  row.item.dataset.agent = number;
  speakRow(row);
  return row;
}

function speakRow(row) {
  for (const [button, word] of row.buttons) {
    put(button, say(word));
    button.setAttribute("aria-label", `${say(word)} ${row.item.dataset.agent}`);
  }
  drawQueues(row);
}

function drawRow(row) {
  const { name, presence, reason, since, until, recording_paused: silent, caller, queue } = row.agent;
  put(row.name, name);
  if (row.state.dataset.state !== presence) row.state.dataset.state = presence;
  turn(row.symbol, presence);
  put(row.word, say(presence) + (presence === "paused" && reason ? `（${reason}）` : ""));
  put(row.silent, silent ? say("recording.paused") : "");
  for (const [button, word] of row.buttons) {
    if (word === "do.talk") button.hidden = !row.agent.call || !hasButtons(row.agent);
    if (word === "do.recording/pause") button.hidden = presence !== "talking" || Boolean(silent);
    if (word === "do.survey") button.hidden = presence !== "talking";
    if (word === "do.explain") button.hidden = presence === "talking" || presence === "out";
    if (word === "do.recording/resume") button.hidden = presence !== "talking" || !silent;
  }
  put(row.talk, queue ? `${whose(caller)} · ${queue}` : "");
  put(row.late, until > 0 && now > until ? say("pause.over") : "");
  put(row.lasts, presence === "out" ? "" : duration((now - since) / SECOND));
}

function drawQueues(row) {
  const found = memberships.get(row.item.dataset.agent) ?? [];
  const text = found.map(({ queue, penalty }) => (penalty ? `${queue}·${penalty}` : queue));
  put(row.queues, text.join("  ") || say("queues.open"));
}

async function readQueues() {
  try {
    const agents = await ask("GET", "/api/agents");
    memberships = new Map(agents.map((agent) => [agent.number, agent.queues]));
    rows.forEach(drawQueues);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem(reasonOf(error));
  }
}

const named = ({ agent }) => `${agent.number} ${agent.name}`;

function request(row, action, body) {
  const [button] = row.buttons.find(([, word]) => word === `do.${action}`);
  const what = say(`done.${action}`, { agent: named(row), reason: body?.reason ?? "" });
  return attempt(button, what, () => ask("POST", `/api/agents/${row.agent.number}/${action}`, body));
}

async function pause(row) {
  let reasons;
  try {
    reasons = await ask("GET", "/api/pauses");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  const box = at("pause-reasons");
  box.replaceChildren(box.firstElementChild, ...reasons.map(({ name, minutes }, index) => {
    const choice = make("input", { type: "radio", name: "reason", value: name, checked: index === 0 });
    const limit = minutes ? say("pause.minutes", { n: minutes }) : "";
    return make("label", { className: "choice" }, choice, make("span", {}, name), make("small", {}, limit));
  }));
  put(at("pause-title"), say("pause.who", { agent: named(row) }));
  if ((await shown(at("pause"))) !== "ok") return;
  await request(row, "pause", { reason: box.querySelector("input:checked").value });
}

function survey(row) {
  const [button] = row.buttons.find(([, word]) => word === "do.survey");
  return attempt(button, say("done.survey", { agent: named(row) }), () => ask("POST", `/api/talks/${row.agent.number}/survey`));
}

/** Why the agent hung up first in their last talk. */
async function explain(row) {
  let reasons;
  try {
    reasons = await ask("GET", "/api/hang-up-reasons");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  const box = at("explain-reasons");
  box.replaceChildren(box.firstElementChild, ...reasons.map(({ name, zh, en }, index) => {
    const choice = make("input", { type: "radio", name: "hang-up", value: name, checked: index === 0 });
    return make("label", { className: "choice" }, choice, make("span", {}, document.documentElement.lang.startsWith("zh") ? zh : en));
  }));
  put(at("explain-title"), say("explain.who", { agent: named(row) }));
  if ((await shown(at("explain"))) !== "ok") return;
  const [button] = row.buttons.find(([, word]) => word === "do.explain");
  const reason = box.querySelector("input:checked").value;
  const path = `/api/agents/${row.agent.number}/hang-up-reason`;
  await attempt(button, say("done.explain", { agent: named(row) }), () => ask("POST", path, { reason }));
}

async function move(row) {
  let queues;
  try {
    queues = await ask("GET", "/api/queues");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  const has = new Map((memberships.get(row.agent.number) ?? []).map(({ queue, penalty }) => [queue, penalty]));
  at("move-queues").replaceChildren(...queues.map(({ name }) => {
    const serves = make("input", { type: "checkbox", checked: has.has(name), value: name });
    const penalty = make("input", { type: "number", min: 0, max: 1000, value: has.get(name) ?? 0 });
    penalty.setAttribute("aria-label", `${say("penalty")} ${name}`);
    return make("div", { className: "choice" }, make("label", {}, serves, make("span", {}, name)), make("small", {}, say("penalty")), penalty);
  }));
  put(at("move-title"), say("move.who", { agent: named(row) }));
  if ((await shown(at("move"))) !== "ok") return;
  const chosen = [...at("move-queues").children]
    .map((choice) => [...choice.querySelectorAll("input")])
    .filter(([serves]) => serves.checked)
    .map(([serves, penalty]) => ({ queue: serves.value, penalty: Number(penalty.value) || 0 }));
  const [button] = row.buttons.find(([, word]) => word === "do.move");
  const names = chosen.map(({ queue }) => queue).join(say("comma")) || say("queues.open");
  const path = `/api/agents/${row.agent.number}/move`;
  if (await attempt(button, say("done.move", { agent: named(row), queues: names }), () => ask("POST", path, { queues: chosen }))) {
    await readQueues();
  }
}

/** Shows a dialog and waits for its answer, "ok" or something else. */
function shown(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}
