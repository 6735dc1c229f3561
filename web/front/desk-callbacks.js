// The callbacks: those there are, a new one, one taken back.
import { at, make } from "./page.js";
import { count, known, moment, say } from "./say.js";
import { ask, Refusal } from "./session.js";
import { attempt, problem, reasonOf } from "./tell.js";

const AGAIN_EVERY = 5000;
const CANCELLABLE = ["due", "dialling"];
let me = null;
let callbacks = [];

/** Starts the list for this session. */
export function startCallbacks(session) {
  me = session;
  at("callback-form").hidden = !me.rights.includes("callbacks.write");
  at("callback-form").addEventListener("submit", add);
  at("callback-state").addEventListener("change", read);
  setInterval(() => {
    if (!at("callbacks").hidden && !document.hidden) read();
  }, AGAIN_EVERY);
  return { open, speak: draw };
}

async function open() {
  await read();
  if (at("callback-queue").options.length || !me.rights.includes("queues.read")) return;
  try {
    const queues = await ask("GET", "/api/queues");
    const none = make("option", { value: "" }, "–");
    at("callback-queue").replaceChildren(none, ...queues.map(({ name }) => make("option", { value: name }, name)));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem(reasonOf(error));
  }
}

async function read() {
  try {
    callbacks = await ask("GET", `/api/callbacks?state=${at("callback-state").value}`);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  draw();
}

let shown = "";

function draw() {
  at("callbacks-empty").hidden = callbacks.length > 0;
  const signature = JSON.stringify([document.documentElement.lang, callbacks]);
  if (signature === shown) return; // the keyboard's focus stays where it is
  shown = signature;
  at("callback-rows").replaceChildren(...callbacks.map(row));
}

function row(callback) {
  const figure = (n) => make("td", { className: "figure" }, count(n));
  const actions = make("td", { className: "actions" });
  if (me.rights.includes("callbacks.write") && CANCELLABLE.includes(callback.state)) {
    const button = make("button", { type: "button" }, say("callback.cancel"));
    button.setAttribute("aria-label", `${say("callback.cancel")} ${callback.id}`);
    button.addEventListener("click", () => cancel(button, callback));
    actions.append(button);
  }
  const word = `callback.${callback.state}`;
  const why = `callback.why.${callback.reason}`; // the controller's own reasons; others are people's words
  const item = make(
    "tr", {},
    make("th", { scope: "row", className: "figure" }, String(callback.id)),
    make("td", {}, callback.number),
    make("td", {}, callback.queue),
    make("td", {}, known(word) ? say(word) : callback.state),
    make("td", {}, `${moment(callback.after)} – ${moment(callback.before)}`),
    figure(callback.attempts), figure(callback.yields),
    make("td", {}, known(why) ? say(why) : callback.reason), actions,
  );
  item.dataset.callback = callback.id;
  return item;
}

async function add(event) {
  event.preventDefault();
  const text = (id) => at(`callback-${id}`).value.trim();
  const wanted = {
    number: text("number"), queue: text("queue"), after: text("after"), before: text("before"), agent: text("agent"),
    reason: text("reason"),
  };
  const what = say("done.callback", { number: wanted.number });
  if (await attempt(event.submitter, what, () => ask("POST", "/api/callbacks", wanted))) {
    at("callback-form").reset();
    await read();
  }
}

async function cancel(button, { id, number }) {
  if (await attempt(button, say("done.cancel", { id, number }), () => ask("DELETE", `/api/callbacks/${id}`))) await read();
}
