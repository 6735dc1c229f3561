// What this browser remembers: the language and the colours.

const THEMES = ["auto", "dark", "light"];
const listeners = [];

function kept(name, allowed) {
  try {
    const value = localStorage.getItem(name);
    return allowed.includes(value) ? value : allowed[0];
  } catch {
    return allowed[0]; // storage can be forbidden
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // it holds until the page is left
  }
}

let chosenLanguage = kept("hotline.language", ["zh", "en"]);
let chosenTheme = kept("hotline.theme", THEMES);

/** "zh" or "en". */
export const language = () => chosenLanguage;

/** "auto" (as the system has it), "dark" or "light". */
export const theme = () => chosenTheme;

const system = matchMedia("(prefers-color-scheme: dark)");

/** Writes both to the document's root, where the style sheet looks. */
export function apply() {
  document.documentElement.lang = chosenLanguage === "zh" ? "zh-CN" : "en";
  document.documentElement.dataset.theme = chosenTheme === "auto" ? (system.matches ? "dark" : "light") : chosenTheme;
}

/** `then` runs after each change, and when the system turns from dark to light. */
export function onChange(then) {
  listeners.push(then);
}

function changed() {
  apply();
  for (const then of listeners) then();
}

export function switchLanguage() {
  chosenLanguage = chosenLanguage === "zh" ? "en" : "zh";
  keep("hotline.language", chosenLanguage);
  changed();
}

export function switchTheme() {
  chosenTheme = THEMES[(THEMES.indexOf(chosenTheme) + 1) % THEMES.length];
  keep("hotline.theme", chosenTheme);
  changed();
}

system.addEventListener("change", changed);
// Another tab of this browser has switched.
addEventListener("storage", (event) => {
  if (!event.key?.startsWith("hotline.")) return;
  chosenLanguage = kept("hotline.language", ["zh", "en"]);
  chosenTheme = kept("hotline.theme", THEMES);
  changed();
});
