// The supervisor's page: agents, queues, callbacks, calls with their recordings, hints of
// where to listen, and requests to export a recording. What a role may not do is not shown;
// the server refuses it in any case.
import "./supervisor.css";
import { showAlarms } from "./alarms.js";
import { showAlerts } from "./alerts.js";
import { showAgents, startAgents } from "./desk-agents.js";
import { startCallbacks } from "./desk-callbacks.js";
import { startCalls } from "./desk-calls.js";
import { startExports } from "./desk-exports.js";
import { startHints } from "./desk-hints.js";
import { showMessages, startMessages } from "./desk-messages.js";
import { startQueues } from "./desk-queues.js";
import { showTalk, startTalk } from "./desk-talk.js";
import { showWaiting, startWaiting } from "./desk-waiting.js";
import { follow, ServerClock } from "./live.js";
import { at, make, start } from "./page.js";
import { clock, put, say } from "./say.js";
import { ask, session, signOut } from "./session.js";
import { attempt, problem } from "./tell.js";

const TABS = {
  agents: "agents.read", waiting: "live", queues: "queues.read", callbacks: "callbacks.read", calls: "calls.read", messages: "messages.write", hints: "recordings.read",
  exports: "recordings.read",
};

const MOST_ALARMS = 20;

const serverClock = new ServerClock();
let me = null;
let state = null;
let staleSince = null;
const parts = {};

function choose(name) {
  for (const tab of Object.keys(TABS)) {
    const chosen = tab === name;
    at(`tab-${tab}`).setAttribute("aria-selected", String(chosen));
    at(`tab-${tab}`).tabIndex = chosen ? 0 : -1;
    at(tab).hidden = !chosen;
  }
  parts[name]?.open();
}

/** Left and right go from tab to tab, as in any list of tabs. */
function walk(event) {
  const shown = Object.keys(TABS).filter(allowed);
  const here = shown.findIndex((tab) => at(`tab-${tab}`) === document.activeElement);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || here < 0) return;
  const next = shown[(here + step + shown.length) % shown.length];
  turnTo(next);
  at(`tab-${next}`).focus();
}

/** Shows a tab and remembers it in the address; a real jump to "#calls" would take the keyboard's focus away. */
function turnTo(tab) {
  history.replaceState(null, "", `#${tab}`);
  choose(tab);
}

function byHash() {
  const [wanted] = location.hash.slice(1).split("&"); // what follows is the tab's own
  const there = Object.keys(TABS).filter(allowed);
  choose(there.includes(wanted) ? wanted : there[0]);
}

/** Whether this person has the tab. Requests for exports are there where the centre wants a second person. */
function allowed(tab) {
  return me.rights.includes(TABS[tab]) && (tab !== "exports" || me.export_approval);
}

function drawLive() {
  const stale = staleSince !== null;
  at("pulse").dataset.state = stale ? "stale" : state ? "live" : "connecting";
  at("pulse").hidden = stale;
  put(at("pulse-text"), say(state ? "live" : "connecting"));
  put(at("stale"), !stale ? "" : staleSince ? say("stale", { time: clock(staleSince) }) : say("stale.never"));
  if (me) put(at("who"), `${me.name} · ${say(`role.${me.role}`)}`);
  if (!state || !me) return;
  showAgents(state, staleSince ?? serverClock.now());
  showMessages(state);
  showTalk(state, staleSince ?? serverClock.now());
  showWaiting(state, staleSince ?? serverClock.now());
  showAlerts(state.alerts ?? [], me.rights.includes("alarms.write"));
  showAlarms(state.alarms, MOST_ALARMS, seenButton);
}

/** The button with which a supervisor acknowledges an alarm. */
function seenButton(alarm) {
  if (alarm.acknowledged_by || !me.rights.includes("alarms.write")) return [];
  const button = make("button", { type: "button" }, say("alarm.see"));
  const path = `/api/alarms/${encodeURIComponent(alarm.id)}/acknowledge`;
  button.addEventListener("click", () => attempt(button, say("done.alarm"), () => ask("POST", path)));
  return [button];
}

async function begin() {
  try {
    me = await session();
  } catch (refusal) {
    return problem(refusal.message);
  }
  if (!me) return location.assign("/sign-in?next=/supervisor");
  for (const tab of Object.keys(TABS)) at(`tab-${tab}`).hidden = !allowed(tab);
  at("to-quality").hidden = !["quality.assess", "quality.own", "quality.decide"].some((right) => me.rights.includes(right));
  parts.agents = startAgents(me);
  parts.messages = startMessages(me);
  parts.talk = startTalk(me);
  parts.waiting = startWaiting(me);
  parts.queues = startQueues(me);
  parts.callbacks = startCallbacks(me);
  parts.calls = startCalls(me);
  if (allowed("hints")) parts.hints = startHints();
  if (allowed("exports")) parts.exports = startExports(me);
  for (const tab of Object.keys(TABS)) at(`tab-${tab}`).addEventListener("click", () => turnTo(tab));
  at("tabs").addEventListener("keydown", walk);
  addEventListener("hashchange", byHash);
  byHash();
  drawLive();
  setInterval(drawLive, 1000);
  follow({
    onClock: (now) => serverClock.heard(now),
    onState(next) {
      state = next;
      drawLive();
    },
    onStale(since) {
      staleSince = since;
      drawLive();
    },
    onFresh() {
      staleSince = null;
      drawLive();
    },
    async onLost() {
      try {
        if (!(await session())) location.assign("/sign-in?next=/supervisor");
      } catch {
        // the page says that it is stale
      }
    },
  });
}

start("title.supervisor", () => {
  drawLive();
  for (const part of Object.values(parts)) part.speak();
});
at("sign-out").addEventListener("click", signOut);
for (const button of document.querySelectorAll("dialog .cancel")) {
  button.addEventListener("click", () => button.closest("dialog").close("cancel"));
}
begin();
