// The open alarms: first those that are not acknowledged, the gravest of them first.
import { at, icon, make } from "./page.js";
import { language } from "./preferences.js";
import { clock, put, say } from "./say.js";

const SEVERITIES = ["critical", "warning", "info"];
const told = new Set(); // alarms that were said aloud

/** Shows at most `most` of them; `extra(alarm)` may give more elements for one. */
export function showAlarms(alarms, most, extra = () => []) {
  const urgency = (alarm) => (alarm.acknowledged_by ? SEVERITIES.length : 0) + SEVERITIES.indexOf(alarm.severity);
  const sorted = [...alarms].sort((a, b) => urgency(a) - urgency(b) || b.since - a.since);
  const text = (alarm) => (language() === "zh" ? alarm.text_zh : alarm.text_en);
  const list = at("alarm-list");
  // An alarm's figures go on changing: only its words are touched then, so that its button can be pressed.
  const shown = JSON.stringify([language(), sorted.map((alarm) => [alarm.id, alarm.acknowledged_by])]);
  if (list.dataset.shown === shown) {
    sorted.slice(0, most).forEach((alarm, index) => put(list.children[index].children[1], text(alarm)));
    return;
  }
  list.dataset.shown = shown;
  at("alarms").hidden = alarms.length === 0;
  at("alarms").dataset.severity = sorted[0] && !sorted[0].acknowledged_by ? sorted[0].severity : "info";
  const items = sorted.slice(0, most).map((alarm) => {
    const seen = alarm.acknowledged_by && say("alarm.seen", { by: alarm.acknowledged_by });
    const since = [say("alarm.since", { time: clock(alarm.since) }), seen].filter(Boolean).join(" · ");
    const words = [make("span", {}, text(alarm)), make("small", {}, since)];
    const item = make("li", {}, icon("not-responding"), ...words, ...extra(alarm));
    item.dataset.severity = alarm.severity;
    return item;
  });
  if (alarms.length > most) items.push(make("li", {}, say("alarms.more", { n: alarms.length - most })));
  list.replaceChildren(...items);
  // Said aloud once, when it is raised, although its figures go on changing.
  const news = sorted.filter((alarm) => !told.has(alarm.id));
  for (const alarm of news) told.add(alarm.id);
  if (news.length) put(at("alarm-news"), news.map(text).join("; "));
}
