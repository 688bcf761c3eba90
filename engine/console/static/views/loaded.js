// A page that is asked for, and asked for again every few seconds.
import { empty, h, show } from "../dom.js";

/** Shows title and text, and below what draw makes of what ask finds. */
export function loaded(main, title, text, ask, draw, everyMs = 5000, tools = []) {
  const body = h("div", { class: "view" });
  show(main, h("div", { class: "head" }, h("div", {}, h("h1", {}, title), h("p", {}, text)), ...tools), body);
  let timer = null;
  let isOver = false;
  async function load() {
    clearTimeout(timer);
    try {
      const found = await ask();
      if (!isOver) show(body, draw(found));
    } catch (error) {
      if (!isOver) show(body, h("div", { class: "card", role: "alert" }, empty(error.message)));
    }
    if (!isOver && everyMs) timer = setTimeout(load, everyMs);
  }
  load();
  return { load, leave: () => { isOver = true; clearTimeout(timer); } };
}
