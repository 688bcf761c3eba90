// Where ledger, books and processors differ, what is compared just now, and what was.
import { get } from "../api.js";
import { badge, empty, h, table } from "../dom.js";
import { count, moment, money } from "../format.js";
import { loaded } from "./loaded.js";

const AGAIN_MS = 2000; // a window is compared in a second or two

export function reconciliation({ main }) {
  const ask = () => Promise.all([get("/exceptions"), get("/reconciliations")]);
  return loaded(main, "Reconciliation", "Ledger, books and processors, held against each other by ./engine.sh reconcile.", ask, draw, AGAIN_MS).leave;
}

function draw([found, { now, items }]) {
  const open = found.items.filter((one) => one.isOpen).length;
  const tone = open ? "bad" : found.reconciledUntil ? "" : "warn";
  const text = open ? `${count(open)} exceptions are open` : found.reconciledUntil ? "All is equal" : "Nothing was compared yet";
  return [
    h("div", { class: `banner ${tone}` }, h("span", {}, text), h("span", {}, found.reconciledUntil ? `until ${moment(found.reconciledUntil)} UTC` : "ENGINE_RECONCILE_SECONDS does it again and again")),
    now && justNow(now),
    h("section", { class: "card" }, h("h2", {}, "Exceptions"), found.items.length ? exceptions(found.items) : empty("No exception was ever found.")),
    h("section", { class: "card" }, h("h2", {}, "Runs"), items.length ? runs(items) : empty("Nothing was compared yet.")),
  ];
}

function justNow(now) {
  const [from, to, at] = [now.runFrom, now.runTo, now.from].map((one) => Number(new Date(one)));
  return h("section", { class: "card" }, h("h2", {}, now.isHalf ? `Halved just now, at ${now.processor}` : `Compared just now, at ${now.processor}`),
    h("p", {}, `${moment(now.from)} to ${moment(now.to)} UTC`),
    h("progress", { max: Math.max(1, to - from), value: Math.max(0, at - from), "aria-label": `Of the run from ${moment(now.runFrom)} to ${moment(now.runTo)}` }));
}

const exceptions = (rows) => table("Exceptions, the newest first", [
  { title: "No.", right: true, cell: (row) => `${row.number}.${row.version}` },
  { title: "State", cell: (row) => badge(row.state, row.isOpen ? "bad" : "good") },
  { title: "Processor", cell: (row) => `${row.processor} (${row.against})` },
  { title: "Payments", right: true, cell: (row) => count(row.payments) },
  { title: "Amount", right: true, cell: (row) => money(row.amount) },
  { title: "From (UTC)", class: "nowrap", cell: (row) => moment(row.from) },
  { title: "To", class: "nowrap", cell: (row) => moment(row.to) },
  { title: "Payment", cell: (row) => row.id && h("a", { href: `#/payments/${row.id}`, class: "mono nowrap" }, row.id) },
  { title: "Evidence", class: "wide", cell: (row) => row.evidence + (row.decidedBy ? ` (${row.decidedBy})` : "") },
], rows);

// Nothing was settled for sure since the run before; what was open was asked for again.
const isNothing = (row) => row.to < row.from && !row.failure && !row.found;

const runs = (rows) => table("Runs, the newest first", [
  { title: "Ended (UTC)", class: "nowrap", cell: (row) => moment(row.endedAt) },
  { title: "Result", cell: (row) => (isNothing(row) ? badge("nothing new") : row.failure ? badge("not ended", "warn") : row.found ? badge(`${count(row.found)} found`, "bad") : badge("equal", "good")) },
  { title: "From (UTC)", class: "nowrap", cell: (row) => (isNothing(row) ? null : moment(row.from)) },
  { title: "To", class: "nowrap", cell: (row) => (isNothing(row) ? null : moment(row.to)) },
  { title: "Windows", right: true, cell: (row) => count(row.windows) },
  { title: "Sums asked", right: true, cell: (row) => count(row.summaries) },
  { title: "Lookups", right: true, cell: (row) => count(row.lookups) + (row.isDeep ? " (deep)" : "") },
  ...(rows.some((row) => row.failure) ? [{ title: "Why not ended", class: "wide", cell: (row) => row.failure }] : []),
], rows);
