// Requests to take a recording away, where another person must approve it: those that wait, and one's own.
import { at, make } from "./page.js";
import { moment, put, say } from "./say.js";
import { ask, Refusal } from "./session.js";
import { attempt, problem, reasonOf } from "./tell.js";

const AGAIN_EVERY = 10_000;
let me = null;
let requests = [];
let shown = "";

/** Starts the list for this session; the tab says how many requests wait for this person's decision. */
export function startExports(session) {
  me = session;
  at("export-state").addEventListener("change", read);
  setInterval(() => {
    if (!document.hidden) read({ quiet: true });
  }, AGAIN_EVERY);
  read({ quiet: true });
  return { open: read, speak: draw };
}

const decides = () => me.rights.includes("recordings.approve");

async function read({ quiet = false } = {}) {
  const all = at("export-state").value === "all";
  try {
    const [waiting, own] = await Promise.all([
      ask("GET", `/api/export-requests${all ? "?all=1" : ""}`), ask("GET", "/api/export-requests?usable=1"),
    ]);
    const listed = new Set(waiting.map(({ id }) => id));
    requests = [...own.filter(({ id }) => !listed.has(id)), ...waiting];
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return quiet ? undefined : problem(reasonOf(error));
  }
  draw();
}

function draw() {
  const due = decides() ? requests.filter((one) => one.state === "open" && !one.own).length : 0;
  put(at("export-count"), due ? String(due) : "");
  at("export-count").title = due ? say("exports.count", { n: due }) : "";
  at("exports-empty").hidden = requests.length > 0;
  const signature = JSON.stringify([document.documentElement.lang, requests]);
  if (signature === shown) return; // the keyboard's focus stays where it is, and so does what is being written
  shown = signature;
  const written = new Map([...at("export-rows").querySelectorAll("input")].map((field) => [field.name, field.value]));
  at("export-rows").replaceChildren(...requests.map((one) => row(one, written.get(`why-${one.id}`) ?? "")));
}

function row(one, written) {
  const listen = make("a", { href: `#calls&call=${encodeURIComponent(one.call)}` }, one.call);
  const decided = [one.decided_by, one.decided_why].filter(Boolean).join("：");
  const item = make(
    "tr", {},
    make("th", { scope: "row", className: "figure" }, String(one.id)),
    make("td", {}, moment(one.at)),
    make("td", {}, one.by),
    make("td", {}, listen),
    make("td", { className: "words" }, one.why),
    make("td", {}, moment(one.until)),
    make("td", {}, say(`export.${one.state}`), ...(decided ? [make("small", {}, ` ${decided}`)] : [])),
    make("td", { className: "actions" }, ...actions(one, written)),
  );
  item.dataset.export = one.id;
  return item;
}

function actions(one, written) {
  if (one.state === "approved" && one.own) {
    const asked = new URLSearchParams({ download: "1", why: one.why });
    const address = `/api/calls/${encodeURIComponent(one.call)}/recording?${asked}`;
    const link = make("a", { className: "button", href: address, download: "" }, say("download"));
    link.addEventListener("click", () => setTimeout(read, 1500)); // it can be used once
    return [link];
  }
  if (one.state !== "open") return [];
  if (one.own) return [make("small", {}, say("export.own"))];
  if (!decides()) return [];
  const why = make("input", { name: `why-${one.id}`, value: written, maxLength: 200, autocomplete: "off", placeholder: say("export.too-little") });
  why.setAttribute("aria-label", `${say("export.remark")} ${one.id}`);
  const button = (word, className) => {
    const made = make("button", { type: "button", className }, say(`export.${word}`));
    made.setAttribute("aria-label", `${say(`export.${word}`)} ${one.id}`);
    made.addEventListener("click", () => decide(made, one, word, why.value.trim()));
    return made;
  };
  return [why, button("approve", "main"), button("refuse", "")];
}

/** A refusal always tells whoever asked why: what stands in the empty field, if nothing is written there. */
async function decide(button, { id, by }, word, remark) {
  const why = remark || (word === "refuse" ? say("export.too-little") : "");
  const send = () => ask("POST", `/api/export-requests/${id}/${word}`, { why });
  await attempt(button, say(`done.export.${word}`, { id, by }), send);
  await read({ quiet: true });
}
