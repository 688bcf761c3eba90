// The settings in force, those that differ from their defaults first.
import { get } from "../api.js";
import { badge, empty, h, show, table } from "../dom.js";
import { count } from "../format.js";
import { loaded } from "./loaded.js";

export function settings({ main }) {
  const find = h("input", { type: "search", "aria-label": "Find a setting", placeholder: "Find", autocomplete: "off", oninput: () => draw() });
  const results = h("div", { class: "card table" });
  let rows = [];

  function draw() {
    const word = find.value.trim().toLowerCase();
    const chosen = rows.filter((row) => `${row.name} ${row.effect} ${row.group}`.toLowerCase().includes(word));
    show(results, chosen.length ? list(chosen) : empty("No setting is like that."));
  }

  return loaded(main, "Settings", "As the console has them from its environment; tuning.md says more.", () => get("/settings"), ({ items }) => {
    rows = [...items].sort((a, b) => Number(b.isChanged) - Number(a.isChanged));
    draw();
    return [h("p", { class: "note" }, `${count(rows.filter((row) => row.isChanged).length)} of ${count(rows.length)} differ from their defaults`), results];
  }, 0, [find]).leave;
}

const list = (rows) => table("Settings", [
  { title: "Variable", cell: (row) => h("code", {}, row.name) },
  { title: "Value", cell: (row) => [row.value, " ", row.isChanged && badge("changed")] },
  { title: "Default", cell: (row) => row.default },
  { title: "May be", cell: (row) => row.bounds },
  { title: "What it does", class: "wide", cell: (row) => row.effect },
], rows);
