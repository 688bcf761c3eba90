// The settings in force, those that differ from their defaults first.
import { get } from "../api.js";
import { badge, h, table } from "../dom.js";
import { count } from "../format.js";
import { loaded } from "./loaded.js";

export function settings({ main }) {
  return loaded(main, "Settings", "As the console has them from its environment; tuning.md says more.", () => get("/settings"), ({ items }) => {
    const rows = [...items].sort((a, b) => Number(b.isChanged) - Number(a.isChanged));
    return [h("p", { class: "note" }, `${count(rows.filter((row) => row.isChanged).length)} of ${count(rows.length)} differ from their defaults`),
      h("div", { class: "card table" }, table("Settings", [
        { title: "Variable", cell: (row) => h("code", {}, row.name) },
        { title: "Value", cell: (row) => [row.value, " ", row.isChanged && badge("changed")] },
        { title: "Default", cell: (row) => row.default },
        { title: "Effect", class: "wide", cell: (row) => row.effect },
      ], rows))];
  }, 0).leave;
}
