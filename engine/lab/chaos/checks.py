"""What must hold after the chaos. Pure: what was seen is handed in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.lab.chaos.faults import COSTLY, Served
from engine.lab.chaos.plan import Kill
from engine.lab.chaos.requests import Sent
from engine.lab.contest.audit import Audit
from engine.lab.machine.processes import DATABASE, DATABASE_BACKEND, DISPATCHER, LEDGER
from engine.lab.services.processor import Charged

EXAMPLES_MAX = 3
# A client sees a kill at once or, when it was waiting for an answer, at its time-out.
CLOCK_SLACK_S = 0.1
_ENDED = re.compile(r"engine\.up WARNING (?:(.+) ended with (-?\d+);|(api \d+|\w+) .+; starts anew)")
_KILLED = "-9"
# No client waits for them.
_BEHIND = frozenset({DISPATCHER, LEDGER, DATABASE, DATABASE_BACKEND})


@dataclass(frozen=True)
class Check:
    """One promise: whether it held, and the numbers or examples that say so."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True)
class Queues:
    """What ``/health`` says is not settled; ``unresolved`` over all processors."""

    pending: int
    failed: int
    parked: int
    unresolved: int

    @property
    def are_empty(self) -> bool:
        """Whether all is settled."""
        return not (self.pending or self.parked or self.unresolved)


@dataclass(frozen=True)
class Blame:
    """Requests that saw an error, and the kill that explains each; None for those that none explains."""

    by_kill: tuple[tuple[Sent, Kill | None], ...]

    @property
    def unexplained(self) -> list[Sent]:
        """Errors that no kill explains."""
        return [sent for sent, kill in self.by_kill if kill is None]

    def by_role(self) -> Counter[str]:
        """How many errors each killed role explains."""
        return Counter(kill.role for _, kill in self.by_kill if kill is not None)


def as_kills(found: Iterable[Served]) -> list[Kill]:
    """Those faults of the surroundings that can cost a client an error, as kills of what they happened to."""
    kills = []
    for bout, after_s in ((one.bout, one.after_s) for one in found if one.bout.fault in COSTLY):
        back_s = None if after_s is None else max(bout.counted_from_s + after_s, bout.over_s or 0.0)
        kills.append(Kill(bout.fault, 0, bout.at_s, back_s))
    return kills


def blame(
    sent: Iterable[Sent], kills: Sequence[Kill], apis: Collection[str], begin_epoch_s: float, timeout_s: float
) -> Blame:
    """Which errors a kill explains: those from the kill until a client's whole time-out after another process did its
    work. Where several kills do, it is the latest.

    Only what stands between client and API processes can cost a client an error: nginx, and the supervisor, which takes
    all processes with it. An API process can only do so when all are gone at once, and the dispatcher never can.

    Parameters:
      apis: the roles of all API processes.
      begin_epoch_s: when the kills' clock began.
      timeout_s: how long a client waits for an answer.
    """
    by_kill = []
    for request in sent:
        if not request.is_accepted:
            at_s = request.at_ms / 1000 - begin_epoch_s
            suspects = [kill for kill in kills if kill.role not in _BEHIND and _is_near(kill, at_s, timeout_s)]
            if not set(apis) <= {kill.role for kill in suspects}:
                suspects = [kill for kill in suspects if kill.role not in apis]
            by_kill.append((request, max(suspects, key=lambda kill: kill.at_s, default=None)))
    return Blame(tuple(by_kill))


def _is_near(kill: Kill, at_s: float, timeout_s: float) -> bool:
    if at_s < kill.at_s - CLOCK_SLACK_S:
        return False
    return kill.back_s is None or at_s <= kill.back_s + timeout_s + CLOCK_SLACK_S


def all_told(sent: Sequence[Sent], requested: int | None) -> Check:
    """There is a line for each of the ``requested`` requests that k6 has counted; None when it left no count."""
    detail = f"{len(sent):,} of {'an unknown number of' if requested is None else f'{requested:,}'} requests"
    return Check("what became of every request is known", len(sent) == requested, detail)


def payments(sent: Sequence[Sent], charges: Mapping[str, Sequence[Charged]], amount_cents: int) -> list[Check]:
    """Every payment that was accepted is charged once, and nothing else is.

    Parameters:
      sent: every payment that was handed in.
      charges: everything that each processor has charged.
      amount_cents: of every payment.
    """
    times = Counter(charge.correlation_id for by_one in charges.values() for charge in by_one)
    accepted = {request.correlation_id for request in sent if request.is_accepted}
    unsure = {request.correlation_id for request in sent if not request.is_accepted}
    lost = accepted - times.keys()
    twice = [name for name, count in times.items() if count > 1]
    strangers = times.keys() - accepted - unsure
    wrong = [c.correlation_id for by_one in charges.values() for c in by_one if c.amount_cents != amount_cents]
    kept = len(unsure & times.keys())
    return [
        Check("every accepted payment is charged", not lost and bool(accepted),
              f"{len(accepted):,} accepted, {len(accepted - lost):,} of them charged" + examples(lost)),
        Check("nothing is charged twice", not twice,
              f"{len(times):,} payments, {times.total():,} charges" + examples(twice)),
        Check("nothing is charged that nobody sent", not strangers,
              f"{len(strangers)} strangers; of {len(unsure)} payments that saw an error {kept} were accepted"
              + examples(strangers)),
        Check("every amount is what was sent", not wrong, f"{len(wrong)} differ" + examples(wrong)),
    ]  # fmt: skip


