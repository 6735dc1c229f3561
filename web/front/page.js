// What every page has: its words, and the switches for language and colours.
import { apply, language, onChange, switchLanguage, switchTheme, theme } from "./preferences.js";
import { put, say, sayAll } from "./say.js";

/** The element with this id. */
export const at = (id) => document.getElementById(id);

/** Makes an element: `make("li", { className: "x" }, child, "text", …)`. Strings become text, never markup. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An icon of the page's sprite (its <symbol id="i-…">). Decoration: the word stands beside it. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  turn(svg, name);
  return svg;
}

/** Shows another symbol in an icon. */
export function turn(svg, name) {
  const link = `/static/icons.svg#${name}`;
  if (svg.firstChild.getAttribute("href") !== link) svg.firstChild.setAttribute("href", link);
}

/** Starts a page: `title` is its word; `redraw` runs now and whenever the language or the colours change. */
export function start(title, redraw) {
  const draw = () => {
    document.title = say(title);
    sayAll();
    const [words, colours] = [at("language"), at("theme")];
    put(words, say("language"));
    words.lang = language() === "zh" ? "en" : "zh-CN";
    words.setAttribute("aria-label", say("language.label"));
    colours.setAttribute("aria-label", say(`theme.${theme()}`));
    colours.title = say(`theme.${theme()}`);
    turn(colours.querySelector("svg"), `theme-${theme()}`);
    redraw();
  };
  at("language").addEventListener("click", switchLanguage);
  at("theme").addEventListener("click", switchTheme);
  apply();
  onChange(draw);
  draw();
}
