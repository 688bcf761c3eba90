// Who did what, when and why.
import { get } from "../api.js";
import { badge, empty, h, more, show, table } from "../dom.js";
import { count, moment, money } from "../format.js";

export function audit({ main }) {
  const body = h("div");
  show(main, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Audit trail"), h("p", {}, "Every act of a person, with name and reason, recorded before it was done."))), body);
  let rows = [];
  async function load(cursor = "") {
    try {
      const page = await get("/actions", { cursor });
      rows = [...rows, ...page.items];
      show(body, h("div", { class: "card table" }, rows.length ? list(rows) : empty("Nobody has acted yet."),
        page.next && more(`More (${count(rows.length)} shown)`, () => load(page.next))));
    } catch (error) {
      show(body, h("div", { class: "card", role: "alert" }, empty(error.message)));
    }
  }
  load();
}

function list(rows) {
  return table("Acts, the newest first", [
    { title: "When (UTC)", class: "nowrap", cell: (row) => moment(row.at) },
    { title: "Who", cell: (row) => row.who },
    { title: "Act", cell: (row) => badge(row.processor ? `${row.act} ${row.processor}` : row.act) },
    { title: "Payments", right: true, cell: (row) => count(row.payments) },
    { title: "Amount", right: true, cell: (row) => money(row.amount) },
    { title: "Why", class: "wide", cell: (row) => row.why },
    { title: "Evidence", cell: (row) => row.evidence },
  ], rows);
}
