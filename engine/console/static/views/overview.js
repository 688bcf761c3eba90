// Money first, then how quickly, then each processor.
import { h, show, tile } from "../dom.js";
import { age, count, duration, moment, money, rate } from "../format.js";
import { Chart } from "../charts.js";
import { ProcessorCards } from "./processor-cards.js";

export function overview({ main, live, who }) {
  const status = h("span", { role: "status" }, "connecting");
  const dot = h("span", { class: "dot" });
  const pause = h("button", { "aria-pressed": "false", onclick: () => live.pause(!live.isPaused) }, "Pause");
  const banner = h("div", { class: "banner", role: "status" }, h("span", {}, "..."), h("span", {}, ""));
  const tiles = {
    accepted: tile("Accepted", "accepted"), settled: tile("Settled", "settled"), unknown: tile("Unknown outcome", "unknown"),
    net: tile("Net in the last minute", "net"), accepting: tile("Accepting, p99", "accepting"), settling: tile("Settling, p99", "settling"),
    backlog: tile("Backlog", "backlog"), books: tile("Books and processors", "books"), ledger: tile("Ledger", "ledger"), ring: tile("Ring", "ring"),
  };
  const cards = new ProcessorCards(who);
  const flow = new Chart("Payments a second", [{ label: "accepted", format: rate }, { label: "settled", format: rate }]);
  const times = new Chart("How long it takes (p99 of 10 s)", [{ label: "accepting", format: duration }, { label: "settling", format: duration }], { log: true });
  show(main,
    h("div", { class: "head" }, h("h1", {}, "Overview"), h("div", { class: "live" }, dot, status, pause)),
    banner,
    h("section", { class: "cards", "aria-label": "Figures" }, Object.values(tiles).map((one) => one.element)),
    h("div", { class: "pair" }, flow.element, times.element),
    h("section", { "aria-label": "Processors" }, cards.element));

  function update() {
    dot.className = `dot ${live.isPaused ? "warn" : live.isConnected ? "good" : "bad"}`;
    status.textContent = live.isPaused ? "paused" : live.isConnected ? "live" : "the console does not answer; trying again";
    pause.textContent = live.isPaused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(live.isPaused));
    const now = live.last;
    if (!now) return;
    const { payments, unknown, ledger } = now;
    const troubled = now.processors.some((one) => one.state !== "healthy" || one.isFailing || one.isPaused);
    const allDown = now.processors.every((one) => one.state === "open" || one.isFailing || one.isPaused);
    banner.className = `banner ${!now.isUp || now.ring.isFull || allDown ? "bad" : troubled ? "warn" : ""}`;
    banner.firstChild.textContent = now.isUp ? (allDown ? "No processor takes payments" : troubled ? "A processor is not well" : "All is well") : "No dispatcher is at work";
    banner.lastChild.textContent = now.now;
    tiles.accepted.set(count(payments.accepted), `${rate(payments.acceptedPerSecond)}/s` + (payments.refused ? `, ${count(payments.refused)} refused` : ""));
    tiles.settled.set(money(now.money.settled), `${count(payments.settled)} payments, ${rate(payments.settledPerSecond)}/s`);
    tiles.unknown.set(money(unknown.amount), unknown.payments ? `${count(unknown.payments)} payments, the oldest ${age(unknown.oldestSeconds)}` : "no payment", unknown.deadLetters ? "bad" : "");
    tiles.net.set(money(now.money.netLastMinute), `fees ${money(now.money.feesLastMinute)}; in all ${money(now.money.net)}`);
    tiles.accepting.set(duration(now.times.accepting.p99Ms), `p50 ${duration(now.times.accepting.p50Ms)}`);
    tiles.settling.set(duration(now.times.settling.p99Ms), `p50 ${duration(now.times.settling.p50Ms)}`);
    tiles.backlog.set(count(now.backlog.payments), now.backlog.payments ? `the oldest ${age(now.backlog.oldestSeconds)}` : `${count(payments.pending)} pending in all`);
    tiles.books.set(ledger.exceptions ? `${count(ledger.exceptions)} open` : ledger.reconciledUntil ? "equal" : "not held",
      ledger.reconciledUntil ? `until ${moment(ledger.reconciledUntil)}` : "no reconciliation has run", ledger.exceptions ? "bad" : "");
    tiles.ledger.set(ledger.isOn ? (ledger.trouble ? "away" : ledger.lagSeconds === null ? "-" : age(ledger.lagSeconds)) : "off",
      ledger.trouble ?? (ledger.isOn ? "behind the newest" : "nothing is recorded"), ledger.trouble ? "bad" : "");
    tiles.ring.set(now.ring.unfinished === null ? "-" : `${(100 * now.ring.unfinished).toFixed(1)} %`, now.ring.isFull ? "full: payments are refused" : "unfinished", now.ring.isFull ? "bad" : "");
    cards.update(now.processors);
    const seconds = live.history.map((one) => one.at / 1000);
    flow.update(seconds, live.history.map((one) => one.payments.acceptedPerSecond), live.history.map((one) => one.payments.settledPerSecond));
    times.update(seconds, live.history.map((one) => one.times.accepting.p99Ms), live.history.map((one) => one.times.settling.p99Ms));
  }

  live.listeners.add(update);
  update();
  return () => { live.listeners.delete(update); flow.destroy(); times.destroy(); };
}
