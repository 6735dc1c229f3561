// Asks for a choice, a word, or both, before something is done.
import { at, make } from "./page.js";
import { put, say } from "./say.js";

/**
 * Shows the dialog. `choice`: {word, options: [[value, text], …]}; `text`: {word}. Gives {choice, text}, or null when it
 * was left.
 */
export function decide({ title, hint = "", choice = null, text = null }) {
  const dialog = at("decide");
  put(at("decide-title"), title);
  put(at("decide-hint"), hint);
  at("decide-which").hidden = !choice;
  put(at("decide-what"), choice ? say(choice.word) : "");
  at("decide-choice").replaceChildren(...(choice?.options ?? []).map(([value, words]) => make("option", { value }, words)));
  at("decide-word").hidden = !text;
  put(at("decide-asks"), text ? say(text.word) : "");
  at("decide-text").required = Boolean(text);
  at("decide-text").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = { choice: at("decide-choice").value, text: at("decide-text").value.trim() };
      resolve(dialog.returnValue === "ok" ? given : null);
    }, { once: true });
  });
}
