"""A cell's agent without its store and its clock: answers of the store and the time go in, calls to the store come out.
Pure over shared memory.

It joins what decides (:mod:`engine.cluster.agent`) with the rings of the API processes and the mail of the dispatcher.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from engine.cluster.actions import Forgot, Reply, Say
from engine.cluster.agent import Agent, Identity
from engine.cluster.calls import Operation
from engine.cluster.cell import Bounds, Cell, Moment
from engine.cluster.membership import Membership
from engine.cluster.offers import Offers
from engine.cluster.relay import CountedByMail, Relay
from engine.link import mail
from engine.link.mail import Sender
from engine.logs.logger import Logger
from engine.memory import cell_layout, layout
from engine.memory.cell_layout import Standing
from engine.memory.words import WORD_MAX, Words
from engine.ring.ring import RingReader

TICK_MS: Final = 50
QUIET_MS: Final = 200  # after so long without anything nothing is under way
TELL_MS: Final = 1500  # when it stops: how long it goes on to tell what has ended ...
LEAVE_MS: Final = 3500  # ... and until it has left

COUNT_MS: Final = 1000  # between two counts of what was adopted
TOLD: Final = {
    Standing.JOINING: "has no epoch",
    Standing.WAITING: "waits for its lease",
    Standing.LIVES: "lives",
    Standing.WITHOUT_LEASE: "has no lease any more: the store does not answer",
    Standing.APART: "sends nothing: its clock is too far from the store's",
    Standing.LEAVING: "leaves",
}

log = Logger("engine.agent")


class Memory(NamedTuple):
    """The words of ``cell``'s memory, of ``books`` and of the ``rings``."""

    cell: Words
    books: Words
    rings: Sequence[Words]


class Who(NamedTuple):
    """The cell's ``name``; the ``place`` where it lives, 16 bytes; how long its lease is; how many ``processors``;
    ``keep_ms``: how long the store keeps what has ended, 0: for ever.
    """

    name: str
    place: bytes
    lease_ms: int
    processors: int
    keep_ms: int = 0


