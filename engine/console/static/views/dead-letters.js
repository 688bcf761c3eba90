// What a person must decide: choose by kind, see what an act would come to, do it.
import { askFor, progress, titleOf } from "../acting.js";
import { get, post } from "../api.js";
import { badge, empty, h, show, table } from "../dom.js";
import { age, count, money } from "../format.js";

const ACTS = ["ask", "retry", "charged", "cancel"];
const AGAIN_MS = 5000;

export function deadLetters({ main, who }) {
  const state = h("select", { name: "state", onchange: filter }, ["", "unknown", "failed"].map((one) => h("option", { value: one }, one || "any")));
  const why = h("select", { name: "why", onchange: filter }, h("option", { value: "" }, "any"));
  const processor = h("select", { name: "processor", onchange: filter }, h("option", { value: "" }, "any"));
  const buttons = who.role === "viewer" ? [] : (who.role === "operator" ? ["ask"] : ACTS).map((act) => h("button", { onclick: () => onAll(act) }, `${titleOf(act)} ...`));
  const about = h("p", { class: "note", role: "status" });
  const waiting = h("div", { class: "view" });
  const body = h("div", { class: "view" });
  const chosen = new Set();
  let found = null;
  let confirmable = null;
  let timer = null;
  let isOver = false;
  show(main, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Dead letters"), h("p", {}, "Payments that were given up, or whose outcome nobody can tell. A person decides."))),
    waiting,
    h("div", { class: "card filters" }, h("label", {}, "State", state), h("label", {}, "Why", why), h("label", {}, "Processor", processor), buttons, buttons.length > 0 && about),
    body);

  function filters() {
    const all = { state: state.value, why: why.value.replaceAll(" ", "-"), processor: processor.value };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value));
  }

  function onAll(act) {
    const asked = chosen.size ? { act, ids: [...chosen] } : { act, ...filters() };
    askFor(asked, whatIsMeant(), () => { chosen.clear(); load(); });
  }

  const whatIsMeant = () => (chosen.size ? `${count(chosen.size)} chosen` : "all that match");

  function choose(id, isChosen) {
    if (isChosen) chosen.add(id);
    else chosen.delete(id);
    about.textContent = whatIsMeant();
  }

  // Nothing stays chosen that is not seen any more.
  function filter() {
    chosen.clear();
    draw();
  }

  const matches = (one) => (!state.value || one.state === state.value) && (!why.value || one.why === why.value) && (!processor.value || one.processor === processor.value);

  function options(select, values) {
    for (const value of [...new Set(values)].filter(Boolean))
      if (![...select.options].some((one) => one.value === value)) select.append(h("option", { value }, value));
  }

  function draw() {
    if (!found) return;
    about.textContent = whatIsMeant();
    const rows = found.items.filter(matches);
    const summary = `${count(found.count)} dead letters, ${money(found.amount)} in all` + (found.inLedgerOnly ? `; ${count(found.inLedgerOnly)} more failed ones are in the ledger only` : "");
    show(body, h("p", { class: "note" }, summary), h("div", { class: "card table" }, rows.length ? list(rows) : empty("Nothing waits for a decision.")));
  }

  const list = (rows) => table("Dead letters, the oldest first", [
    { title: "Choose", cell: (row) => h("input", { type: "checkbox", "aria-label": `Choose ${row.id}`, checked: chosen.has(row.id), onchange: (event) => choose(row.id, event.target.checked) }) },
    { title: "Payment", cell: (row) => h("a", { href: `#/payments/${row.id}`, class: "mono nowrap" }, row.id) },
    { title: "Amount", right: true, cell: (row) => money(row.amount) },
    { title: "State", cell: (row) => badge(row.state, row.state === "unknown" ? "bad" : "warn") },
    { title: "Why", cell: (row) => row.why },
    { title: "Processor", cell: (row) => row.processor },
    { title: "Attempts", right: true, cell: (row) => count(row.attemptCount) },
    { title: "For", right: true, cell: (row) => age((Date.now() - new Date(row.since)) / 1000) },
  ], rows);

  async function load() {
    if (isOver) return;
    clearTimeout(timer);
    try {
      const [letters, asked] = await Promise.all([get("/dead-letters"), get("/actions/waiting")]);
      const isSame = found === letters;
      found = letters;
      const ids = new Set(found.items.map((one) => one.id));
      for (const id of chosen) if (!ids.has(id)) chosen.delete(id);
      options(why, found.items.map((one) => one.why));
      options(processor, found.items.map((one) => one.processor));
      if (confirmable !== asked) show(waiting, asked.items.map(second));
      confirmable = asked;
      if (!isSame || !body.contains(document.activeElement)) draw(); // what is drawn anew loses the focus
    } catch (error) {
      if (!isOver) show(body, h("div", { class: "card", role: "alert" }, empty(error.message)));
    }
    clearTimeout(timer); // of a load that was begun meanwhile
    if (!isOver) timer = setTimeout(load, AGAIN_MS);
  }

  function second(one) {
    const said = h("div", { role: "status" });
    const confirm = async () => {
      try {
        show(said, progress(await post(`/actions/${one.id}/confirm`, {})));
        setTimeout(load, 1500);
      } catch (error) {
        show(said, h("p", { class: "error" }, error.message));
      }
    };
    return h("section", { class: "card" }, h("h2", {}, `${one.who} asks: ${titleOf(one.act)} for ${count(one.payments)} payments, ${money(one.amount)}`),
      h("p", { class: "note" }, `${one.reason}${one.evidence ? `; evidence: ${one.evidence}` : ""}`), said,
      who.role === "treasurer" && one.who !== who.name && h("button", { class: "primary", onclick: confirm }, "Confirm"));
  }

  load();
  return () => { isOver = true; clearTimeout(timer); };
}
