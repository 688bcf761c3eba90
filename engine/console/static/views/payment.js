// One payment: its whole life, every attempt, and what people have done with it.
import { askFor, titleOf } from "../acting.js";
import { get } from "../api.js";
import { badge, empty, h, show, table } from "../dom.js";
import { between, duration, moment, money } from "../format.js";
import { TONES } from "./payments.js";

const GOOD = new Set(["charged", "already there", "found"]);
const AGAIN_MS = 1000;

export function payment({ main, id, who }) {
  const body = h("div", { class: "pair" });
  const title = h("div", { class: "head" }, h("h1", {}, "Payment"), h("a", { href: "#/payments" }, "All payments"));
  show(main, title, h("p", { class: "mono" }, id), body);
  let timer = null;
  async function load() {
    try {
      const found = await get(`/payments/${encodeURIComponent(id)}`);
      draw(found);
      if (["queued", "processing"].includes(found.state)) timer = setTimeout(load, AGAIN_MS);
    } catch (error) {
      show(body, h("div", { class: "card" }, empty(error.message)));
      if (error.status === 404 || error.status === 0 || error.status === 503) timer = setTimeout(load, AGAIN_MS);
    }
  }

  function draw(one) {
    const facts = [["Amount", money(one.amount)], ["State", badge(one.state, TONES[one.state] ?? "")], ["Processor", one.processor ?? "-"],
      ["Accepted (UTC)", moment(one.acceptedAt)], ["Settled after", duration(between(one.acceptedAt, one.settledAt))],
      ["Fee", one.feePpm === null ? "-" : `${one.feePpm / 10000} %`], ["Reason", one.reason ?? "-"]];
    show(body,
      h("section", { class: "card" }, h("h2", {}, "What is known"), h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
      h("section", { class: "card" }, h("h2", {}, "Its life"), h("ol", { class: "life" }, life(one).map(step))),
      one.offered.length > 0 && h("section", { class: "card whole" }, h("h2", {}, "What can be done"), h("ul", { class: "acts" }, one.offered.map(offer))),
      h("section", { class: "card table whole" }, one.attempts.length ? attempts(one.attempts) : empty("Nothing was sent yet.")));
  }

  const offer = ({ act, isOffered, why }) => h("li", {}, h("button", { disabled: !isOffered || who.role === "viewer" || (who.role === "operator" && act !== "ask"), onclick: () => askFor({ act, ids: [id] }, id, load) }, `${titleOf(act)} ...`), !isOffered && h("span", { class: "note" }, why));

  load();
  return () => clearTimeout(timer);
}

function life(one) {
  const steps = [{ at: one.acceptedAt, title: `Accepted, ${money(one.amount)}`, tone: "" }];
  for (const attempt of one.attempts) {
    const end = attempt.outcome ?? (attempt.endedAt ? attempt.error : "under way");
    steps.push({
      at: attempt.beganAt ?? attempt.endedAt,
      title: `${attempt.isLookup ? "Looked up" : "Sent"} at ${attempt.processor}: ${end}`,
      more: [attempt.latencyMs === null ? "" : duration(attempt.latencyMs), attempt.status ? `HTTP ${attempt.status}` : "", attempt.error ?? ""].filter(Boolean).join(", "),
      tone: GOOD.has(attempt.outcome) ? "good" : attempt.outcome === null ? "" : "warn",
    });
  }
  for (const act of one.acts) steps.push({ at: act.at, title: `${act.who}: ${act.act}, ${act.result ?? "no result yet"}`, more: act.why, tone: "" });
  if (one.settledAt) steps.push({ at: one.settledAt, title: one.state === "completed" ? `Settled at ${one.processor}` : one.reason ?? one.state, tone: one.state === "completed" ? "good" : "bad" });
  return steps.sort((a, b) => new Date(a.at ?? 0) - new Date(b.at ?? 0));
}

const step = (one) => h("li", { class: one.tone }, h("strong", {}, one.title), h("time", { datetime: one.at }, moment(one.at)), one.more && h("p", {}, one.more));

function attempts(rows) {
  return table("Attempts", [
    { title: "What", cell: (row) => (row.isLookup ? "lookup" : `request ${row.number ?? ""}`) },
    { title: "Processor", cell: (row) => row.processor },
    { title: "Outcome", cell: (row) => badge(row.outcome ?? "under way", GOOD.has(row.outcome) ? "good" : "warn") },
    { title: "HTTP", right: true, cell: (row) => row.status },
    { title: "Took", right: true, cell: (row) => duration(row.latencyMs) },
    { title: "Began (UTC)", class: "nowrap", cell: (row) => moment(row.beganAt) },
    { title: "Error", cell: (row) => row.error },
  ], rows);
}
