// What a person must decide, the oldest first.
import { get } from "../api.js";
import { badge, empty, h, table } from "../dom.js";
import { age, count, money } from "../format.js";
import { loaded } from "./loaded.js";

export function deadLetters({ main }) {
  return loaded(main, "Dead letters", "Payments that were given up, or whose outcome nobody can tell. A person decides with ./engine.sh dead-letters.", () => get("/dead-letters"), draw).leave;
}

function draw(found) {
  const summary = h("p", { class: "note" }, `${count(found.count)} dead letters, ${money(found.amount)} in all` + (found.inLedgerOnly ? `; ${count(found.inLedgerOnly)} more failed ones are in the ledger only` : ""));
  if (!found.items.length) return h("div", { class: "card" }, empty("Nothing waits for a decision."));
  return [summary, h("div", { class: "card table" }, table("Dead letters, the oldest first", [
    { title: "Payment", cell: (row) => h("a", { href: `#/payments/${row.id}`, class: "mono nowrap" }, row.id) },
    { title: "Amount", right: true, cell: (row) => money(row.amount) },
    { title: "State", cell: (row) => badge(row.state, row.state === "unknown" ? "bad" : "warn") },
    { title: "Why", cell: (row) => row.why },
    { title: "Processor", cell: (row) => row.processor },
    { title: "Attempts", right: true, cell: (row) => count(row.attemptCount) },
    { title: "For", right: true, cell: (row) => age((Date.now() - new Date(row.since)) / 1000) },
  ], found.items))];
}
