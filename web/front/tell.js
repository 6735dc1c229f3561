// What became of a command, in words: shown at the foot of the page and said aloud.
import { at, icon, make } from "./page.js";
import { say } from "./say.js";
import { Refusal } from "./session.js";

const SHOWN_FOR = 6000;
let timer = 0;

/** It was done. */
export function done(text) {
  show("says", "good", text);
  timer = setTimeout(() => at("says").replaceChildren(), SHOWN_FOR);
}

/** It was not done. Stays until the next command. */
export function problem(text) {
  show("says-problem", "not-responding", text);
}

function show(id, symbol, text) {
  clearTimeout(timer);
  at("says").replaceChildren();
  at("says-problem").replaceChildren();
  at(id).append(icon(symbol), make("span", {}, text));
}

/**
 * Carries a command out: `button` cannot be pressed meanwhile, its outcome shows within a second or two. Gives
 * whether it was done.
 */
export async function attempt(button, what, command) {
  if (button) button.disabled = true;
  try {
    const answer = await command();
    done(answer?.in_force === false ? `${what} ${say("not-in-force")}` : what);
    return true;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem(reasonOf(error));
    return false;
  } finally {
    if (button) button.disabled = false;
  }
}

/** The refusal in the reader's words, with the server's own sentence. */
export function reasonOf(refusal) {
  const key = { 0: "", 403: "refused.right", 404: "refused.gone", 409: "refused.rule", 422: "refused.value", 429: "refused.often",
    503: "refused.silent" }[refusal.status];
  return key ? `${say(key)} ${refusal.message}` : refusal.message;
}
