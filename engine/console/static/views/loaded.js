// A page that is asked for, and asked for again every few seconds.
import { empty, h, show } from "../dom.js";

/** Shows title and text, and below what draw makes of what ask finds. */
export function loaded(main, title, text, ask, draw, everyMs = 5000, tools = []) {
  const body = h("div", { class: "view" });
  show(main, h("div", { class: "head" }, h("div", {}, h("h1", {}, title), h("p", {}, text)), ...tools), body);
  let timer = null;
  let isOver = false;
  let last = null;
  async function load() {
    clearTimeout(timer);
    try {
      const found = await ask();
      const isSame = last !== null && [found].flat().every((one, at) => one === [last].flat()[at]);
      last = found;
      if (!isOver && !isSame) show(body, draw(found)); // what is drawn anew loses the focus
    } catch (error) {
      last = null;
      if (!isOver) show(body, h("div", { class: "card", role: "alert" }, empty(error.message)));
    }
    if (!isOver && everyMs) timer = setTimeout(load, everyMs);
  }
  load();
  return { load, leave: () => { isOver = true; clearTimeout(timer); } };
}
