// The live state by server-sent events.
//
// `snapshot` is the whole state, `change` what differs since the event before, `beat` says every two seconds at the
// latest that the server lives and how new its state is. Every event names the sequence number that the screen then
// has; a screen that misses one takes a snapshot again. When nothing new comes, the screen says since when, and asks on.

const STALE_AFTER = 5000;
const ASK_AGAIN = 2000;

/**
 * Follows the live state for as long as the page lives.
 *
 * `onState(state)`: a new state. `onClock(now)`: the server's clock, in microseconds. `onStale(at)`: nothing new for five
 * seconds; `at` is the time of the newest state in microseconds, 0 without one. `onFresh()`: news again. `onLost()`: the
 * stream broke; perhaps one has to sign in again.
 */
export function follow({ onState, onClock, onStale, onFresh, onLost }) {
  let source = null;
  let state = null;
  let sequence = null;
  let newest = 0; // microseconds: when the newest state was made, or heard by the server
  let beaten = null; // microseconds: what the last beat said
  let heard = performance.now(); // of something new
  let spoken = heard; // of anything
  let stale = false;

  function open() {
    spoken = performance.now();
    sequence = null;
    source?.close();
    source = new EventSource("/api/live/stream");
    source.addEventListener("snapshot", (event) => {
      const { seq, now, state: whole } = JSON.parse(event.data);
      spoken = performance.now();
      sequence = seq;
      onClock(now);
      if (!whole) return;
      const news = state?.at !== whole.at;
      state = whole;
      if (news) fresh(state.at);
      onState(state);
    });
    source.addEventListener("change", (event) => {
      const change = JSON.parse(event.data);
      if (!state || sequence === null || change.seq !== sequence + 1) return open(); // a gap
      spoken = performance.now();
      sequence = change.seq;
      state = merged(state, change);
      fresh(change.at);
      onState(state);
    });
    source.addEventListener("beat", (event) => {
      const beat = JSON.parse(event.data);
      if (sequence !== null && beat.seq !== sequence) return open(); // a gap
      spoken = performance.now();
      onClock(beat.now);
      if (beaten !== null && beat.heard > beaten) fresh(beat.heard);
      beaten = beat.heard;
    });
    source.addEventListener("error", () => onLost());
  }

  /** There is news: a change, another state than before, or a beat after which the server heard of one. */
  function fresh(at) {
    newest = at;
    heard = performance.now();
    if (!stale) return;
    stale = false;
    onFresh();
  }

  setInterval(() => {
    const now = performance.now();
    if (now - heard < STALE_AFTER) return;
    if (!stale) {
      stale = true;
      onStale(newest);
    }
    // A browser gives up for good after some answers, and never notices a line that is dead but not closed.
    const patience = source.readyState === EventSource.CLOSED ? ASK_AGAIN : STALE_AFTER;
    if (now - spoken > patience) open();
  }, 500);
  open();
}

/** `old` with what `change` tells put in its place. */
function merged(old, change) {
  const next = { ...old, ...change.set, at: change.at };
  if (change.agents?.length || change.gone?.length) {
    const all = new Map(old.agents.map((agent) => [agent.number, agent]));
    for (const agent of change.agents ?? []) all.set(agent.number, agent);
    for (const number of change.gone ?? []) all.delete(number);
    next.agents = [...all.values()];
  }
  if (change.waiting) {
    const all = new Map((old.waiting ?? []).map((caller) => [caller.call, caller]));
    for (const caller of change.waiting) all.set(caller.call, caller);
    for (const call of change.left ?? []) all.delete(call);
    next.waiting = [...all.values()];
  }
  return next;
}

/** A clock that runs with the server's: microseconds now, from the states that came. */
export class ServerClock {
  #ahead = -Infinity;
  #samples = [];

  /** A state that says `at` has just come. The least delayed of the last ones is nearest to the truth. */
  heard(at) {
    this.#samples.push(at / 1000 - performance.now());
    if (this.#samples.length > 60) this.#samples.shift();
    this.#ahead = Math.max(...this.#samples);
  }

  now() {
    return (performance.now() + this.#ahead) * 1000;
  }

  get set() {
    return this.#samples.length > 0;
  }
}
