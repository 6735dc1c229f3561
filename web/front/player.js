// The player of one recording: both sides' waveforms, speed, silence that is skipped, and marks with notes. A page imports
// it when somebody listens. The sound comes by ranges into an <audio> element, and never whole into memory.
import WaveSurfer from "wavesurfer.js";
import Regions from "wavesurfer.js/plugins/regions";
import { make } from "./page.js";
import { language } from "./preferences.js";
import { duration, moment, put, say, sayAll } from "./say.js";
import { ask, Refusal } from "./session.js";
import { makeExport } from "./player-export.js";
import { attempt, problem, reasonOf } from "./tell.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3];
const HEIGHT = 56;
/** Seconds at each end of a silence that are played all the same, so that no syllable is cut. */
const KEPT = 0.25;
/** Seconds by which a key moves the place. */
const STEPS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -60, PageUp: 60 };
const REASONS = ["quality", "complaint", "request", "training"];
const LONGEST_NOTE = 500;
/** What is not in the sound as it was spoken → its colour on the waveform, and how much of it. */
const PARTS = { hold: ["--wrap-up", 35], paused: ["--ringing", 35], asked: ["--own-call", 35], lost: ["--alarm", 100] };

/**
 * Puts a player of a call's recording into `element`.
 *
 * `options`: `me`, the session; `seconds`, the place to begin at; `title()`, a line that says which call it is;
 * `onPlace(seconds)`, told where the listener went; `onClose()`, for a button that closes it; `path`, where the server has
 * waveform and sound of a recording whose call the listener may not know: without marks and download.
 * Gives {play(), seek(seconds), place(), speak(), close()}: `speak` after the language or the colours have changed.
 */
