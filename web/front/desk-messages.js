// Messages: what a supervisor writes to one agent or to all, and an agent's own at the top of the page.
import { at, make } from "./page.js";
import { moment, put, say } from "./say.js";
import { ask, Refusal } from "./session.js";
import { attempt, problem, reasonOf } from "./tell.js";

let me = null;
let agents = "";
let newest = 0; // the unread message that the live state told of last

/** Starts both for this session. */
export function startMessages(session) {
  me = session;
  at("message-form").addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.submitter);
  });
  return {
    open: readSent,
    speak() {
      agents = "";
      if (newest) readOwn();
      if (!at("messages").hidden) readSent();
    },
  };
}

/** The live state says that there is a message for this agent, and who can be written to. */
export function showMessages(state) {
  const own = me.agent ? (state.agents.find(({ number }) => number === me.agent)?.message ?? 0) : 0;
  if (own !== newest) {
    newest = own;
    readOwn();
  }
  const there = JSON.stringify(state.agents.map(({ number, name }) => [number, name]));
  if (there === agents || !me.rights.includes("messages.write")) return;
  agents = there;
  const chosen = at("message-agent").value;
  at("message-agent").replaceChildren(
    make("option", { value: "" }, say("message.all")),
    ...JSON.parse(there).map(([number, name]) => make("option", { value: number }, `${number} ${name}`)),
  );
  at("message-agent").value = chosen;
}

async function readOwn() {
  let found = [];
  try {
    found = newest ? (await ask("GET", "/api/messages")).filter(({ read_at: read }) => !read) : [];
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  at("inbox").hidden = found.length === 0;
  at("inbox-list").replaceChildren(...found.map((one) => {
    const button = make("button", { type: "button" }, say("message.read"));
    button.addEventListener("click", () => attempt(button, say("done.message.read"), () => ask("POST", `/api/messages/${one.id}/read`)));
    return make("li", {}, make("span", {}, one.text), make("small", {}, `${one.by} · ${moment(one.at)}`), button);
  }));
  put(at("inbox-news"), found[0] ? `${found[0].by}：${found[0].text}` : "");
}

async function readSent() {
  if (!me.rights.includes("messages.write")) return;
  let found;
  try {
    found = await ask("GET", "/api/messages/sent");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return problem(reasonOf(error));
  }
  at("messages-empty").hidden = found.length > 0;
  at("message-rows").replaceChildren(...found.map((one) => make(
    "tr", {},
    make("th", { scope: "row" }, moment(one.at)),
    make("td", {}, one.agent),
    make("td", { className: "words" }, one.text),
    make("td", {}, say(`message.phone.${one.phone}`)),
    make("td", {}, one.read_at ? moment(one.read_at) : ""),
  )));
}

async function send(button) {
  const [agent, text] = [at("message-agent").value, at("message-text").value.trim()];
  const to = agent || say("message.all");
  if (await attempt(button, say("done.message.send", { agent: to }), () => ask("POST", "/api/messages", { agent, text }))) {
    at("message-text").value = "";
    await readSent();
    setTimeout(readSent, 6000); // by then the phones have answered, or count as silent
  }
}
