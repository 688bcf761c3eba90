// Asking for an act: what it would come to first, then reason and evidence, then how far it is.
import { Problem, get, post } from "./api.js";
import { h, show } from "./dom.js";
import { count, money } from "./format.js";

const TITLES = { ask: "Ask again", retry: "Send again", charged: "Declare charged", cancel: "Declare not charged", pause: "Pause", resume: "Resume" };
const NEED_EVIDENCE = new Set(["charged", "cancel"]);
const AGAIN_MS = 500;
export const titleOf = (act) => TITLES[act] ?? act;

/** Opens a dialog for an act: asked = {act, ids, state, why, processor}. after() is called when it is over. */
export async function askFor(asked, about, after = () => {}) {
  const reason = h("input", { name: "reason", required: true, maxlength: "2000", autocomplete: "off" });
  const evidence = h("input", { name: "evidence", maxlength: "2000", autocomplete: "off", required: NEED_EVIDENCE.has(asked.act) });
  const said = h("div", { role: "status", class: "said" }, "...");
  const go = h("button", { class: "primary", disabled: true }, titleOf(asked.act));
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const form = h("form", { method: "dialog", onsubmit: begin },
    h("h2", {}, `${titleOf(asked.act)}: ${about}`), said,
    h("label", {}, "Reason (it is kept)", reason),
    NEED_EVIDENCE.has(asked.act) && h("label", {}, "Evidence: what proves it? (it is kept)", evidence),
    h("div", { class: "buttons" }, close, go));
  const dialog = h("dialog", { "aria-label": titleOf(asked.act), onclose: () => { dialog.remove(); after(); } }, form);
  document.body.append(dialog);
  dialog.showModal();
  try {
    const dry = await post("/actions", { ...asked, isDryRun: true });
    const isOnProcessor = Boolean(asked.processor) && ["pause", "resume"].includes(asked.act);
    show(said, isOnProcessor ? h("p", {}, asked.act === "pause" ? "It gets no new payments. What is in flight is finished." : "It gets payments again.") : [
      h("p", {}, h("strong", {}, `${count(dry.payments)} payments, ${money(dry.amount)}`)),
      dry.refused.length > 0 && h("ul", { class: "reasons" }, dry.refused.map((one) => h("li", {}, `not for ${count(one.payments)}: ${one.why}`))),
      dry.isCut && h("p", {}, "There are more. These are the oldest."),
      dry.needsSecond && h("p", {}, "A second treasurer must confirm it.")]);
    go.disabled = !isOnProcessor && !dry.payments;
  } catch (error) {
    show(said, h("p", { class: "error" }, error.message));
  }
  reason.focus();

  async function begin(event) {
    event.preventDefault();
    go.disabled = true;
    try {
      const body = { ...asked, reason: reason.value.trim() };
      if (evidence.value.trim()) body.evidence = evidence.value.trim();
      await follow(await post("/actions", body));
    } catch (error) {
      show(said, h("p", { class: "error" }, error instanceof Problem ? error.message : String(error)));
      go.disabled = false;
    }
  }

  async function follow(action) {
    close.textContent = "Close";
    go.remove();
    for (;;) {
      show(said, progress(action));
      if (action.state !== "under way" || !dialog.isConnected) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      action = await get(`/actions/${action.id}`);
    }
  }
}

export function progress(action) {
  const bar = h("progress", { max: Math.max(1, action.payments), value: action.done, "aria-label": "Payments with a result" });
  return [h("p", {}, h("strong", {}, action.trouble ?? action.state), action.payments ? ` ${count(action.done)} of ${count(action.payments)}` : ""),
    action.payments > 1 && bar,
    action.results.length > 0 && h("ul", { class: "reasons" }, action.results.map((one) => h("li", {}, `${count(one.payments)}: ${one.result}`)))];
}
