// The agents by state: groups in the order of urgency, in each the longest first. Only what changed is touched.
import { icon, make } from "./page.js";
import { count, duration, put, say } from "./say.js";

const SECOND = 1e6;

/** Every state, the ones to look at first. The names are those of the live state's `presence`. */
export const STATES = [
  "not-responding", "unreachable", "ringing", "talking", "wrap-up", "ready", "own-call", "paused", "out",
];

/** From so many agents on, tiles are so large. */
const DENSITIES = [[77, "dense"], [43, "small"], [26, "medium"], [17, "roomy"], [0, "few"]];

/** Draws the agents. `show` with every state (`now` in microseconds), `tick` every second, `speak` when the language changes. */
export class AgentFloor {
  #holder;
  #chips;
  #total;
  #empty;
  #groups = new Map();
  #tiles = new Map();
  #byNumber = false;
  #shown = null;
  #now = 0;

  constructor({ floor, chips, total, empty }) {
    this.#holder = floor;
    this.#chips = chips;
    this.#total = total;
    this.#empty = empty;
    for (const state of STATES) this.#groups.set(state, this.#group(state));
  }

  show(agents, now) {
    this.#now = now;
    if (agents === this.#shown) return;
    this.#shown = agents;
    const seen = new Set();
    const many = new Map(STATES.map((state) => [state, 0]));
    for (const agent of agents) {
      seen.add(agent.number);
      const state = many.has(agent.presence) ? agent.presence : "out";
      many.set(state, many.get(state) + 1);
      let tile = this.#tiles.get(agent.number);
      if (!tile) this.#tiles.set(agent.number, (tile = newTile(agent)));
      if (tile.shown === agent) continue; // whoever did not change is the same object as before
      tile.shown = agent;
      this.#dress(tile, agent);
      // Agents who are out are listed by number: since when does not matter.
      const since = state === "out" ? 0 : agent.since;
      if (tile.state === state && tile.since === since) continue;
      Object.assign(tile, { state, since });
      this.#place(tile);
      this.#time(tile);
    }
    for (const [number, tile] of this.#tiles) {
      if (seen.has(number)) continue;
      tile.item.remove();
      this.#tiles.delete(number);
    }
    for (const [state, group] of this.#groups) {
      const n = many.get(state);
      group.section.hidden = n === 0;
      put(group.count, count(n));
      put(group.chip.lastElementChild, count(n));
      group.chip.hidden = n === 0;
    }
    put(this.#total, say("agents.total", { n: count(agents.length) }));
    this.#empty.hidden = agents.length > 0;
    const density = DENSITIES.find(([least]) => agents.length >= least)[1];
    if (this.#holder.dataset.density !== density) this.#holder.dataset.density = density;
  }

  /** The time in each state, `now` in microseconds. */
  tick(now) {
    this.#now = now;
    for (const tile of this.#tiles.values()) this.#time(tile);
  }

  #time(tile) {
    put(tile.time, tile.state === "out" ? "" : duration((this.#now - tile.since) / SECOND));
    const over = tile.until > 0 && this.#now > tile.until;
    if (tile.over === over) return;
    tile.over = over;
    tile.item.classList.toggle("over", over);
    put(tile.late, over ? say("pause.over") : "");
  }

  /** Who sees names masked knows people by their numbers, so these stand first. */
  byNumber() {
    this.#byNumber = true;
    for (const tile of this.#tiles.values()) this.#dress(tile, tile.shown);
  }

  speak() {
    for (const [state, group] of this.#groups) {
      put(group.name, say(state));
      put(group.chip.children[1], say(state));
    }
    for (const tile of this.#tiles.values()) {
      put(tile.late, tile.over ? say("pause.over") : "");
      this.#why(tile);
    }
    if (this.#tiles.size) put(this.#total, say("agents.total", { n: count(this.#tiles.size) }));
  }

  #group(state) {
    const name = make("span", { className: "name" }, say(state));
    const number = make("span", { className: "count" });
    const list = make("ul");
    const section = make(
      "section", { className: "group", hidden: true }, make("h3", {}, icon(state), name, number), list,
    );
    section.dataset.state = state;
    // The same large, for a reader who stands far away.
    const chip = make("span", { className: "chip", hidden: true }, icon(state), make("span"), make("strong"));
    chip.dataset.state = state;
    this.#holder.append(section);
    this.#chips.append(chip);
    return { section, name, count: number, list, chip };
  }

  #dress(tile, agent) {
    tile.until = agent.until ?? 0;
    const [large, small] = agent.name && !this.#byNumber ? [agent.name, agent.number] : [agent.number, agent.name];
    put(tile.name, large);
    put(tile.number, small);
    tile.item.classList.toggle("unrecorded", Boolean(agent.recording_paused));
    this.#why(tile);
  }

  #why(tile) {
    const { presence, reason, recording_paused: unrecorded } = tile.shown;
    put(tile.reason, presence === "paused" ? reason : unrecorded ? say("recording.paused") : "");
  }

  /** Puts the tile among its group: those who have been in this state for longer stand before it. */
  #place(tile) {
    const { list } = this.#groups.get(tile.state);
    const after = (other) => other !== tile && (other.since - tile.since || (other.agent > tile.agent ? 1 : -1)) > 0;
    const next = [...list.children].find((item) => after(this.#tiles.get(item.dataset.agent)));
    list.insertBefore(tile.item, next ?? null);
  }
}

function newTile(agent) {
  const part = (className) => make("span", { className });
  const tile = {
    number: part("number"), name: part("who"), reason: part("reason"), late: part("late"), time: part("lasts"),
    agent: agent.number, shown: null, state: "", since: 0, until: 0, over: false,
  };
  const more = make("span", { className: "more" }, tile.number, tile.reason, tile.late);
  tile.item = make("li", {}, tile.name, tile.time, more);
  tile.item.dataset.agent = agent.number;
  return tile;
}
