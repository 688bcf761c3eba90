// uPlot with the page's colours, and the same figures as a table for who cannot see it.
import uPlot from "./vendor/uPlot.esm.js";
import { h, show, table } from "./dom.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const MINUTES = [60, 300, 900, 3600, 10800, 21600, 86400, 604800];
const SECONDS = [1, 5, 15, 30, ...MINUTES];
const NAMES = ["one", "two", "three"];

/** A chart over time. series: [{label, format}]; update([times in s], [values], ...). */
export class Chart {
  constructor(title, series, { height = 210, seconds = true } = {}) {
    this.clock = seconds ? 19 : 16;
    this.title = title;
    this.series = series;
    this.height = height;
    this.plot = null;
    this.data = [[], ...series.map(() => [])];
    this.area = h("div", { class: "chart", "aria-hidden": "true" });
    this.body = h("div");
    this.details = h("details", { ontoggle: () => this.fill() }, h("summary", {}, "Show as a table"), this.body);
    const legend = h("div", { class: "legend", "aria-hidden": "true" }, series.map((one, at) => h("span", {}, h("i", { class: NAMES[at] }), one.label)));
    this.element = h("section", { class: "card", "aria-label": title }, h("h2", {}, title), legend, this.area, this.details);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.area);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => { this.plot?.destroy(); this.plot = null; this.draw(); };
    this.scheme.addEventListener("change", this.redraw);
  }

  update(times, ...values) {
    this.data = [times, ...values];
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
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      axes: [{ ...axis, incrs: this.clock === 16 ? MINUTES : SECONDS, space: 80, values: (_, times) => times.map((at) => new Date(at * 1000).toISOString().slice(11, this.clock)) }, { ...axis, size: 66, values: (_, values) => values.map((value) => this.series[0].format(value)) }],
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
    const columns = [{ title: "Time (UTC)", cell: (row) => new Date(row[0] * 1000).toISOString().slice(11, 19) },
      ...this.series.map((one, at) => ({ title: one.label, right: true, cell: (row) => (row[at + 1] === null ? "-" : one.format(row[at + 1])) }))];
    show(this.body, table(this.title, columns, rows));
  }

  destroy() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.redraw);
    this.plot?.destroy();
  }
}
