// Where ledger, books and processors differ.
import { get } from "../api.js";
import { badge, empty, h, table } from "../dom.js";
import { count, moment, money } from "../format.js";
import { loaded } from "./loaded.js";

export function reconciliation({ main }) {
  return loaded(main, "Reconciliation", "Ledger, books and processors, held against each other by ./engine.sh reconcile.", () => get("/exceptions"), draw).leave;
}

function draw(found) {
  const open = found.items.filter((one) => one.isOpen).length;
  const tone = open ? "bad" : found.reconciledUntil ? "" : "warn";
  const text = open ? `${count(open)} exceptions are open` : found.reconciledUntil ? "All is equal" : "Nothing was compared yet";
  const banner = h("div", { class: `banner ${tone}` }, h("span", {}, text), h("span", {}, found.reconciledUntil ? `until ${moment(found.reconciledUntil)} UTC` : "ENGINE_RECONCILE_SECONDS does it again and again"));
  if (!found.items.length) return [banner, h("div", { class: "card" }, empty("No exception was ever found."))];
  return [banner, h("div", { class: "card table" }, table("Exceptions, the newest first", [
    { title: "No.", right: true, cell: (row) => `${row.number}.${row.version}` },
    { title: "State", cell: (row) => badge(row.state, row.isOpen ? "bad" : "good") },
    { title: "Processor", cell: (row) => `${row.processor} (${row.against})` },
    { title: "Payments", right: true, cell: (row) => count(row.payments) },
    { title: "Amount", right: true, cell: (row) => money(row.amount) },
    { title: "From (UTC)", class: "nowrap", cell: (row) => moment(row.from) },
    { title: "To", class: "nowrap", cell: (row) => moment(row.to) },
    { title: "Payment", cell: (row) => row.id && h("a", { href: `#/payments/${row.id}`, class: "mono nowrap" }, row.id) },
    { title: "Evidence", class: "wide", cell: (row) => row.evidence + (row.decidedBy ? ` (${row.decidedBy})` : "") },
  ], found.items))];
}
