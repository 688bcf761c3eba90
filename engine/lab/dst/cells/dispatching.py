"""A small model of the dispatcher on a cell: where payments go, when they are tried again, and what is in flight.

It decides nothing that a pin forbids: whether something may be sent is asked of :class:`engine.cluster.cell.Cell`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from engine.cluster.cell import Cell, Moment
from engine.cluster.held import Held, Stage
from engine.cluster.pins import Step
from engine.connectors.answers import Outcome, Verdict
from engine.lab.dst.cells.processors import PROCESSORS

REQUEST_MS = 800  # an answer later than this is not waited for
WAIT_FIRST_MS, WAIT_LAST_MS = 50, 1600
DEAD_WAIT_MS = 3000
CAPACITY = 24  # of both processors together, for all cells
REASON = 1  # of what is given up: its age


class Sent(NamedTuple):
    """A request or a lookup in flight. ``at_ms``: the engine's clock when it left."""

    payment: bytes
    number: int
    is_lookup: bool
    at_ms: int


@dataclass
class Course:
    """What is known of trying one payment. ``look_next``: it is looked up next, else sent."""

    next_ms: int = 0
    tries: int = 0
    out: int = 0
    look_next: bool = True
    last: int = -1  # the processor of before
    tickets: set[int] = field(default_factory=set)


class Dispatching:
    """See the module. ``looks``: lookups that are to leave: (ticket, payment, processor)."""

    def __init__(self, cell: Cell, chance: Random, give_up_ms: int) -> None:
        self.in_flight: dict[int, Sent] = {}
        self.looks: list[tuple[int, bytes, int]] = []
        self._cell = cell
        self._chance = chance
        self._give_up_ms = give_up_ms
        self._courses: dict[bytes, Course] = {}
        self._ticket = 0

    def step(self, now: Moment) -> None:
        """Begins what is due."""
        self._time_out(now)
        room = self._cell.membership.share(CAPACITY)
        self._courses = {payment: self._courses.get(payment) or Course() for payment in self._cell.held}
        for held in list(self._cell.held.values()):
            course = self._courses[held.id]
            if course.out or now.mono_ms < course.next_ms or len(self.in_flight) >= room:
                continue
            if held.stage is Stage.FREE:
                self._begin(now, held, course)
            elif held.stage is Stage.PINNED:
                self._go_on(now, held, course)

    def sent(self, now: Moment, payment: bytes, number: int) -> int:
        """A request leaves; returns its ticket."""
        return self._leaves(now, payment, number, False)

    def ended(self, now: Moment, ticket: int, outcome: Outcome) -> None:
        """A request or a lookup has been answered, or was given up."""
        sent = self.in_flight.pop(ticket, None)
        if sent is None:
            return
        course = self._courses.get(sent.payment) or Course()
        course.out -= 1
        if not sent.is_lookup:
            step = self._cell.ended(now, sent.payment, sent.number, outcome.verdict)
            course.look_next = step in (Step.STAY, Step.LOOK_UP)
        elif outcome.verdict is Verdict.FOUND:
            self._cell.found(now, sent.payment, sent.number, outcome.requested_ms)
        held = self._cell.held.get(sent.payment)
        wait_ms = min(WAIT_FIRST_MS << min(course.tries, 8), WAIT_LAST_MS)
        course.next_ms = now.mono_ms + (DEAD_WAIT_MS if held is not None and held.is_dead else wait_ms)

    def _leaves(self, now: Moment, payment: bytes, number: int, is_lookup: bool) -> int:
        self._ticket += 1
        self.in_flight[self._ticket] = Sent(payment, number, is_lookup, now.mono_ms)
        course = self._courses.get(payment)
        if course is not None:
            course.out += 1
            course.tries += 1
        return self._ticket

    def _begin(self, now: Moment, held: Held, course: Course) -> None:
        if now.mono_ms - held.since_ms >= self._give_up_ms:
            self._cell.give_up(now, held.id, REASON)
            return
        others = [processor for processor in PROCESSORS if processor != course.last]
        processor = self._chance.choice(others if self._chance.random() < 0.7 else PROCESSORS)
        if self._cell.pin(now, held.id, processor):
            course.last = processor

    def _go_on(self, now: Moment, held: Held, course: Course) -> None:
        """Looks up and sends in turns, at the pin's processor: what this cell has sent itself first leaves at once."""
        pin = held.pin
        assert pin is not None
        if course.look_next:
            self.looks.append((self._leaves(now, held.id, pin.number, True), held.id, pin.processor))
            course.look_next = False
        else:
            self._cell.send_again(now, held.id)

    def _time_out(self, now: Moment) -> None:
        late = [ticket for ticket, sent in self.in_flight.items() if now.mono_ms - sent.at_ms >= REQUEST_MS]
        for ticket in late:
            self.ended(now, ticket, Outcome(Verdict.UNKNOWN))
