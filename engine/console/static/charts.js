// uPlot with the page's colours, and the same figures as a table for who cannot see it.
import uPlot from "./vendor/uPlot.esm.js";
import { h, show, table } from "./dom.js";
import { day, moment } from "./format.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const MINUTES = [60, 300, 900, 3600, 10800, 21600, 86400, 604800];
const SECONDS = [1, 5, 15, 30, ...MINUTES];
const NAMES = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
const DAY = 86400;

const LEAST = 0.001;
const decades = (_, low, high) => (low === null ? [1, 1000] : uPlot.rangeLog(Math.max(low, LEAST), Math.max(high, LEAST), 10, true));
const powers = (_, __, low, high) => Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, at) => low * 10 ** at);

/** A chart over time. series: [{label, format}]; update([times in s], [values], ...). log: values above 0 only. */
export class Chart {
  constructor(title, series, { height = 210, seconds = true, log = false } = {}) {
    this.log = log; // what is a thousand times as long as something else stands beside it
    this.clock = seconds ? 19 : 16; // where the time ends in an ISO text
    this.title = title;
    this.series = series;
    this.height = height;
    this.plot = null;
    this.data = [[], ...series.map(() => [])];
    this.nothing = h("p", { class: "empty" }, "Nothing in this time.");
    this.area = h("div", { class: "chart", "aria-hidden": "true" });
    this.body = h("div");
    this.details = h("details", { ontoggle: () => this.fill() }, h("summary", {}, "Show as a table"), this.body);
    const legend = h("div", { class: "legend", "aria-hidden": "true" }, series.map((one, at) => h("span", {}, h("i", { class: NAMES[at] }), one.label)));
    this.area.hidden = this.details.hidden = true;
    this.element = h("section", { class: "card", "aria-label": title }, h("h2", {}, title), legend, this.nothing, this.area, this.details);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.area);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => { this.plot?.destroy(); this.plot = null; this.draw(); };
    this.scheme.addEventListener("change", this.redraw);
  }

  update(times, ...values) {
    this.data = [times, ...values];
    this.nothing.hidden = this.data[0].length > 0;
    this.area.hidden = this.details.hidden = !this.nothing.hidden;
    if (this.plot) this.plot.setData(this.data);
    else this.draw();
    if (this.details.open) this.fill();
  }

  draw() {
    const width = this.area.clientWidth;
    if (!width || !this.data[0].length) return;
    const axis = { stroke: color("--dim"), grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    this.plot = new uPlot({
      width, height: this.height,
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { show: false },
      padding: [12, 30, 0, 0],
      scales: { y: this.log ? { distr: 3, range: decades } : { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      axes: [{ ...axis, size: 30, incrs: this.clock === 16 ? MINUTES : SECONDS, space: 80, values: (_, times, __, ___, step) => times.map((at) => (step < DAY ? new Date(at * 1000).toISOString().slice(11, this.clock) : day(at))) }, { ...axis, size: 66, ...(this.log && { splits: powers }), values: (_, values) => values.map((value) => (value === null ? "" : this.series[0].format(value))) }],
      series: [{}, ...this.series.map((one, at) => ({ label: one.label, stroke: color(`--${NAMES[at]}`), width: 2, points: { show: false }, spanGaps: false }))],
    }, this.data, this.area);
  }

  resize() {
    const width = this.area.clientWidth;
    if (this.plot && width) this.plot.setSize({ width, height: this.height });
    else this.draw();
  }

  fill() {
    if (!this.details.open) return;
    const rows = this.data[0].map((at, place) => [at, ...this.series.map((_, one) => this.data[one + 1][place])]).reverse().slice(0, 60);
    const columns = [{ title: "Time (UTC)", class: "nowrap", cell: (row) => moment(new Date(Math.round(row[0]) * 1000).toISOString().replace(".000", "")) },
      ...this.series.map((one, at) => ({ title: one.label, right: true, cell: (row) => ((row[at + 1] ?? null) === null ? "-" : one.format(row[at + 1])) }))];
    show(this.body, table(this.title, columns, rows));
  }

  destroy() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.redraw);
    this.plot?.destroy();
  }
}
