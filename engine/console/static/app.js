// The frame: who is signed in, where one is, and the live figures that every page may use.
import { get, onSignedOut, signIn, signOut } from "./api.js";
import { h, show } from "./dom.js";
import { count } from "./format.js";
import { Live } from "./live.js";
import { overview } from "./views/overview.js";
import { payments } from "./views/payments.js";
import { processors } from "./views/processors.js";
import { payment } from "./views/payment.js";
import { deadLetters } from "./views/dead-letters.js";
import { reconciliation } from "./views/reconciliation.js";
import { money } from "./views/money.js";
import { settings } from "./views/settings.js";
import { audit } from "./views/audit.js";

const VIEWS = [
  ["", "Overview", overview],
  ["payments", "Payments", payments],
  ["processors", "Processors", processors],
  ["dead-letters", "Dead letters", deadLetters],
  ["reconciliation", "Reconciliation", reconciliation],
  ["money", "Money", money],
  ["audit", "Audit trail", audit],
  ["settings", "Settings", settings],
];
const root = document.getElementById("app");
const live = new Live(sessionIsOver);
let leave = () => {};
let isAtDoor = false; // until the page is loaded again, which signing in does

function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/"), query: new URLSearchParams(query) };
}

function door(problem = "") {
  isAtDoor = true;
  leave();
  leave = () => {};
  live.stop();
  document.title = "Sign in - Payment engine";
  const error = h("p", { class: "error", role: "alert" }, problem);
  const input = h("input", { type: "password", name: "key", autocomplete: "current-password", required: true });
  const button = h("button", { class: "primary" }, "Sign in");
  const form = h("form", {
    class: "card",
    onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        await signIn(input.value.trim());
        location.reload();
      } catch (found) {
        error.textContent = found.message;
        button.disabled = false;
        input.focus();
      }
    },
  },
  h("div", { class: "brand" }, h("img", { src: "/static/icon.svg", alt: "" }), "Payment engine"),
  h("h1", {}, "Sign in"),
  h("label", {}, "Your key", input),
  error, button,
  h("p", { class: "note" }, "A key is made with ", h("code", {}, "./engine.sh console key add NAME --role viewer"), "."));
  show(root, h("main", { class: "door", id: "main" }, form));
  input.focus();
}

// Answers to what was asked before come late: the form must not be made anew while somebody types.
function sessionIsOver() {
  if (!isAtDoor) door("Your session is over. Sign in again.");
}

function frame(who) {
  const links = VIEWS.map(([path, title]) => h("a", { href: `#/${path}` }, h("span", {}, title)));
  const main = h("main", { id: "main", tabindex: "-1" });
  show(root, h("div", { class: "frame" },
    h("header", { class: "side" },
      h("div", { class: "brand" }, h("img", { src: "/static/icon.svg", alt: "" }), "Payment engine"),
      h("nav", { "aria-label": "Pages" }, h("ul", {}, links.map((link) => h("li", {}, link)))),
      h("div", { class: "who" }, h("span", {}, h("strong", {}, who.name), ` (${who.role})`),
        h("button", { onclick: async () => { await signOut(); door(); } }, "Sign out"))),
    main));
  live.listeners.add(({ last }) => {
    const numbers = { "dead-letters": last?.unknown.deadLetters, reconciliation: last?.ledger.exceptions };
    VIEWS.forEach(([path], at) => {
      const number = numbers[path];
      links[at].querySelector(".count")?.remove();
      if (number) links[at].append(h("span", { class: "count" }, count(number)));
    });
  });
  const go = () => {
    if (isAtDoor) return;
    const { parts, query } = where();
    leave();
    const [path, title, view] = VIEWS.find(([name]) => name === parts[0]) ?? VIEWS[0];
    links.forEach((link, at) => (VIEWS[at][0] === path ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current")));
    document.title = `${title} - Payment engine`;
    const detail = path === "payments" && parts[1];
    leave = (detail ? payment : view)({ main, live, query, who, id: detail }) ?? (() => {});
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  };
  addEventListener("hashchange", go);
  live.start();
  go();
}

onSignedOut(sessionIsOver);
const who = await get("/session").catch(() => ({ name: null }));
if (who.name) frame(who);
else door();
