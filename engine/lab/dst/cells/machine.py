"""A cell's host: its process may be killed, stand still with something in its hands, and have a wrong clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from engine.cluster.actions import Action, AskHealth, HealthTold, Reply, Request, Say
from engine.cluster.agent import Agent, Identity
from engine.cluster.cell import Bounds, Cell, Moment
from engine.cluster.membership import Membership
from engine.cluster.values import Entry, Folded, Kind
from engine.connectors.answers import Outcome
from engine.lab.dst.cells.dispatching import Dispatching
from engine.lab.dst.cells.plan import Plan
from engine.lab.dst.cells.processors import PROCESSORS
from engine.lab.dst.scheduler import Scheduler

TICK_MS = (60, 120)
HELD_MAX = 1000


class Counted:
    """The books of all, on one cell: what was counted, by cell."""

    def __init__(self) -> None:
        self.entries: dict[int, list[Entry]] = {}
        self.has_room = True

    def count(self, cell: int, entry: Entry) -> None:
        """See :class:`engine.cluster.books.Books`."""
        self.entries.setdefault(cell, []).append(entry)

    def replace(self, cell: int, folded: Folded) -> None:
        """See :class:`engine.cluster.books.Books`. Nothing is folded here but by a purge, which leaves no sums."""
        assert not folded.sums
        self.entries[cell] = []

    def forget(self) -> None:
        """See :class:`engine.cluster.books.Books`."""
        self.entries.clear()

    def settled(self) -> list[tuple[bytes, int, int, int]]:
        """Each settled payment as often as it was counted: id, processor, requestedAt in ms, cents."""
        return [
            (entry.outcome.id, entry.outcome.processor, entry.outcome.requested_ms, entry.cents)
            for entries in self.entries.values()
            for entry in entries
            if entry.outcome.kind is Kind.SETTLED
        ]


class Surroundings(Protocol):
    """What a host is connected to."""

    def say(self, machine: Machine, say: Say) -> None:
        """A call leaves for the store."""

    def request(self, machine: Machine, request: Request, ticket: int) -> None:
        """A request leaves for a processor."""

    def look(self, machine: Machine, ticket: int, payment: bytes, processor: int) -> None:
        """A lookup leaves for a processor."""

    def reply(self, machine: Machine, reply: Reply) -> None:
        """A customer is answered."""

    def ask_health(self, machine: Machine, asked: AskHealth, is_late: bool) -> None:
        """A query for health leaves for a processor; ``is_late``: the cell stood still with it in its hands."""


class Machine:
    """See the module. ``life`` counts its processes; what was meant for an earlier one is lost."""

    def __init__(self, number: int, plan: Plan, scheduler: Scheduler, chance: Random, around: Surroundings) -> None:
        self.name = f"cell-{number}"
        self.life = 0
        self.skew_ms = 0
        self.told_health = 0  # how often it was told of a processor's health
        self.is_alive = False
        self.stands_until_ms = 0
        self.stands_next_ms: int | None = None  # how long it stands still at the next thing that it would send
        self._plan = plan
        self._place = bytes([number + 1] * 16)
        self._scheduler = scheduler
        self._chance = chance
        self._around = around
        self._inbox: deque[Callable[[], None]] = deque()
        self._hands: deque[Action] = deque()
        self._late = 0  # of what its hands hold, how much it held when it stood still
        self._start()

    @property
    def now(self) -> Moment:
        """What its clocks show."""
        now = self._scheduler.now
        return Moment(now.mono_ms, now.wall_ms + self.skew_ms)

    @property
    def stands(self) -> bool:
        """Whether it stands still."""
        return self._scheduler.mono_ms < self.stands_until_ms

    # --- its life ----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Its process is killed: all that it knew is lost."""
        self.is_alive = False
        self.life += 1

    def start(self) -> None:
        """Another process is started."""
        if not self.is_alive:
            self._start()

    def stand(self, for_ms: int) -> None:
        """It stands still, then goes on as if nothing had been."""
        self.stands_until_ms = self._scheduler.mono_ms + for_ms
        self._late = len(self._hands)
        self._scheduler.after(for_ms, self._go_on, self.life)

    def wake(self) -> None:
        """It stands still no longer."""
        self.stands_until_ms = 0
        self.stands_next_ms = None
        self._go_on(self.life)

    def _start(self) -> None:
        plan = self._plan
        self.is_alive = True
        self.stands_until_ms = 0
        self._inbox.clear()
        self._hands.clear()
        self._late = 0
        self.counted = Counted()
        self.cell = Cell(Membership(plan.lease_ms), Bounds(HELD_MAX, plan.dead_letter_ms))
        identity = Identity(self.name, self._place, lambda: self._chance.randbytes(16))
        self.agent = Agent(self.cell, identity, self.counted, len(PROCESSORS))
        self.dispatching = Dispatching(self.cell, self._chance, plan.give_up_ms)
        self._tick(self.life)

    # --- what comes to it --------------------------------------------------------------------------------------------

    def hear(self, life: int, happen: Callable[..., None], *what: Any) -> None:
        """Something arrives for a life; it happens when that life does not stand still, if it still is."""
        if life == self.life and self.is_alive:
            self._inbox.append(lambda: happen(*what))
            self._work()

    def offer(self, payment: bytes, cents: int) -> None:
        """A customer's request has arrived."""
        self.cell.offer(self.now, payment, cents)

    def answered(self, number: int, result: Any) -> None:
        """The store's answer has arrived."""
        self.agent.answered(self.now, number, result)

    def ended(self, ticket: int, outcome: Outcome) -> None:
        """A processor's answer has arrived."""
        self.dispatching.ended(self.now, ticket, outcome)

    def _tick(self, life: int) -> None:
        if life != self.life or not self.is_alive:
            return
        self._scheduler.after(self._chance.randint(*TICK_MS), self._tick, life)
        if not self.stands:
            self._inbox.append(self._pass)
            self._work()

    def _pass(self) -> None:
        self.agent.tick(self.now)
        self.dispatching.step(self.now)
        looks, self.dispatching.looks = self.dispatching.looks, []
        for ticket, payment, processor in looks:
            self._around.look(self, ticket, payment, processor)

    def _go_on(self, life: int) -> None:
        if life == self.life and self.is_alive:
            self._work()

    def _work(self) -> None:
        """Does what its hands hold, then what has arrived, unless it stands still."""
        while not self.stands:
            if self._hands:
                if self.stands_next_ms is not None and isinstance(self._hands[0], Request | Say):
                    for_ms, self.stands_next_ms = self.stands_next_ms, None
                    self.stand(for_ms)
                    continue
                self._do(self._hands.popleft())
            elif self._inbox:
                self._inbox.popleft()()
                self._hands.extend(self.cell.actions)
                self.cell.actions.clear()
            else:
                return

    def _do(self, action: Action) -> None:
        is_late, self._late = self._late > 0, max(0, self._late - 1)
        if isinstance(action, Say):
            self._around.say(self, action)
        elif isinstance(action, Request):
            ticket = self.dispatching.sent(self.now, action.id, action.number)
            self._around.request(self, action, ticket)
        elif isinstance(action, AskHealth):
            self._around.ask_health(self, action, is_late)
        elif isinstance(action, HealthTold):
            self.told_health += 1
        elif isinstance(action, Reply):
            self._around.reply(self, action)
