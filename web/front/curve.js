// The 24-hour curve of the connection rate against 95 %, with the number of calls behind it.
import uPlot from "uplot";
import { language } from "./preferences.js";
import { minute, percent, say } from "./say.js";

const GOAL = 95;

/** A chart in `holder` that keeps its size. `show(points)`: [[microseconds, rate 0-1 or null, calls], …] in order. */
export class Curve {
  #holder;
  #plot = null;
  #points = [];
  #shown = "";

  constructor(holder) {
    this.#holder = holder;
    new ResizeObserver(() => this.#resize()).observe(holder);
  }

  show(points) {
    if (points === this.#points) return;
    const signature = JSON.stringify(points);
    this.#points = points;
    if (signature === this.#shown) return;
    this.#shown = signature;
    if (this.#plot) this.#plot.setData(this.#data());
    else this.redraw();
    this.#describe();
  }

  /** Draws it again: the colours or the language have changed. */
  redraw() {
    this.#plot?.destroy();
    this.#plot = null;
    const { clientWidth: width, clientHeight: height } = this.#holder;
    if (!width || !height) return;
    this.#plot = new uPlot(this.#options(width, height), this.#data(), this.#holder);
    this.#describe();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#holder;
    if (!width || !height) return;
    if (!this.#plot) this.redraw();
    else if (this.#plot.width !== width || this.#plot.height !== height) this.redraw();
  }

  #data() {
    const times = this.#points.map(([at]) => at / 1e6);
    const rates = this.#points.map(([, rate]) => (rate === null ? null : rate * 100));
    const calls = this.#points.map(([, , number]) => number);
    return [times, calls, rates, times.map(() => GOAL)];
  }

  #options(width, height) {
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const size = Math.max(12, Math.min(20, Math.round(height / 12)));
    const font = `${size}px ${getComputedStyle(this.#holder).fontFamily}`;
    const axis = { stroke: colour("--dim"), font, ticks: { show: false } };
    return {
      width,
      height,
      padding: [size * 0.7, size * 1.4, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      select: { show: false },
      scales: {
        x: { time: true },
        rate: {
          range: (_, low) => [Math.min(88, Math.floor(((low ?? 100) - 2) / 4) * 4), 100.6],
        },
        calls: { range: (_, __, most) => [0, Math.max(4, (most ?? 0) * 2.6)] },
      },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Asia/Shanghai"),
      axes: [
        {
          ...axis,
          size: size * 1.9,
          gap: 4,
          grid: { show: false },
          space: size * 4.5,
          values: (_, ticks) => ticks.map((seconds) => minute(seconds * 1e6)),
        },
        {
          ...axis,
          scale: "rate",
          size: size * 3,
          gap: 6,
          grid: { stroke: colour("--line"), width: 1 },
          space: size * 2.2,
          splits: (_, __, low) => (low >= 88 ? [90, 95, 100] : low >= 60 ? [70, 80, 90, 95, 100] : [0, 25, 50, 75, 95]),
          values: (_, ticks) => ticks.map((tick) => `${tick}`),
        },
      ],
      series: [
        {},
        {
          scale: "calls",
          paths: uPlot.paths.bars({ size: [0.7, 100] }),
          fill: colour("--bars"),
          stroke: colour("--bars"),
          points: { show: false },
        },
        {
          scale: "rate",
          stroke: colour("--accent"),
          width: Math.max(2, size / 5),
          points: { show: false },
          spanGaps: false,
        },
        {
          scale: "rate",
          stroke: colour("--goal"),
          width: 1.5,
          dash: [8, 6],
          points: { show: false },
        },
      ],
      hooks: {
        // What lies below the goal is filled with the one colour that means trouble.
        drawSeries: [(plot, index) => index === 2 && fillBelow(plot, colour("--alarm"), language())],
      },
    };
  }

  #describe() {
    const known = this.#points.filter(([, rate]) => rate !== null);
    let text = say("curve.empty");
    if (known.length) {
      const low = known.reduce((a, b) => (b[1] < a[1] ? b : a));
      text = say("curve.says", {
        low: percent(low[1]),
        time: minute(low[0]),
        last: percent(known[known.length - 1][1]),
      });
    }
    this.#holder.setAttribute("aria-label", text);
  }
}

function fillBelow(plot, colour) {
  const { ctx } = plot;
  const [times, , rates] = plot.data;
  const y = (value) => plot.valToPos(value, "rate", true);
  const x = (seconds) => plot.valToPos(seconds, "x", true);
  ctx.save();
  ctx.beginPath();
  ctx.rect(plot.bbox.left, y(GOAL), plot.bbox.width, plot.bbox.top + plot.bbox.height - y(GOAL));
  ctx.clip();
  ctx.globalAlpha = 0.45;
  ctx.fillStyle = colour;
  let begun = null;
  const close = (end) => {
    if (begun === null) return;
    ctx.lineTo(x(times[end]), y(GOAL));
    ctx.lineTo(x(times[begun]), y(GOAL));
    ctx.fill();
    begun = null;
  };
  rates.forEach((rate, index) => {
    if (rate === null || rate === undefined) return close(index - 1);
    if (begun === null) {
      ctx.beginPath();
      ctx.moveTo(x(times[index]), y(rate));
      begun = index;
    } else ctx.lineTo(x(times[index]), y(rate));
  });
  close(rates.length - 1);
  ctx.restore();
}
