// The score card as a form: a row an item, with points, the second in the recording, words, and "does not apply".
import { at, make } from "./page.js";
import { language } from "./preferences.js";
import { say } from "./say.js";

const name = (one) => (language() === "zh" ? one.zh : one.en);

/**
 * Draws the card; `sheet` fills it in; without `open` nothing can be changed. `recording`: {place(), playFrom(seconds)}.
 */
export function drawSheet(card, sheet, open, recording) {
  at("items").replaceChildren(...card.items.map((item) => row(item, sheet, open, recording)));
}

function row(item, sheet, open, recording) {
  const off = (sheet?.deductions ?? []).find((one) => one.item === item.key);
  const field = (kind, key, properties) =>
    make("input", { type: kind, id: `${key}-${item.key}`, disabled: !open, "aria-label": `${name(item)} ${say(`quality.${key}`)}`, ...properties });
  const points = item.knock_out
    ? field("checkbox", "off", { checked: Boolean(off) })
    : field("number", "off", { min: 0, max: item.points, value: off?.points ?? 0 });
  const second = field("number", "second", { min: 0, step: 0.1, value: off?.second ?? "" });
  const here = make("button", { type: "button", hidden: !open, title: say("quality.now"), "aria-label": `${name(item)} ${say("quality.now")}` }, "◉");
  here.addEventListener("click", () => {
    second.value = (Math.floor(recording.place() * 10) / 10).toFixed(1);
  });
  const play = make("button", { type: "button", "aria-label": `${name(item)} ${say("quality.play")}` }, "▶");
  play.addEventListener("click", () => {
    if (second.value !== "") recording.playFrom(Number(second.value));
  });
  const quote = make("span", { className: "quote" }, item.phrases.length ? item.phrases.join("、") : item.quote);
  const gone = item.knock_out
    ? ""
    : field("checkbox", "not-applicable", { checked: (sheet?.not_applicable ?? []).includes(item.key) });
  const words = [off?.phrase, off?.note].filter(Boolean).join("：");
  return make(
    "tr", {},
    make("td", {}, name(item), quote),
    make("td", { className: "figure" }, item.knock_out ? say("quality.knock-out") : String(item.points)),
    make("td", { className: "figure" }, points),
    make("td", {}, second, " ", here, " ", play),
    make("td", {}, field("text", "note", { maxLength: 500, value: words })),
    make("td", {}, gone),
  );
}

/** The sheet as it is filled in, for the server. */
export function readSheet(card) {
  const value = (key, item) => at(`${key}-${item.key}`);
  const deductions = [];
  const gone = [];
  for (const item of card.items) {
    const off = value("off", item);
    const points = item.knock_out ? 0 : Number(off.value);
    if (item.knock_out ? off.checked : points > 0) {
      const second = value("second", item).value;
      deductions.push({
        item: item.key,
        points,
        second: second === "" ? null : Number(second),
        note: value("note", item).value,
      });
    }
    if (!item.knock_out && value("not-applicable", item).checked) gone.push(item.key);
  }
  return { deductions, not_applicable: gone };
}
