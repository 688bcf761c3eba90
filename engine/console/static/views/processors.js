// Each processor now and over time: latency, failures, what was believed of it, what it said, and its fee.
import { get } from "../api.js";
import { Chart } from "../charts.js";
import { badge, empty, h, show, table } from "../dom.js";
import { count, duration, moment } from "../format.js";
import { ProcessorCards, TONES } from "./processor-cards.js";

const BACK = { "15m": "a quarter of an hour", "1h": "an hour", "6h": "six hours" };
const STEP_S = 60;
const AGAIN_MS = 30000;
const SHARE = 20; // it is asked again after so many times what the answer took, so that a long ledger is left in peace

export function processors({ main, live, who }) {
  const back = h("select", { "aria-label": "How far back", onchange: () => drawn && load() }, Object.entries(BACK).map(([value, text]) => h("option", { value }, text)));
  const cards = new ProcessorCards(who);
  const charts = h("div", { class: "pair loose" });
  const history = h("div", { class: "view history" });
  let drawn = null; // the charts, when the names are known
  let timer = null;
  let isOver = false;
  let shown = null;
  show(main,
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Processors"), h("p", {}, "How they are now, and how they were.")), back),
    cards.element, charts, history);

  function update() {
    if (!live.last) return;
    cards.update(live.last.processors);
    if (!drawn) {
      drawn = chartsOf(live.last.processors.map((one) => one.name));
      drawn.failures.element.classList.add("whole");
      show(charts, Object.values(drawn).map((one) => one.element));
      load();
    }
    const seconds = live.history.map((one) => one.at / 1000);
    drawn.now.update(seconds, ...live.last.processors.map((_, at) => live.history.map((one) => one.processors[at]?.answers.p99Ms ?? null)));
  }

  async function load() {
    clearTimeout(timer);
    const begun = performance.now();
    const asked = { from: back.value };
    try {
      const [latency, attempts, past] = await Promise.all([get("/reports/latency", asked), get("/reports/attempts", asked), get("/processors/history", asked)]);
      if (isOver || asked.from !== back.value) return;
      const names = live.last.processors.map((one) => one.name);
      drawn.latency.update(...overTime(latency, names, (row) => row.p99_us / 1000));
      drawn.failures.update(...overTime(attempts, names, (row) => row.not_charged + row.unknown));
      if (past !== shown) show(history, tables(past));
      shown = past;
    } catch (error) {
      shown = null;
      if (!isOver) show(history, h("div", { class: "card", role: "alert" }, empty(error.message)));
    }
    clearTimeout(timer); // of a load that was begun meanwhile
    if (!isOver) timer = setTimeout(load, Math.max(AGAIN_MS, SHARE * (performance.now() - begun)));
  }

  live.listeners.add(update);
  update();
  return () => {
    isOver = true;
    clearTimeout(timer);
    live.listeners.delete(update);
    for (const one of Object.values(drawn ?? {})) one.destroy();
  };
}

function chartsOf(names) {
  const series = (format) => names.map((label) => ({ label, format }));
  return {
    now: new Chart("Answers just now (p99 of 10 s)", series(duration), { log: true }),
    latency: new Chart("Answers over time (p99 by the minute)", series(duration), { seconds: false, log: true }),
    failures: new Chart("Failed and unknown attempts, by the minute", series(count), { seconds: false }),
  };
}

/** The rows of a report as times in seconds and a list of values for each name; null where there was nothing. */
function overTime({ columns, rows }, names, value) {
  const found = new Map(names.map((name) => [name, new Map()]));
  for (const cells of rows) {
    const row = Object.fromEntries(columns.map((column, at) => [column.name, cells[at]]));
    found.get(row.processor)?.set(new Date(row.time) / 1000, value(row));
  }
  const seen = [...found.values()].flatMap((one) => [...one.keys()]);
  if (!seen.length) return [[], ...names.map(() => [])];
  const first = seen.reduce((a, b) => Math.min(a, b));
  const last = seen.reduce((a, b) => Math.max(a, b));
  const times = Array.from({ length: (last - first) / STEP_S + 1 }, (_, at) => first + at * STEP_S);
  return [times, ...names.map((name) => times.map((at) => found.get(name).get(at) ?? null))];
}

function tables({ states, health, fees }) {
  return [
    h("section", { class: "card" }, h("h2", {}, "What was believed of them"), states.length ? table("Changes of states, the newest first", [
      { title: "Since (UTC)", class: "nowrap", cell: (row) => moment(row.at) },
      { title: "Processor", cell: (row) => row.processor },
      { title: "State", cell: (row) => badge(row.state === "open" ? "breaker open" : row.state, TONES[row.state]) },
      { title: "Fails by chance", right: true, cell: (row) => (row.failingPercent === null ? "-" : `${row.failingPercent.toFixed(1)} %`) },
    ], states) : empty("No state has changed in this time.")),
    h("section", { class: "card" }, h("h2", {}, "What they said of their health"), health.length ? table("Answers about health, the newest first, equal ones as one", [
      { title: "From (UTC)", class: "nowrap", cell: (row) => moment(row.from) },
      { title: "To", class: "nowrap", cell: (row) => moment(row.to) },
      { title: "Processor", cell: (row) => row.processor },
      { title: "It said", cell: (row) => (row.isFailing === null ? badge("nothing that can be read", "warn") : row.isFailing ? badge("failing", "bad") : badge("well", "good")) },
      { title: "Least time", right: true, cell: (row) => (row.minResponseMs ? duration(row.minResponseMs) : row.minResponseMs === null ? null : "0 ms") },
      { title: "HTTP", right: true, cell: (row) => row.status },
      { title: "Answers", right: true, cell: (row) => count(row.answers) },
    ], health) : empty("Nobody was asked in this time.")),
    h("section", { class: "card" }, h("h2", {}, "Fees"), fees.length ? table("Fees, the newest first", [
      { title: "Since (UTC)", class: "nowrap", cell: (row) => moment(row.validFrom) },
      { title: "Processor", cell: (row) => row.processor },
      { title: "Fee", right: true, cell: (row) => `${row.percent} %` },
    ], fees) : empty("No fee is known.")),
  ];
}