export function mountPlayer(element, call, options) {
  const blind = options.path !== undefined;
  const path = options.path ?? `/api/calls/${encodeURIComponent(call)}`;
  const parts = build(element, call, options);
  const { audio, slider } = parts;
  let peaks = null;
  let marks = [];
  let surfer = null;
  let regions = null;
  let why = "";
  let editing = null;

  const because = (more = "") => {
    const asked = new URLSearchParams(more);
    if (why) asked.set("why", why);
    return String(asked) ? `?${asked}` : "";
  };

  async function load() {
    try {
      [peaks, marks] = await Promise.all([ask("GET", `${path}/peaks`), blind ? [] : ask("GET", `${path}/marks`)]);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return put(parts.notice, reasonOf(error));
    }
    if (!element.contains(audio)) return; // it was closed meanwhile
    const plugin = Regions.create();
    surfer = WaveSurfer.create({
      container: slider,
      media: audio,
      peaks: [peaks.left, peaks.right].map((side) => (side.length ? side : [0, 0])),
      duration: Math.max(peaks.seconds, 0.001),
      plugins: [plugin],
      dragToSeek: true,
      hideScrollbar: true,
      cursorWidth: 2,
      ...colours(),
    });
    // The page's policy forbids style elements, also in there: web/front/build.js has made a file of it.
    surfer.getWrapper().getRootNode().prepend(make("link", { rel: "stylesheet", href: "/static/made/wave.css" }));
    surfer.on("interaction", () => options.onPlace?.(audio.currentTime));
    surfer.on("ready", () => {
      regions = plugin; // a region that is added before cannot be removed
      if (options.seconds && !audio.currentTime) seek(options.seconds);
      draw();
      element.dataset.state = "ready";
    });
    plugin.on("region-clicked", (region, event) => {
      event.stopPropagation();
      seek(region.start);
    });
    slider.setAttribute("aria-valuemax", String(Math.floor(peaks.seconds)));
    speak();
  }

  /** Sound only comes after this: the server says whether it may, and asks for a reason if its settings want one. */
  async function prepare() {
    if (audio.hasAttribute("src")) return true;
    const address = `${path}/recording`;
    try {
      await ask("GET", address + because(), undefined, { headers: { Range: "bytes=0-0" } });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 422 && !why) askWhy();
      else problem(reasonOf(error));
      return false;
    }
    const place = audio.currentTime;
    audio.src = address + because();
    audio.currentTime = place;
    if (!blind) parts.download.href = address + because("download=1");
    setSpeed();
    return true;
  }

  async function play() {
    if (await prepare()) audio.play().catch(() => {}); // its event `error` says what is wrong with it
  }

  function askWhy() {
    parts.why.hidden = false;
    parts.why.elements.why.focus();
  }

  function seek(seconds) {
    const place = Math.min(Math.max(0, seconds), peaks?.seconds ?? seconds);
    audio.currentTime = place;
    surfer?.setTime(place); // without sound yet, the waveform hears of no move
    options.onPlace?.(place);
    moved();
  }

  function setSpeed() {
    audio.preservesPitch = true;
    audio.defaultPlaybackRate = audio.playbackRate = Number(parts.speed.value);
  }

  function moved() {
    const place = audio.currentTime;
    if (parts.skip.checked && !audio.paused) {
      const silence = peaks?.silences.find(([begin, end]) => begin + KEPT <= place && place < end - 2 * KEPT);
      if (silence) audio.currentTime = silence[1] - KEPT;
    }
    const whole = duration(peaks?.seconds ?? 0);
    put(parts.place, `${duration(place)} / ${whole}`);
    slider.setAttribute("aria-valuenow", String(Math.floor(place)));
    slider.setAttribute("aria-valuetext", say("player.place", { place: duration(place), whole }));
  }

  function draw() {
    if (regions) {
      regions.clearRegions();
      for (const one of peaks.parts) region(one, colour(...PARTS[one.kind]), say(`part.${one.kind}`));
      for (const one of peaks.reasons) region(one, colour("--talking", 35), say("reason.said"));
      marks.forEach((one, number) => region(one, colour("--accent", one.end === null ? 100 : 40), String(number + 1)));
    }
    parts.marks.replaceChildren(...marks.map(item));
    parts.none.hidden = marks.length > 0;
    parts.apart.replaceChildren(...(peaks?.parts ?? []).map(apart));
    parts.unheard.hidden = !peaks?.parts.length;
    parts.reasons.replaceChildren(...(peaks?.reasons ?? []).map(reason));
    parts.reasoned.hidden = !peaks?.reasons.length;
    parts.hints.replaceChildren(...(peaks?.hints ?? []).map(hint));
    parts.hinted.hidden = !peaks?.hints.length;
  }

  const hint = (one) => make("li", {}, goTo(one.at, precise(one.at)), told(one));

  const reason = (one) => make(
    "li", {}, goTo(one.begin, stretch(one)), make("span", { className: "note" }, say("reason.after", { agent: one.agent })),
  );

  const apart = (one) => make("li", {}, goTo(one.begin, stretch(one)), told(one));

  const told = (one) => make("span", { className: "note" }, language() === "zh" ? one.text_zh : one.text_en);

  const stretch = ({ begin, end }) => (end === null || end === begin ? precise(begin) : `${precise(begin)}–${precise(end)}`);

  /** A button that leads to a place. */
  function goTo(seconds, where) {
    const go = make("button", { type: "button" }, where);
    go.setAttribute("aria-label", say("mark.go", { place: where }));
    go.addEventListener("click", () => seek(seconds));
    return go;
  }

  function region({ begin, end }, color, content) {
    regions.addRegion({ start: begin, end: end ?? begin, color, content, drag: false, resize: false });
  }

  function item(mark) {
    const line = make(
      "li", {}, goTo(mark.begin, stretch(mark)), make("span", { className: "note" }, mark.text),
      make("span", { className: "by" }, `${mark.by} ${moment(mark.changed)}`),
    );
    line.dataset.mark = mark.id;
    if (mark.mine) {
      const [change, remove] = ["mark.change", "mark.remove"].map((word) => make("button", { type: "button" }, say(word)));
      change.addEventListener("click", () => edit(mark));
      remove.addEventListener("click", () => attempt(remove, say("done.mark.remove"), async () => {
        await ask("DELETE", `${path}/marks/${mark.id}`);
        keep(marks.filter((one) => one !== mark));
        if (editing === mark) edit(null);
      }));
      line.append(change, remove);
    }
    return line;
  }

  function keep(all) {
    marks = all.sort((a, b) => a.begin - b.begin || a.id - b.id);
    draw();
  }

  /** Fills the form: with a mark that is to be changed, or empty for a new one. */
  function edit(mark) {
    editing = mark;
    const { begin, end, text } = parts.form.elements;
    begin.value = mark ? precise(mark.begin) : "";
    end.value = mark?.end ? precise(mark.end) : "";
    text.value = mark?.text ?? "";
    speak();
    if (mark) text.focus();
  }

  async function save() {
    const { begin, end, text } = parts.form.elements;
    const note = { begin: placeOf(begin.value), end: end.value.trim() ? placeOf(end.value) : null, text: text.value };
    if (begin.value.trim() === "") note.begin = Math.round(audio.currentTime * 10) / 10;
    if (Number.isNaN(note.begin) || Number.isNaN(note.end)) return problem(say("mark.wrong"));
    const known = editing;
    await attempt(parts.save, say(known ? "done.mark.change" : "done.mark.add"), async () => {
      const made = known
        ? await ask("PUT", `${path}/marks/${known.id}`, { ...note, version: known.version })
        : await ask("POST", `${path}/marks`, note);
      keep([...marks.filter((one) => one !== known), made]);
      edit(null);
    });
  }

  function speak() {
    sayAll(element);
    put(parts.title, options.title?.() ?? "");
    put(parts.save, say(editing ? "save" : "mark.add"));
    parts.form.elements.begin.placeholder = say("mark.here");
    parts.cancel.hidden = !editing;
    put(parts.toggle, say(audio.paused ? "play" : "player.stop"));
    parts.why.querySelector("datalist").replaceChildren(
      ...REASONS.map((name) => make("option", { value: say(`why.${name}`) })),
    );
    if (peaks) put(parts.notice, peaks.missing ? say("player.no-waveform") : "");
    parts.skip.disabled = !peaks || Boolean(peaks.missing);
    surfer?.setOptions(colours());
    if (!blind) parts.exporting.speak();
    draw();
    moved();
  }

  function close() {
    parts.exporting.close();
    audio.pause();
    surfer?.destroy();
    audio.removeAttribute("src");
    audio.load(); // lets go of the connection
    element.replaceChildren();
    delete element.dataset.state;
  }

  parts.toggle.addEventListener("click", () => (audio.paused ? play() : audio.pause()));
  parts.download.addEventListener("click", async (event) => {
    if (audio.hasAttribute("src")) return; // it leads to the sound, with the reason
    event.preventDefault();
    if (await prepare()) parts.download.click();
  });
  parts.close?.addEventListener("click", options.onClose);
  parts.speed.addEventListener("change", setSpeed);
  parts.why.addEventListener("submit", (event) => {
    event.preventDefault();
    why = parts.why.elements.why.value.trim();
    parts.why.hidden = Boolean(why);
    if (why) play();
  });
  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
  parts.cancel.addEventListener("click", () => edit(null));
  parts.here.addEventListener("click", () => {
    parts.form.elements.begin.value = precise(audio.currentTime);
    parts.form.elements.text.focus();
  });
  slider.addEventListener("keydown", (event) => {
    if (event.key === " ") parts.toggle.click();
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(peaks?.seconds ?? 0);
    else if (event.key in STEPS) seek(audio.currentTime + STEPS[event.key]);
    else return;
    event.preventDefault();
  });
  audio.addEventListener("timeupdate", moved);
  audio.addEventListener("play", () => put(parts.toggle, say("player.stop")));
  audio.addEventListener("pause", () => {
    put(parts.toggle, say("play"));
    options.onPlace?.(audio.currentTime);
  });
  audio.addEventListener("error", () => audio.hasAttribute("src") && problem(say("play.failed")));
  speak();
  load();
  if (!blind) parts.exporting.check();
  return { play, seek, place: () => audio.currentTime, speak, close };
}

