// Fees, net and what the same payments would have cost at the least fee, over time; and advice, with what it would earn.
import { get } from "../api.js";
import { Chart } from "../charts.js";
import { empty, h, table } from "../dom.js";
import { count, moment, money as amount } from "../format.js";
import { loaded } from "./loaded.js";

const ALL = "(all)";
const ADVICE_MAX = 10;

export function money({ main }) {
  const by = h("select", { "aria-label": "By" }, ["minute", "hour", "day"].map((one) => h("option", { value: one }, one)));
  let chart = null;
  const page = loaded(main, "Money", "What was charged by requestedAt, with the fee that was valid then.", () => Promise.all([get("/reports/money", { by: by.value }), get("/reports/advice", { by: "day" })]), ([report, advised]) => {
    chart?.destroy();
    chart = null;
    if (!report.rows.length) return [h("div", { class: "card" }, empty("Nothing was charged in this time.")), advice(advised)];
    const at = Object.fromEntries(report.columns.map((column, place) => [column.name, place]));
    const all = report.rows.filter((row) => row[at.processor] === ALL);
    chart = new Chart("Net and fees", [{ label: "net", format: (value) => amount(value.toFixed(2)) }, { label: "fees", format: (value) => amount(value.toFixed(2)) }], { seconds: false });
    // For drawing only: the table has the exact text.
    const drawn = (name) => all.map((row) => (row[at[name]] === null ? null : Number(row[at[name]])));
    requestAnimationFrame(() => chart?.update(all.map((row) => new Date(row[at.time]) / 1000), drawn("net_cents"), drawn("fee_cents")));
    const cell = (name) => (row) => amount(row[at[name]]);
    return [chart.element, h("div", { class: "card table" }, table("Money", [
      { title: "From (UTC)", class: "nowrap", cell: (row) => moment(row[at.time]) },
      { title: "Processor", cell: (row) => row[at.processor] },
      { title: "Payments", right: true, cell: (row) => count(row[at.payments]) },
      { title: "Gross", right: true, cell: cell("gross_cents") },
      { title: "Fees", right: true, cell: cell("fee_cents") },
      { title: "Net", right: true, cell: cell("net_cents") },
      { title: "Net so far", right: true, cell: cell("net_so_far_cents") },
      { title: "Least fee", right: true, cell: cell("cheapest_fee_cents") },
    ], [...report.rows].reverse())), advice(advised)];
  }, 10000, [by]);
  by.addEventListener("change", page.load);
  return () => { page.leave(); chart?.destroy(); };
}

/** What a replay of the ledger has advised in the last month: a setting, and what it would have earned. */
function advice({ columns, rows }) {
  const named = rows.map((cells) => Object.fromEntries(columns.map((column, at) => [column.name, cells[at]])));
  const newest = named.reverse().slice(0, ADVICE_MAX);
  return h("section", { class: "card" }, h("h2", {}, "Advice"), newest.length ? table("Advice of the last 30 days, the newest first", [
    { title: "About (UTC)", class: "nowrap", cell: (row) => `${moment(row.time)} to ${moment(row.until)}` },
    { title: "Advice", class: "wide", cell: (row) => (row.variable ? h("code", {}, `${row.variable}=${row.value_advised}`) : row.verdict) },
    { title: "Instead of", right: true, cell: (row) => (row.variable ? String(row.value_now) : null) },
    { title: "Gain", right: true, cell: (row) => amount(row.gain_cents) },
    { title: "Model error", right: true, cell: (row) => amount(row.error_cents) },
    { title: "Earned", right: true, cell: (row) => amount(row.was_earned_cents) },
    { title: "With the advice", right: true, cell: (row) => amount(row.advised_earned_cents) },
    { title: "At best", right: true, cell: (row) => amount(row.oracle_earned_cents) },
  ], newest) : empty("Nothing was replayed. ./engine.sh replay --from-ledger FROM TO says which setting would have earned more."));
}
