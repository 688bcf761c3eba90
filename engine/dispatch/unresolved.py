"""Payments whose outcome at a processor is unknown. They belong to it until it has answered. Pure.

Each waits for its next request or lookup, ever longer. Those of one processor are in the order in which they are due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from engine.dispatch import life
from engine.dispatch.due import Due
from engine.dispatch.life import Course
from engine.memory import layout


@dataclass(slots=True)
class Unresolved:
    """One unresolved payment; ``ring`` may be the parking table's. :class:`engine.dispatch.life.Course` has the rest.

    ``tries``: unknown outcomes of requests with this body; ``cents``: its amount; ``asked``: lookups of a dead letter;
    ``out``: the ticket of its own request or lookup that is under way, 0 while it waits for the next.
    """

    key: int
    ring: int
    position: int
    processor: int
    clock_ms: int  # when it was accepted
    tries: int
    cents: int
    is_told: bool = False
    is_doubted: bool = True
    absent: int = 0
    silent: int = 0
    asked: int = 0
    reason: int = layout.REASON_NONE
    out: int = 0
    is_over: bool = False

    @property
    def course(self) -> Course:
        """What has happened so far, for the rules."""
        return Course(self.is_told, self.is_doubted, self.absent, self.silent, self.reason)

    @property
    def is_dead(self) -> bool:
        """Whether it is a dead letter."""
        return self.reason != layout.REASON_NONE

    @property
    def looks_up(self) -> bool:
        """Whether its next step is a lookup, and not the same request again."""
        return self.is_told or self.is_dead

    def wait_ms(self, now_ms: int) -> int:
        """How long it waits for its next step."""
        if self.is_dead:
            return life.dead_wait_ms(self.asked + 1)
        tries = self.absent + self.silent + 1 if self.is_told else self.tries
        return life.resend_wait_ms(tries, now_ms - self.clock_ms)


class UnresolvedPayments:
    """All unresolved payments of one processor.

    ``requests``: those that wait to send the same request again. ``lookups``: those that wait for a lookup, which needs
    no room at the processor and does not wait behind the requests. The caller that takes one sets its ``out``.
    """

    def __init__(self) -> None:
        self._by_key: dict[int, Unresolved] = {}
        self.requests = Due[Unresolved]()
        self.lookups = Due[Unresolved]()
        self._dead = 0
        self.cents = 0  # of all of them

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Unresolved]:
        return iter(self._by_key.values())

    @property
    def open(self) -> int:
        """How many of them are not dead letters."""
        return len(self._by_key) - self._dead

    def oldest_ms(self, looks_max: int) -> int | None:
        """When the oldest of them was accepted (engine's clock); None without one.

        ``looks_max``: at so many it looks, those that became unresolved first.
        """
        return min((one.clock_ms for one in islice(self._by_key.values(), looks_max)), default=None)

    def get(self, key: int) -> Unresolved | None:
        """The one with this correlationId."""
        return self._by_key.get(key)

    def add(self, one: Unresolved) -> None:
        """Adds one; it waits for nothing yet."""
        assert one.key not in self._by_key
        self._by_key[one.key] = one
        self._dead += one.is_dead
        self.cents += one.cents

    def wait(self, one: Unresolved, due_ms: int) -> None:
        """``one`` waits until ``due_ms`` for its next request or lookup."""
        one.out = 0
        (self.lookups if one.looks_up else self.requests).wait(one, due_ms)

    def bury(self, one: Unresolved, reason: int) -> None:
        """Makes ``one`` a dead letter."""
        assert not one.is_dead
        one.reason = reason
        self._dead += 1

    def renew(self, one: Unresolved) -> Unresolved:
        """The same payment, which waits for nothing any more."""
        self.remove(one)
        renewed = replace(one, is_over=False)
        self.add(renewed)
        return renewed

    def remove(self, one: Unresolved) -> None:
        """``one`` is over."""
        del self._by_key[one.key]
        one.is_over = True
        self._dead -= one.is_dead
        self.cents -= one.cents

    def clear(self) -> None:
        """Forgets all."""
        self._by_key.clear()
        self.requests.clear()
        self.lookups.clear()
        self._dead = self.cents = 0
