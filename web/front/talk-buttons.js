// What can be done with an agent's talk: one line a button. A new one is a new line, and its words "talk.NAME" and
// "done.talk.NAME".
//
// `right`: who has the button. `own`: only for one's own talk, but with `agents.write` for any. `limited`: only for talks of
// the queues that one's account is limited to. `when`: whether it makes sense now; it gets {agent, inside}: the agent's row
// of the live state, and one's own row of `supervision`, if one is in that talk. `path`: behind /api/talks/NUMBER/;
// `method`: POST if not given. `asks`: the field of the body that is asked for in words; `choice`: {field, of}, one that is
// chosen from what `of` gives, [[value, text], …]; a path that is made of the choice is `path(now, chosen)`. `body`: the
// other fields.
const talks = ({ agent }) => agent.presence === "talking";
const outside = (now) => talks(now) && !now.inside;
const not = (mode) => (now) => talks(now) && now.inside?.mode !== mode;
const byMode = (mode) => ({ path: ({ inside }) => (inside ? "mode" : "listen"), body: { mode } });

const joined = ({ agent }) => agent.parties ?? [];
const consults = (now) => talks(now) && joined(now).some(({ state }) => state === "consulted");
const SERVICES = ["110", "119", "120", "122"].map((service) => [service, service]);

export const TALK_BUTTONS = [
  { name: "listen", right: "talks.listen", limited: true, when: not("listen"), ...byMode("listen") },
  { name: "whisper", right: "talks.listen", limited: true, when: not("whisper"), ...byMode("whisper") },
  { name: "step_in", right: "talks.step_in", limited: true, when: not("step_in"), ...byMode("step_in") },
  { name: "leave", right: "talks.listen", when: ({ inside }) => Boolean(inside), path: "leave" },
  { name: "take", right: "talks.step_in", limited: true, when: talks, path: "take" },
  { name: "alert", right: "alerts.raise", own: true, when: talks, path: "alert", asks: "note" },
  { name: "party", right: "parties.own", own: true, when: talks, path: "parties", asks: "to" },
  { name: "emergency", right: "parties.own", own: true, when: talks, path: "emergency", choice: { field: "service", of: () => SERVICES } },
  { name: "join", right: "parties.own", own: true, when: consults, path: "parties/join" },
  {
    name: "drop", right: "parties.own", own: true, when: (now) => talks(now) && joined(now).length > 0, method: "DELETE",
    choice: { field: "party", of: (now) => joined(now).map(({ id, name }) => [id, name]) },
    path: (_now, party) => `parties/${party}`,
  },
  { name: "hold", right: "agents.own", own: true, when: (now) => talks(now) && !now.agent.held, path: "hold" },
  { name: "resume", right: "agents.own", own: true, when: (now) => talks(now) && Boolean(now.agent.held), path: "resume" },
  { name: "transfer", right: "agents.own", own: true, when: talks, path: "transfer", asks: "to" },
  { name: "survey", right: "talks.survey", own: true, when: talks, path: "survey" },
  { name: "harassing", right: "agents.own", own: true, when: talks, path: "mark", body: { mark: "harassing", end: true } },
  { name: "silent", right: "agents.own", own: true, when: talks, path: "mark", body: { mark: "silent", end: true } },
  { name: "hang-up", right: "agents.own", own: true, when: talks, path: "hang-up" },
  { name: "end", right: "talks.end", limited: true, when: outside, path: "end", asks: "reason" },
];
