"use strict";
const words = {
  zh: { title: "热线大屏", waiting: "等待中", longest: "最长等待", talking: "通话中", m1: "今日呼叫接通率",
    rings: "三声内应答", agents: "话务员", stale: "数据已停止更新，自 ", lang: "English",
    out: "签出", ready: "就绪", ringing: "振铃", "wrap-up": "话后整理", paused: "暂停",
    "not-responding": "未应答", unreachable: "话机离线", "own-call": "自拨", talk: "通话" },
  en: { title: "Hotline wallboard", waiting: "Waiting", longest: "Longest wait", talking: "Talking", m1: "Connection rate today",
    rings: "Within three rings", agents: "Agents", stale: "Stale since ", lang: "中文",
    out: "out", ready: "ready", ringing: "ringing", "wrap-up": "wrap-up", paused: "paused",
    "not-responding": "not responding", unreachable: "unreachable", "own-call": "own call", talk: "talking" },
};
let lang = localStorage.getItem("lang") || "zh", state = null, heard = 0;
const at = (id) => document.getElementById(id);
const put = (id, text) => { at(id).textContent = text; };
const clock = (seconds) => Math.floor(seconds / 60) + ":" + String(Math.floor(seconds % 60)).padStart(2, "0");
const percent = (metric) => metric && metric.value !== null ? (metric.value * 100).toFixed(1) + "%" : "–";
function speak() {
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  document.title = words[lang].title;
  document.querySelectorAll("[data-say]").forEach((e) => { e.textContent = words[lang][e.dataset.say]; });
  put("lang", words[lang].lang);
  draw();
}
function draw() {
  const stale = heard && Date.now() - heard > 5000;
  put("stale", stale ? words[lang].stale + new Date(heard).toLocaleTimeString() : "");
  if (!state) return;
  const now = state.at / 1e6 + (Date.now() - heard) / 1000;
  const since = state.waiting_since;
  put("waiting", state.stages.waiting + state.stages.ringing);
  put("longest", since ? clock(Math.max(0, now - since / 1e6)) : "–");
  put("talking", state.stages.talking);
  put("m1", percent(state.figures.M1));
  put("m1n", state.figures.M1 ? state.figures.M1.numerator + " / " + state.figures.M1.denominator : "");
  put("rings", percent(state.figures.M4));
  const m1 = state.figures.M1;
  at("m1").className = "big " + (m1 && m1.value !== null ? (m1.value >= 0.95 ? "good" : "bad") : "");
  at("waiting").className = "big " + (state.stages.waiting ? "warn" : "");
  at("agents").replaceChildren(...state.agents.map((agent) => {
    const item = document.createElement("li");
    item.className = agent.presence;
    const who = document.createElement("strong"), what = document.createElement("div"), long = document.createElement("small");
    who.textContent = agent.number + " " + agent.name;
    what.textContent = words[lang][agent.presence === "talking" ? "talk" : agent.presence] + (agent.reason ? "（" + agent.reason + "）" : "");
    long.textContent = clock(Math.max(0, now - agent.since / 1e6));
    item.append(who, what, long);
    return item;
  }));
}
at("lang").onclick = () => { lang = lang === "zh" ? "en" : "zh"; localStorage.setItem("lang", lang); speak(); };
let seq = 0;
function whole(body) { seq = body.seq; state = body.state; heard = Date.now() - (body.now - state.at) / 1000; draw(); }
function changed(body) {
  if (!state || body.seq !== seq + 1) { fetch("/api/live").then((answer) => answer.json()).then(whole); return; }
  seq = body.seq;
  Object.assign(state, body.set, { at: body.at });
  const agents = new Map(state.agents.map((agent) => [agent.number, agent]));
  body.agents.forEach((agent) => agents.set(agent.number, agent));
  body.gone.forEach((number) => agents.delete(number));
  state.agents = [...agents.values()].sort((a, b) => a.number.localeCompare(b.number));
  heard = Date.now();
  draw();
}
const stream = new EventSource("/api/live/stream");
stream.addEventListener("snapshot", (event) => whole(JSON.parse(event.data)));
stream.addEventListener("change", (event) => changed(JSON.parse(event.data)));
stream.addEventListener("beat", (event) => {
  const body = JSON.parse(event.data);
  if (state && body.now - body.heard < 5e6) { state.at = body.now; heard = Date.now(); }
});
setInterval(draw, 1000);
speak();
