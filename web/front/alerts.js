// The red button's alerts that nobody has acknowledged: at the top of the supervisor's page, said aloud once.
import { at, icon, make } from "./page.js";
import { language } from "./preferences.js";
import { clock, put, say, whose } from "./say.js";
import { ask } from "./session.js";
import { attempt } from "./tell.js";

const told = new Set();

/** Shows them; `may`: whether this person may acknowledge. Drawn again only when they change, so buttons can be pressed. */
export function showAlerts(alerts, may) {
  const shown = JSON.stringify([language(), may, alerts]);
  if (at("alert-list").dataset.shown === shown) return;
  at("alert-list").dataset.shown = shown;
  at("alerts").hidden = alerts.length === 0;
  at("alert-list").replaceChildren(...alerts.map((alert) => {
    const item = make("li", {}, icon("not-responding"), make("span", {}, text(alert)), make("small", {}, clock(alert.at)));
    item.dataset.severity = "critical";
    if (may) {
      const button = make("button", { type: "button" }, say("alert.see"));
      button.addEventListener("click", () => attempt(button, say("done.alert"), () => ask("POST", `/api/alerts/${alert.id}/acknowledge`)));
      item.append(button);
    }
    return item;
  }));
  const news = alerts.filter(({ id, level }) => !told.has(`${id} ${level}`));
  for (const { id, level } of news) told.add(`${id} ${level}`);
  if (news.length) put(at("alert-news"), news.map(text).join("; "));
}

function text({ agent, caller, note, level }) {
  const what = say("alert.text", { agent, caller: whose(caller), note });
  return level ? `${what} · ${say("alert.level", { n: level })}` : what;
}
