// Words in the reader's language, and numbers and times as that language writes them.
import { language } from "./preferences.js";
import { WORDS } from "./words.js";

const ZONE = "Asia/Shanghai";
const clocks = {
  seconds: new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  minutes: new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, hour: "2-digit", minute: "2-digit" }),
};
const counts = new Intl.NumberFormat("en-US");

/** The word behind `key`, with {name} replaced by `slots.name`; the key itself when there is none. */
export function say(key, slots = {}) {
  const text = WORDS[key]?.[language() === "zh" ? 0 : 1] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => slots[name] ?? "");
}

/** Whether there is a word for `key`. */
export const known = (key) => key in WORDS;

/** Fills every element with data-say (its text), data-say-label (aria-label) and data-say-hint (placeholder). */
export function sayAll(root = document) {
  for (const element of root.querySelectorAll("[data-say]")) put(element, say(element.dataset.say));
  for (const element of root.querySelectorAll("[data-say-label]")) {
    element.setAttribute("aria-label", say(element.dataset.sayLabel));
  }
  for (const element of root.querySelectorAll("[data-say-hint]")) {
    element.setAttribute("placeholder", say(element.dataset.sayHint));
  }
}

/** Sets an element's text only when it differs. Always text, never markup: names come from outside. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A caller's number, or that it is withheld; for guests the server says so itself. */
export const whose = (caller) => (caller && caller !== "withheld" ? caller : say("withheld"));

/** 75 → "1:15", 3675 → "1:01:15". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** 0.9512 → "95.1". Rounded down: 94.97 % is not 95.0 %. */
export const percent = (value) => (Math.floor(value * 1000 + 1e-9) / 10).toFixed(1);

export const count = (n) => counts.format(n);

/** Microseconds → "14:03:22" in Shanghai. */
export const clock = (at) => clocks.seconds.format(new Date(at / 1000));

/** Microseconds → "14:03" in Shanghai. */
export const minute = (at) => clocks.minutes.format(new Date(at / 1000));

/** Microseconds → "11月21日 星期六" or "Sat 21 Nov". */
export function day(at) {
  const zh = language() === "zh";
  return new Intl.DateTimeFormat(zh ? "zh-CN" : "en-GB", {
    timeZone: ZONE, month: zh ? "long" : "short", day: "numeric", weekday: zh ? "long" : "short",
  }).format(new Date(at / 1000));
}

/** Microseconds → "11-21 14:03". */
export function moment(at) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, month: "2-digit", day: "2-digit" })
    .formatToParts(new Date(at / 1000));
  const part = (type) => parts.find((one) => one.type === type).value;
  return `${part("month")}-${part("day")} ${minute(at)}`;
}

/** The day that it is in Shanghai: "2026-11-22". */
export const today = () =>
  new Intl.DateTimeFormat("en-CA", { timeZone: ZONE, year: "numeric", month: "2-digit", day: "2-digit" }).format(new Date());
