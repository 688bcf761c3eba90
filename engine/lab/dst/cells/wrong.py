"""What the mutants of cells and store do instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.cluster.agent import Agent
from engine.cluster.calls import Operation, Said
from engine.cluster.cell import ACCEPT_MS_MAX, Cell, Moment
from engine.cluster.following import Following
from engine.cluster.health import Asking
from engine.cluster.held import Stage
from engine.cluster.membership import Membership
from engine.cluster.pins import Pinned
from engine.cluster.stub import Stub
from engine.cluster.stub_state import EpochState
from engine.cluster.values import Adoption, Entry, Epoch, Kept, Outcome, Page, Pin, Question, Verdict

RAISED_LATE_MS = 300


def may_move_adopted(self: Pinned) -> bool:
    return self.unrefused == 0


def may_move_open(self: Pinned) -> bool:
    return not self.is_adopted


def judge_pin_of_any_epoch(_by: Epoch, pin: Pin, kept: Kept) -> Verdict:
    if kept.outcome is not None:
        return Verdict.ENDED
    if kept.pin == pin:
        return Verdict.SAME
    return Verdict.BEHIND if pin.number <= kept.pins else Verdict.NEW


def judge_pin_adopted(by: Epoch, pin: Pin, kept: Kept) -> Verdict:
    return Verdict.NOT_HELD if kept.holder != by.number else judge_pin_of_any_epoch(by, pin, kept)


def judge_pin_late(by: Epoch, pin: Pin, kept: Kept) -> Verdict:
    if kept.outcome is not None:
        return Verdict.ENDED
    if kept.holder != by.number:
        return Verdict.NOT_HELD
    if kept.pin is not None and kept.pin_epoch != by.number:
        return Verdict.ADOPTED
    return Verdict.SAME if kept.pin == pin else Verdict.NEW


def judge_outcome_again(_by: Epoch, _outcome: Outcome, _kept: Kept) -> Verdict:
    return Verdict.NEW


def check_no_epoch(self: Stub, by: Epoch) -> EpochState:
    self._answers()
    return self._state.epochs[by.number]


def adopt_early(self: Any, by: Epoch, epoch: int) -> Adoption:
    """What is adopted is read before the epoch is raised, which happens a little later."""
    self._check(by)
    other = self._state.epochs[epoch]
    if other.holder != epoch:
        return Adoption(other.holder)
    if other.until_ms > self._clock_ms():
        return Adoption(epoch, other.until_ms)
    if epoch not in self.read_early:
        rows = [kept for kept in self.all_kept() if kept.holder == epoch and kept.outcome is None]
        self.read_early[epoch] = by.number, self._clock_ms() + RAISED_LATE_MS, rows
    return Adoption(self.read_early[epoch][0])


def held_early(self: Any, by: Epoch, after: bytes, limit: int) -> tuple[Kept, ...]:
    rows = list(Stub.held_truly(self, by, after, limit))  # type: ignore[attr-defined]
    for holder, _, early in self.read_early.values():
        rows += [kept._replace(holder=holder) for kept in early if holder == by.number]
    return tuple({kept.id: kept for kept in rows}.values())


def check_raised_late(self: Any, by: Epoch) -> Any:
    for epoch, (holder, at_ms, _) in self.read_early.items():
        if self._clock_ms() >= at_ms and not self._state.epochs[epoch].is_over:
            self._state.take_over(epoch, holder)
    return Stub.check_truly(self, by)  # type: ignore[attr-defined]


def next_whatever(self: Following, cell: int, page: Page) -> Sequence[Entry]:
    entries = [entry for entry in page.entries if entry.sequence > self.since[cell]]
    self.since[cell] = entries[-1].sequence if entries else self.since[cell]
    self._reach()
    return entries


def next_again(self: Following, cell: int, page: Page) -> Sequence[Entry]:
    self.since[cell] = page.entries[-1].sequence if page.entries else self.since[cell]
    self._reach()
    return page.entries


def pin_at_once(self: Cell, now: Moment, payment: bytes, processor: int) -> bool:
    held = self.held[payment]
    if held.stage is not Stage.FREE or not self.membership.may_begin(now.mono_ms):
        return False
    self.calls.want(Operation.PIN, payment, held.pinned(processor, self.membership.requested_ms(now.wall_ms)))
    held.stage = Stage.PINNED
    self._send(held)
    return True


def tick_forgetting_offers(self: Cell, now: Moment) -> None:
    for offer, since_ms in self._offers.items():
        if now.mono_ms - since_ms >= ACCEPT_MS_MAX:
            self.calls.done(Operation.ACCEPT, offer)
    Cell.tick_truly(self, now)  # type: ignore[attr-defined]


def joined_of_any_era(self: Agent, now: Moment, said: Said, by: Epoch) -> None:
    self._era = by.era
    Agent.joined_truly(self, now, said, by)  # type: ignore[attr-defined]


def requested_by_the_wall(_self: Membership, wall_ms: int) -> int:
    return wall_ms


def granted_late(self: Asking, _now_ms: int, _said: Said, question: Question, epoch: int) -> bool:
    before_ms = self._asked_ms[question.subject]
    self._asked_ms[question.subject] = question.asked_ms
    return before_ms != question.asked_ms and question.asker == epoch