class Core:
    """See the module. ``calls``: what is to be said to the store; whoever says it takes them.

    ``has_left``: it was asked to stop, and has.
    """

    def __init__(self, memory: Memory, who: Who, bounds: Bounds, now: Moment) -> None:
        self.calls: list[Say] = []
        self.has_left = False
        self._words, self._books = memory.cell, memory.books
        self._sender = Sender(*mail.to_dispatcher(memory.cell))
        self._counted = counted = CountedByMail(self._sender)
        self.membership = Membership(who.lease_ms)
        self.cell = Cell(self.membership, bounds)
        identity = Identity(who.name, who.place, lambda: secrets.token_bytes(16))
        self.agent = Agent(self.cell, identity, counted, who.processors, who.keep_ms)
        self._offers = Offers(memory.cell, [RingReader(words) for words in memory.rings], self.cell)
        self._relay = Relay(memory.cell, self._sender, self.agent, counted)
        self._life = memory.cell[cell_layout.LIFE_AT]
        self._tick_ms = self._busy_ms = self._count_ms = 0
        self._stop_ms: int | None = None  # when it was asked to stop
        self._standing: Standing | None = None
        self._living = 0
        self._begin(is_purged=False)

    @property
    def has_mail(self) -> bool:
        """Whether something was said to the dispatcher that it has not heard."""
        return self._sender.waiting > 0

    def is_watchful(self, now: Moment) -> bool:
        """Whether something is under way, or was a moment ago."""
        return bool(self._offers.waiting or self._relay.pinning) or now.mono_ms - self._busy_ms < QUIET_MS

    def stop(self, now: Moment) -> None:
        """Asks it to leave."""
        if self._stop_ms is None:
            self._stop_ms = now.mono_ms

    def step(self, now: Moment, answers: Iterable[tuple[int, Any]]) -> None:
        """One look at all that has come; ``answers``: of the store, with the numbers of their calls."""
        for number, result in answers:
            self._busy_ms = now.mono_ms
            self.agent.answered(now, number, result)
            self._act(now)
        life = self._words[cell_layout.LIFE_AT]
        if life != self._life or self._counted.must_begin:
            self._life = life
            self.agent.begin_anew()
            self._act(now)
        if self._relay.hear(now):
            self._busy_ms = now.mono_ms
        if self._stop_ms is None:
            self._offers.look(now)
        if now.mono_ms >= self._tick_ms:
            self._tick_ms = now.mono_ms + TICK_MS
            self.agent.tick(now)
        else:
            self.agent.say(now)
        self._act(now)
        self._relay.tell()
        self._show(now)
        if self._stop_ms is not None:
            self._leave(now, now.mono_ms - self._stop_ms)

    def _act(self, now: Moment) -> None:
        """Does what was decided."""
        actions, self.cell.actions = self.cell.actions, []
        for action in actions:
            if isinstance(action, Say):
                self.calls.append(action)
            elif isinstance(action, Reply):
                self._offers.reply(action)
            elif isinstance(action, Forgot):
                self._begin(is_purged=action.is_purged)
            else:
                self._relay.act(now, action)

    def _begin(self, *, is_purged: bool) -> None:
        """A term begins: nothing that was held counts any more."""
        self._words[cell_layout.MAY_BEGIN_MS_AT] = 0
        term = self._words[cell_layout.TERM_AT] + 1
        self._words[cell_layout.TERM_AT] = term
        self._offers.begin(term)
        self._relay.begin(term, self._life, is_purged=is_purged)

    def _leave(self, now: Moment, late_ms: int) -> None:
        if late_ms >= TELL_MS or not self.cell.calls.count(Operation.CONCLUDE):
            self.agent.leave()
        self.has_left = self.agent.has_left or late_ms >= LEAVE_MS

    def _show(self, now: Moment) -> None:
        """Writes what others read of this cell."""
        words, membership, by = self._words, self.membership, self.membership.by
        if by is not None:
            # Before anything may be accepted: from now on this memory is a cell's, for whoever starts with it.
            self._books[layout.BOOKS_EPOCH_AT] = by.number
            words[cell_layout.CELL_AT], words[cell_layout.ERA_AT] = by.cell, by.era
        words[cell_layout.EPOCH_AT] = 0 if by is None else by.number
        may_begin = membership.may_begin(now.mono_ms) and self._stop_ms is None
        words[cell_layout.MAY_BEGIN_MS_AT] = membership.until_ms if may_begin else 0
        words[cell_layout.HEARTBEAT_MS_AT] = now.mono_ms
        words[cell_layout.HEARD_MS_AT] = membership.heard_ms
        words[cell_layout.AHEAD_MS_AT] = membership.ahead_ms & WORD_MAX
        words[cell_layout.LIVING_AT] = len(membership.living)
        words[cell_layout.HELD_AT] = len(self.cell.held)
        if now.mono_ms >= self._count_ms:
            self._count_ms = now.mono_ms + COUNT_MS
            pins = (held.pin for held in self.cell.held.values())
            words[cell_layout.ADOPTED_AT] = sum(pin is not None and pin.is_adopted for pin in pins)
        standing = self._stands(now)
        words[cell_layout.STANDING_AT] = standing
        if standing is not self._standing or len(membership.living) != self._living:
            self._standing, self._living = standing, len(membership.living)
            log.info(
                "cell_stands", standing=TOLD[standing], living=self._living,
                epoch=0 if by is None else by.number, ahead_ms=membership.ahead_ms,
            )  # fmt: skip

    def _stands(self, now: Moment) -> Standing:
        membership = self.membership
        if self._stop_ms is not None:
            return Standing.LEAVING
        if membership.by is None:
            return Standing.JOINING
        if not membership.holds(now.mono_ms):
            return Standing.WITHOUT_LEASE if membership.until_ms else Standing.WAITING
        return Standing.APART if membership.is_apart else Standing.LIVES
