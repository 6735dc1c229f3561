// The queues and their priorities.
import { at, make } from "./page.js";
import { say } from "./say.js";
import { ask, Refusal } from "./session.js";
import { attempt, problem, reasonOf } from "./tell.js";

const HIGHEST = 9;
let me = null;
let queues = [];

/** Starts the list for this session. */
export function startQueues(session) {
  me = session;
  return { open: read, speak: draw };
}

async function read() {
  try {
    queues = await ask("GET", "/api/queues");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  draw();
}

function draw() {
  at("queues-empty").hidden = queues.length > 0;
  at("queue-rows").replaceChildren(...queues.map(row));
}

function row(queue) {
  const members = queue.members.map(({ agent, penalty }) => (penalty ? `${agent}·${penalty}` : agent)).join("  ");
  const item = make(
    "tr", {},
    make("th", { scope: "row" }, queue.name),
    make("td", {}, say(`strategy.${queue.strategy}`)),
    make("td", {}, queue.numbers.join("  ")),
    make("td", { className: "members" }, members || say("queue.everybody")),
    make("td", { className: "actions" }, ...priority(queue)),
  );
  item.dataset.queue = queue.name;
  return item;
}

function priority(queue) {
  if (!me.rights.includes("queues.write")) return [String(queue.priority)];
  const input = make("input", { type: "number", min: 0, max: HIGHEST, step: 1, required: true, value: queue.priority });
  input.setAttribute("aria-label", `${say("priority")} ${queue.name}`);
  const button = make("button", { type: "submit" }, say("save"));
  button.setAttribute("aria-label", `${say("save")} ${queue.name}`);
  const form = make("form", { className: "inline" }, input, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const level = Number(input.value);
    const what = say("done.priority", { queue: queue.name, n: level });
    const path = `/api/queues/${encodeURIComponent(queue.name)}`;
    if (await attempt(button, what, () => ask("PATCH", path, { priority: level }))) await read();
  });
  return [form];
}
