// One agent's talk: who is in it, how long it lasts, and the buttons that make sense now (talk-buttons.js).
import { decide } from "./decide.js";
import { at, make } from "./page.js";
import { duration, put, say, whose } from "./say.js";
import { ask } from "./session.js";
import { TALK_BUTTONS } from "./talk-buttons.js";
import { attempt } from "./tell.js";

const SECOND = 1e6;
const shown = new Map(); // button's name → its element
let me = null;
let number = null; // the agent whose talk is shown
let call = "";
let now = null;

/** Starts the dialog for this session. */
export function startTalk(session) {
  me = session;
  const mine = TALK_BUTTONS.filter(({ right }) => me.rights.includes(right));
  for (const one of mine) {
    const button = make("button", { type: "button", hidden: true });
    button.dataset.talk = one.name;
    button.addEventListener("click", () => press(one, button));
    shown.set(one.name, button);
  }
  at("talk-buttons").replaceChildren(...shown.values());
  return { speak };
}

/** Whether this person can do anything with this agent's talk now. */
export const hasButtons = (agent) => me !== null && TALK_BUTTONS.some((one) => fits(one, { agent, inside: null }));

/** Opens the talk of this agent. */
export function openTalk(agent, state, at_) {
  [number, call] = [agent.number, agent.call];
  showTalk(state, at_);
  speak();
  put(at("talk-says"), "");
  at("talk").showModal();
}

/** Draws the open talk again; `at_` in microseconds. */
export function showTalk(state, at_) {
  if (number === null) return;
  const agent = state.agents.find((one) => one.number === number);
  const goesOn = agent?.call === call && Boolean(call);
  now = { agent, inside: (state.supervision ?? []).find((one) => one.agent === number && one.by === me.name) ?? null };
  put(at("talk-over"), goesOn ? "" : say("talk.over"));
  if (goesOn) {
    put(at("talk-title"), say("talk.of", { agent: `${agent.number} ${agent.name}` }));
    put(at("talk-caller"), agent.queue ? whose(agent.caller) : "");
    put(at("talk-queue"), agent.queue ?? "");
    put(at("talk-lasts"), duration((at_ - agent.since) / SECOND));
  }
  for (const one of TALK_BUTTONS) {
    const button = shown.get(one.name);
    if (button) button.hidden = !goesOn || !fits(one, now);
  }
}

function fits({ right, own, limited, when }, { agent, inside }) {
  const may = me.rights.includes(right) && (!own || me.rights.includes("agents.write") || me.agent === agent.number);
  const reached = !limited || me.queues.length === 0 || me.queues.includes(agent.queue);
  return may && reached && when({ agent, inside });
}

function speak() {
  for (const [name, button] of shown) put(button, say(`talk.${name}`));
}

async function press({ name, path, method = "POST", asks, choice, body }, button) {
  const { agent } = now;
  let given = body;
  let chosen = null;
  if (asks || choice) {
    chosen = await decide({
      title: say(`talk.${name}`),
      hint: say(`talk.${name}.hint`),
      text: asks ? { word: `talk.asks.${asks}` } : null,
      choice: choice ? { word: `talk.asks.${choice.field}`, options: choice.of(now) } : null,
    });
    if (!chosen) return;
    given = { ...body, ...(asks ? { [asks]: chosen.text } : {}), ...(choice ? { [choice.field]: chosen.choice } : {}) };
  }
  const where = typeof path === "function" ? path(now, chosen?.choice) : path;
  const said = say(`done.talk.${name}`, { agent: agent.number });
  await attempt(button, said, () => ask(method, `/api/talks/${agent.number}/${where}`, method === "DELETE" ? undefined : given));
  put(at("talk-says"), at("says").textContent || at("says-problem").textContent); // the page's foot is behind the dialog
}
