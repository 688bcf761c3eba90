// Search: by id, state, processor, time and amount; a page at a time.
import { get } from "../api.js";
import { badge, empty, h, more, show, table } from "../dom.js";
import { between, count, duration, moment, money } from "../format.js";

export const TONES = { completed: "good", failed: "bad", processing: "warn", queued: "", unknown: "bad" };
const STATES = ["", "open", "completed", "failed", "charged-before"];

export function payments({ main, live, query }) {
  const field = (label, input) => h("label", {}, label, input);
  const id = h("input", { name: "id", placeholder: "correlationId", autocomplete: "off", spellcheck: "false" });
  const state = h("select", { name: "state" }, STATES.map((one) => h("option", { value: one, selected: query.get("state") === one }, one || "any")));
  const processor = h("select", { name: "processor" }, h("option", { value: "" }, "any"));
  const from = h("input", { name: "from", placeholder: "2h, or 2026-11-27T14:30Z", value: query.get("from") ?? "" });
  const to = h("input", { name: "to", placeholder: "now", value: query.get("to") ?? "" });
  const least = h("input", { name: "amountFrom", placeholder: "19.90", inputmode: "decimal", autocomplete: "off" });
  const most = h("input", { name: "amountTo", placeholder: "any", inputmode: "decimal", autocomplete: "off" });
  const results = h("div", { class: "card table" });
  const error = h("p", { class: "error", role: "alert" });
  const form = h("form", {
    class: "card filters", role: "search",
    onsubmit: (event) => {
      event.preventDefault();
      if (id.value.trim()) location.hash = `#/payments/${encodeURIComponent(id.value.trim())}`;
      else load();
    },
  }, field("Payment", id), field("State", state), field("Processor", processor), field("Accepted from (UTC)", from), field("To", to), field("Amount from", least), field("Amount to", most), h("button", { class: "primary" }, "Search"));
  show(main, h("div", { class: "head" }, h("h1", {}, "Payments")), form, error, results);
  let rows = [];
  let asked = {}; // what was searched: "More" goes on with it, whatever the form says by then

  function fillProcessors() {
    if (!live.last || processor.options.length > 1) return;
    processor.append(...live.last.processors.map((one) => h("option", { value: one.name, selected: query.get("processor") === one.name }, one.name)));
  }

  async function load(cursor = "") {
    error.textContent = "";
    const isByAmount = least.value.trim() || most.value.trim();
    if (!cursor && isByAmount && !from.value.trim()) from.value = "1d"; // no index has amounts
    if (!cursor) asked = { state: state.value, processor: processor.value, from: from.value.trim(), to: to.value.trim(), amountFrom: least.value.trim(), amountTo: most.value.trim() };
    const mine = asked;
    try {
      const page = await get("/payments", { ...mine, cursor });
      if (mine !== asked) return; // something else was searched meanwhile
      rows = cursor ? [...rows, ...page.items] : page.items;
      show(results, rows.length ? list(rows) : empty("No payment is like that."),
        page.next && more(`More (${count(rows.length)} shown)`, () => load(page.next)));
    } catch (found) {
      if (mine === asked) error.textContent = found.message;
    }
  }

  live.listeners.add(fillProcessors);
  fillProcessors();
  load();
  return () => live.listeners.delete(fillProcessors);
}

function list(rows) {
  return table("Payments, the newest first", [
    { title: "Payment", cell: (row) => h("a", { href: `#/payments/${row.id}`, class: "mono nowrap" }, row.id) },
    { title: "Amount", right: true, cell: (row) => money(row.amount) },
    { title: "State", cell: (row) => badge(row.state, TONES[row.state] ?? "") },
    { title: "Processor", cell: (row) => row.processor },
    { title: "Attempts", right: true, cell: (row) => count(row.attemptCount) },
    { title: "Accepted (UTC)", class: "nowrap", cell: (row) => moment(row.acceptedAt) },
    { title: "Settled after", right: true, cell: (row) => duration(between(row.acceptedAt, row.settledAt)) },
  ], rows);
}
