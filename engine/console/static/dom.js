// Elements without HTML as text: what comes from outside can never become markup.

/** An element: h("p", {class: "x", onclick: f}, "text", another). Null children are left out. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

/** Replaces what is in an element. */
export function show(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((one) => one !== null && one !== undefined && one !== false));
}

/** A table with a caption for who cannot see it. columns: [{title, right, cell: row => node or text}]. */
export function table(caption, columns, rows) {
  const head = columns.map((column) => h("th", { scope: "col", class: column.right ? "right" : null }, column.title));
  const body = rows.map((row) =>
    h("tr", {}, columns.map((column) => h("td", { class: [column.right ? "right" : "", column.class ?? ""].join(" ").trim() || null }, column.cell(row) ?? "-")))
  );
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

/** A figure with its name: the first screen is made of these. */
export function tile(title, id) {
  const value = h("p", { class: "value", id }, "-");
  const note = h("p", { class: "note" }, "\u00a0");
  const element = h("div", { class: "card tile" }, h("h2", {}, title), value, note);
  return {
    element,
    set(text, more = "", tone = "") {
      value.textContent = text;
      note.textContent = more || "\u00a0";
      element.className = `card tile ${tone}`;
    },
  };
}

/** A button that asks load() for more, once: it is off until that is over. What had the focus has its successor then. */
export function more(text, load) {
  const button = h("button", { onclick: async () => {
    const place = button.closest("main");
    button.disabled = true;
    await load();
    button.disabled = false;
    if (!button.isConnected && document.activeElement === document.body) (place?.querySelector(".more button") ?? place)?.focus();
  } }, text);
  return h("div", { class: "more" }, button);
}

export const badge = (text, tone = "") => h("span", { class: `badge ${tone}` }, text);
export const empty = (text) => h("p", { class: "empty" }, text);
