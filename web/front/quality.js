// The page of quality: an assessor's tasks, an agent's own scores, and the appeals that wait for a decision.
import "./quality.css";
import { at, make, start } from "./page.js";
import { duration, moment, say } from "./say.js";
import { ask, session, signOut } from "./session.js";
import { attempt, problem } from "./tell.js";
import { drawSheet, readSheet } from "./quality-sheet.js";

const LISTS = {
  tasks: { right: "quality.assess", path: "tasks", list: "task-list" },
  own: { right: "quality.own", path: "own", list: "own-list" },
  appeals: { right: "quality.decide", path: "appeals", list: "appeal-list" },
};

let me = null;
let found = {};
let shown = null; // {kind, id, card, sheet, events, open}
let player = null;

const points = (score) => (score === null ? "–" : (score / 100).toFixed(2));

async function readAll() {
  for (const [kind, { right, path }] of Object.entries(LISTS)) {
    at(kind).hidden = !me.rights.includes(right);
    if (at(kind).hidden) continue;
    try {
      found[kind] = await ask("GET", `/api/quality/${path}`);
    } catch (refusal) {
      return problem(refusal.message);
    }
  }
  draw();
}

function draw() {
  for (const [kind, { list }] of Object.entries(LISTS)) {
    const rows = found[kind] ?? [];
    at(`${kind}-empty`).hidden = rows.length > 0;
    at(list).replaceChildren(...rows.map((one) => make("li", {}, entry(kind, one))));
  }
  if (!shown) return;
  if (shown.open) shown.sheet = readSheet(shown.card); // what is filled in stays in the other language, too
  drawShown();
}

function entry(kind, one) {
  const about = {
    tasks: () => say("quality.task", { id: one.id, week: one.week, length: duration(one.seconds) }),
    own: () => say("quality.one", { id: one.id, at: moment(one.arrived), score: points(one.score), state: say(`quality.${one.state}`) }),
    appeals: () => say("quality.one-appeal", { id: one.id, agent: one.agent, score: points(one.score) }),
  }[kind]();
  const button = make("button", { type: "button" }, about);
  button.addEventListener("click", () => open(kind, one));
  return button;
}

/** Shows one of a list with its card and its recording. */
async function open(kind, one) {
  const path = { tasks: `tasks/${one.id}`, own: `own/${one.id}`, appeals: `assessments/${one.id}` }[kind];
  let whole;
  try {
    whole = await ask("GET", `/api/quality/${path}`);
  } catch (refusal) {
    return problem(refusal.message);
  }
  shut();
  shown = { kind, id: one.id, card: whole.card, sheet: whole.sheet ?? null, events: whole.events ?? [], open: kind !== "own", one };
  at("reason").value = "";
  drawShown();
  at("sheet").hidden = false;
  await openPlayer(shown, path);
  at("sheet").scrollIntoView({ block: "start" });
}

/** Whoever decides an appeal may know the call. An assessor may not; their player, and the agent's own, are without marks. */
async function openPlayer(wanted, path) {
  const { mountPlayer } = await import("./player.js");
  if (shown !== wanted) return; // another one was opened meanwhile
  player = wanted.kind === "appeals"
    ? mountPlayer(at("player"), wanted.one.call, { me })
    : mountPlayer(at("player"), "", { me, path: `/api/quality/${path}` });
}

/** What the sheet's buttons do with the recording. */
const recording = {
  place: () => player?.place() ?? 0,
  playFrom(seconds) {
    player?.seek(seconds);
    player?.play();
  },
};

function drawShown() {
  const { kind, card, sheet, events, one } = shown;
  at("sheet-title").textContent = `${say(`quality.sheet-${kind}`, { id: one.id })} · ${say("quality.passing", { points: points(card.passing) })}`;
  at("events").replaceChildren(...events.map((event) => make("li", {}, line(event))));
  drawSheet(card, sheet, shown.open, recording);
  const appealable = kind === "own" && one.appeal_until !== null;
  for (const [id, there] of Object.entries({
    submit: kind === "tasks", return: kind === "tasks", appeal: appealable, uphold: kind === "appeals", change: kind === "appeals",
  })) at(id).hidden = !there;
  at("reason-label").hidden = kind === "own" && !appealable;
}

const line = (event) =>
  [moment(event.at), say(`quality.did-${event.event}`), event.by ?? "", event.score === null ? "" : points(event.score), event.text]
    .filter(Boolean).join(" · ");

function shut() {
  shown = null;
  player?.close();
  player = null;
  at("sheet").hidden = true;
}

async function send(button, word, path, body) {
  if (await attempt(button, say(word), () => ask("POST", `/api/quality/${path}`, body))) {
    shut();
    await readAll();
  }
}

const reason = () => at("reason").value;
const ACTS = {
  submit: (button) => send(button, "quality.done-score", `tasks/${shown.id}/score`, readSheet(shown.card)),
  return: (button) => send(button, "quality.done-return", `tasks/${shown.id}/return`, { reason: reason() }),
  appeal: (button) => send(button, "quality.done-appeal", `own/${shown.id}/appeal`, { reason: reason() }),
  uphold: (button) => send(button, "quality.done-decide", `assessments/${shown.id}/decide`, { reason: reason() }),
  change: (button) =>
    send(button, "quality.done-decide", `assessments/${shown.id}/decide`, { reason: reason(), sheet: readSheet(shown.card) }),
};

async function begin() {
  try {
    me = await session();
  } catch (refusal) {
    return problem(refusal.message);
  }
  if (!me) return location.assign("/sign-in?next=/quality");
  at("to-supervisor").hidden = !me.rights.includes("agents.read");
  at("who").textContent = `${me.name} · ${say(`role.${me.role}`)}`;
  await readAll();
}

start("title.quality", () => {
  if (me) at("who").textContent = `${me.name} · ${say(`role.${me.role}`)}`;
  draw();
  player?.speak();
});
for (const [id, act] of Object.entries(ACTS)) at(id).addEventListener("click", (event) => act(event.currentTarget));
at("card").addEventListener("submit", (event) => event.preventDefault());
at("close").addEventListener("click", shut);
at("sign-out").addEventListener("click", signOut);
begin();