def statuses(
    asked: Iterable[str], told: Mapping[str, tuple[str, str | None]], charges: Mapping[str, Sequence[Charged]]
) -> Check:
    """What the engine says became of the payments is true.

    Parameters:
      asked: the payments.
      told: status and processor of those that it knows.
      charges: everything that each processor has charged.
    """
    where = {charge.correlation_id: name for name, by_one in charges.items() for charge in by_one}
    count, wrong = 0, []
    for correlation_id in asked:
        count += 1
        processor = where.get(correlation_id)
        expected = None if processor is None else ("completed", processor)
        if told.get(correlation_id) != expected:
            wrong.append(correlation_id)
    name = "the engine knows what became of every payment"
    return Check(name, not wrong, f"{count:,} asked, {len(wrong)} wrong{examples(wrong)}")


def books(audits: Sequence[Audit]) -> Check:
    """The engine's books and the processors' agree in every window."""
    wrong = [audit for audit in audits if audit.outcome != "ok"]
    detail = f"{len(audits)} windows, {len(wrong)} differ"
    if wrong:
        detail += f"; the first, {wrong[0].kind} {wrong[0].window}: {wrong[0].reason}"
    return Check("the summary is the processors' own in every window", bool(audits) and not wrong, detail)


def settled(queues: Queues | None, after_s: float, limit_s: float) -> list[Check]:
    """Everything is settled ``after_s`` seconds after the end of all trouble, and nothing was given up."""
    name = f"nothing is pending or unresolved {limit_s:g} s after the last trouble"
    if queues is None:
        return [Check(name, False, "the engine does not say")]
    left = f"pending {queues.pending}, unresolved {queues.unresolved}, parked {queues.parked}"
    return [
        Check(name, queues.are_empty and after_s <= limit_s, f"{left} after {after_s:.1f} s"),
        Check("no payment was given up", queues.failed == 0, f"{queues.failed} failed"),
    ]


def errors(blamed: Blame) -> Check:
    """No client saw an error that no kill explains."""
    unexplained = blamed.unexplained
    by_role = ", ".join(f"{role} {count}" for role, count in sorted(blamed.by_role().items()))
    detail = f"{len(unexplained)} unexplained; explained by a kill: {by_role or 'none'}"
    shown = [f"{sent.complaint} at {sent.at_ms}" for sent in unexplained]
    return Check("no error beside a kill", not unexplained, detail + examples(shown))


def carried_out(planned: int, done: int, kills: Sequence[Kill]) -> Check:
    """The plan was carried out, and every killed process came back."""
    away = [kill.role for kill in kills if kill.back_s is None]
    longest_s = max((kill.back_s - kill.at_s for kill in kills if kill.back_s is not None), default=0.0)
    detail = f"{done} of {planned} events, {len(kills)} kills, longest absence {longest_s:.1f} s"
    return Check("the plan was carried out and all are back", done == planned and not away, detail + examples(away))


def serving(found: Sequence[Served], planned: int, within_s: float) -> Check:
    """The engine served soon after each fault of its surroundings."""
    late = [one for one in found if one.after_s is None or one.after_s > within_s]
    longest = max(found, key=lambda one: one.after_s or 0.0, default=None)
    detail = f"{len(found)} of {planned} faults"
    if longest is not None:
        detail += f", at most {(longest.after_s or 0.0) * 1000:,.0f} ms ({longest.bout.fault})"
    shown = [f"{one.bout.fault} at {one.bout.at_s:.0f} s: {', '.join(one.complaints)}" for one in late]
    name = f"it serves within {within_s:g} s after each fault"
    return Check(name, len(found) == planned and not late, detail + examples(shown))


def one_amount(taken_twice: Collection[str], asked: int) -> Check:
    """No id was accepted with two amounts."""
    detail = f"{asked:,} payments were sent again with another amount, {len(taken_twice)} accepted"
    return Check("an id is accepted with one amount only", not taken_twice, detail + examples(taken_twice))


def own_deaths(log: str, may_collide: bool, may_start_anew: bool = False) -> Check:
    """No process of the engine ended except those that we killed.

    Parameters:
      log: what the supervisor has printed.
      may_collide: the supervisor was killed and started again: then a child may find that its predecessor is still
        there, and end with 2.
      may_start_anew: sockets were removed and processes stopped: then one that the supervisor starts anew may end in
        any way, once.
    """
    forgiven = {_KILLED, "2"} if may_collide else {_KILLED}
    ended, asked = [], set()
    for name, code, anew in _ENDED.findall(log):
        if anew:
            asked.add(anew)
        elif code not in forgiven and not (may_start_anew and name in asked):
            ended.append(f"{name} with {code}")
        asked.discard(name)
    failures = log.count("Traceback (most recent call last)")
    detail = f"{len(ended)} ended by themselves, {failures} tracebacks"
    return Check("no process ended by itself", not ended and not failures, detail + examples(ended))


def examples(found: Collection[str]) -> str:
    """A few of ``found`` for the end of a sentence."""
    shown = ", ".join(list(found)[:EXAMPLES_MAX])
    return f": {shown}{', ...' if len(found) > EXAMPLES_MAX else ''}" if found else ""
