// One payment: its whole life, every attempt, and what people have done with it.
import { askFor, titleOf } from "../acting.js";
import { get } from "../api.js";
import { badge, empty, h, show, table } from "../dom.js";
import { between, duration, moment, money } from "../format.js";
import { TONES } from "./payments.js";

const GOOD = new Set(["charged", "already there", "found"]);
const OPEN = new Set(["queued", "processing"]);
const AGAIN_MS = 1000;
const FOLLOW_MS = 120000; // how long an act is followed: its result, and what it does to the payment, come later

export function payment({ main, id, who }) {
  const body = h("div", { class: "pair loose" });
  const title = h("div", { class: "head" }, h("h1", {}, "Payment"), h("a", { href: "#/payments" }, "All payments"));
  show(main, title, h("p", { class: "mono" }, id), body);
  let timer = null;
  let isOver = false;
  let askedMs = -Infinity; // when an act was asked for here
  let drawn = "";

  const isRecent = (ms) => Date.now() - ms < FOLLOW_MS;
  const isAwaited = (one) => OPEN.has(one.state) || isRecent(askedMs) || one.acts.some(({ result, at }) => result === null && isRecent(new Date(at)));

  async function load() {
    if (isOver) return;
    clearTimeout(timer);
    let isMore;
    try {
      const found = await get(`/payments/${encodeURIComponent(id)}`);
      isMore = isAwaited(found);
      draw(found);
    } catch (error) {
      isMore = [0, 404, 503].includes(error.status);
      drawn = "";
      if (!isOver) show(body, h("div", { class: "card" }, empty(error.message)));
    }
    clearTimeout(timer); // of a load that was begun meanwhile
    if (!isOver && isMore) timer = setTimeout(load, AGAIN_MS);
  }

  function draw(one) {
    const text = JSON.stringify(one);
    if (isOver || text === drawn) return; // a button that is drawn anew loses the focus
    drawn = text;
    const facts = [["Amount", money(one.amount)], ["State", badge(one.state, TONES[one.state] ?? "")], ["Processor", one.processor ?? "-"],
      ["Accepted (UTC)", moment(one.acceptedAt)], ["Settled after", duration(between(one.acceptedAt, one.settledAt))],
      ["Fee", one.feePpm === null ? "-" : `${one.feePpm / 10000} %`], ["Reason", one.reason ?? "-"]];
    show(body,
      h("section", { class: "card" }, h("h2", {}, "What is known"), h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
      h("section", { class: "card" }, h("h2", {}, "Its life"), h("ol", { class: "life" }, life(one).map(step))),
      one.offered.length > 0 && h("section", { class: "card whole" }, h("h2", {}, "What can be done"), h("ul", { class: "acts" }, one.offered.map(offer))),
      h("section", { class: "card table whole" }, one.attempts.length ? attempts(one.attempts) : empty("Nothing was sent yet.")));
  }

  function follow() {
    askedMs = Date.now();
    load();
  }

  const offer = ({ act, isOffered, why }) => h("li", {}, h("button", { disabled: !isOffered || who.role === "viewer" || (who.role === "operator" && act !== "ask"), onclick: () => askFor({ act, ids: [id] }, id, follow) }, `${titleOf(act)} ...`), !isOffered && h("span", { class: "note" }, why));

  load();
  return () => { isOver = true; clearTimeout(timer); };
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
