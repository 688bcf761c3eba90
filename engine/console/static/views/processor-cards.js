// A card for each processor: how it is now, and pause and resume.
import { askFor } from "../acting.js";
import { badge, h, show } from "../dom.js";
import { age, count, duration, money, rate } from "../format.js";

export const TONES = { healthy: "good", slow: "warn", suspect: "warn", open: "bad", unknown: "" };

export class ProcessorCards {
  constructor(who) {
    this.mayAct = who.role !== "viewer";
    this.cards = new Map();
    this.element = h("div", { class: "pair" });
  }

  /** Shows the processors of an overview. */
  update(processors) {
    for (const one of processors) {
      if (!this.cards.has(one.name)) {
        this.cards.set(one.name, card(one.name, this.mayAct));
        this.element.append(this.cards.get(one.name).element);
      }
      this.cards.get(one.name).set(one);
    }
  }
}

function card(name, mayAct) {
  const state = h("span");
  const bar = h("i");
  const used = h("p", { class: "note" });
  const facts = h("dl", { class: "facts" });
  const act = h("button", { onclick: () => askFor({ act: isPaused ? "resume" : "pause", processor: name }, name) }, "Pause ...");
  let isPaused = false;
  const element = h("article", { class: "card processor" }, h("header", {}, h("h2", {}, name), state), h("div", {}, used, h("div", { class: "meter", "aria-hidden": "true" }, bar)), facts, mayAct && h("div", {}, act));
  return {
    element,
    set(one) {
      isPaused = one.isPaused;
      act.textContent = isPaused ? "Resume ..." : "Pause ...";
      show(state, isPaused && badge("paused", "warn"), " ", badge(one.isFailing ? `${one.state}, says it fails` : one.state, one.isFailing ? "bad" : TONES[one.state] ?? ""));
      used.textContent = `${count(one.inFlight)} of ${count(one.capacity)} requests in flight`;
      bar.style.width = `${one.capacity ? Math.min(100, (100 * one.inFlight) / one.capacity) : 0}%`;
      const rows = [["Settled", money(one.amount)], ["Payments", `${count(one.settled)} (${rate(one.settledPerSecond)}/s)`], ["Fee", `${one.feePercent} %`], ["Net", money(one.net)],
        ["Answers, p50", duration(one.answers.p50Ms)], ["p99", duration(one.answers.p99Ms)], ["Unknown", one.unknown ? `${count(one.unknown)}, ${money(one.unknownAmount)}` : "none"],
        ["Health asked", one.healthAgeSeconds === null ? "not yet" : `${age(one.healthAgeSeconds)} ago`]];
      show(facts, rows.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value))));
    },
  };
}