/** Everything that is seen. Words with data-say are filled in by sayAll. */
function build(element, call, { me, onClose, path }) {
  const button = (word, properties = {}) => make("button", { type: "button", "data-say": word, ...properties });
  const label = (word, field) => make("label", {}, make("span", { "data-say": word }), field);
  const audio = make("audio", { preload: "none" });
  const toggle = make("button", { type: "button", className: "main toggle" });
  const place = make("span", { className: "place" });
  const speed = make("select", { name: "speed" }, ...SPEEDS.map((one) => make("option", { value: String(one), selected: one === 1 }, `${one}×`)));
  const skip = make("input", { type: "checkbox", name: "skip" });
  const download = make("a", { className: "button", href: "#", download: "", "data-say": "download" });
  const exporting = makeExport(call, me, download);
  const close = onClose ? button("close") : null;
  const title = make("p", { className: "title" });
  const notice = make("p", { className: "hint", role: "status" });
  const slider = make("div", { className: "wave", role: "slider", tabIndex: 0, "data-say-label": "player.slider" });
  for (const [name, value] of [["valuemin", 0], ["valuemax", 0], ["valuenow", 0]]) slider.setAttribute(`aria-${name}`, value);
  const why = make(
    "form", { className: "fields why", hidden: true },
    label("player.why", make("input", { name: "why", required: true, maxLength: 200, autocomplete: "off" })),
    make("datalist", { id: "player-reasons" }), make("button", { type: "submit", className: "main", "data-say": "player.listen" }),
  );
  why.querySelector("label").className = "grow";
  why.elements.why.setAttribute("list", "player-reasons"); // its property cannot be set
  const field = (name, size) => make("input", { name, size, autocomplete: "off", inputMode: "text" });
  const text = make("input", { name: "text", required: true, maxLength: LONGEST_NOTE, autocomplete: "off" });
  const save = make("button", { type: "submit", className: "main" });
  const [here, cancel] = [button("mark.take"), button("cancel")];
  const note = label("mark.text", text);
  note.className = "grow";
  const form = make(
    "form", { className: "fields", hidden: !me.rights.includes("recordings.mark") },
    label("mark.begin", field("begin", 8)), here, label("mark.end", field("end", 8)), note, save, cancel,
  );
  const marks = make("ol", { className: "marks" });
  const none = make("p", { className: "hint", "data-say": "marks.none" });
  const hints = make("ol", { className: "hints" });
  const apart = make("ol", { className: "parts" });
  const unheard = make("section", { hidden: true }, make("h2", { "data-say": "parts" }), apart);
  const reasons = make("ol", { className: "reasons" });
  const reasoned = make("section", { hidden: true }, make("h2", { "data-say": "reasons" }), reasons);
  const hinted = make(
    "section", { hidden: true },
    make("h2", { "data-say": "hints" }), make("p", { className: "hint", "data-say": "hints.hint" }), hints,
  );
  element.replaceChildren(
    title,
    notice,
    make("div", { className: "waves" }, make("span", { "data-say": "player.citizen" }), make("span", { "data-say": "agent" }), slider),
    audio,
    make(
      "div", { className: "row" }, toggle, place, label("player.speed", speed),
      make("label", {}, skip, make("span", { "data-say": "player.skip" })), ...(path === undefined ? [download, exporting.button, exporting.said] : []), ...(close ? [close] : []),
    ),
    make("p", { className: "hint", "data-say": "player.skip.hint" }),
    why,
    ...(path === undefined ? [exporting.form] : []),
    unheard,
    reasoned,
    hinted,
    ...(path === undefined ? [make("h2", { "data-say": "marks" }), form, marks, none] : []),
  );
  return {
    audio, toggle, place, speed, skip, download, close, title, notice, slider, why, form, save, here, cancel, marks, none,
    hints, hinted, reasons, reasoned, apart, unheard, exporting,
  };
}

/** How both sides are drawn, in the colours of the page. */
function colours() {
  const side = (name) => ({ height: HEIGHT, waveColor: colour(name, 60), progressColor: colour(name, 100) });
  return { cursorColor: colour("--text", 100), height: HEIGHT, splitChannels: [side("--talking"), side("--ready")] };
}

/** A colour of the style sheet, `percent` of it. */
function colour(name, percent) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return `${hex}${Math.round(percent * 2.55).toString(16).padStart(2, "0")}`;
}

/** 75.04 → "1:15", 75.5 → "1:15.5". */
function precise(seconds) {
  const tenths = Math.round(seconds * 10);
  return tenths % 10 ? `${duration(tenths / 10)}.${tenths % 10}` : duration(tenths / 10);
}

/** "1:15.5", "1:02:03" or "75" → seconds; NaN for anything else. */
function placeOf(text) {
  const found = /^(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,6}(?:\.\d{1,3})?)$/.exec(text.trim().replaceAll("：", ":"));
  return found ? Number(found[1] ?? 0) * 3600 + Number(found[2] ?? 0) * 60 + Number(found[3]) : NaN;
}
