"""Payments that are certainly not charged and have a back-off of their own. Pure.

A payment comes here when it cannot simply wait in the queue. Processors refuse the payment itself, or it fails again
and again while others are settled, or its id may have been charged in an earlier life and must be looked up first. In
each round it goes where it was refused least, and where the failure rate explains its failures. Other payments do not
wait behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engine.dispatch import life
from engine.dispatch.due import Due

REFUSALS_COUNTED_MAX = 0xF  # of one payment by one processor: its parking place has this much room for the count


@dataclass(slots=True)
class Delayed:
    """One delayed payment; ``ring`` may be the parking table's. Lists have an entry for each processor.

    ``refusals``, ``counted``: see :func:`engine.dispatch.life.is_refused_for_good`. ``failures``: in a row.
    ``charged``: how many payments the processor had charged when it last refused or failed this one. ``ask``:
    processors where it must be looked up before it is sent; ``asked``: how many of these lookups are under way.
    ``is_own``: the payment itself causes the trouble, so it gives its slot back. ``is_out``: its request is under way.
    """

    key: int
    ring: int
    position: int
    clock_ms: int  # when it was accepted
    refusals: list[int]
    counted: list[int]
    failures: list[int]
    charged: list[int]
    ask: set[int] = field(default_factory=set)
    asked: int = 0
    rounds: int = 0
    is_out: bool = False
    is_own: bool = False
    is_over: bool = False

    @classmethod
    def make(cls, key: int, ring: int, position: int, clock_ms: int, refused: int, processors: int) -> Delayed:
        """A new one; ``refused``: its word PARKED_REFUSALS; ``processors``: how many processors there are."""
        shares = [refused >> 8 * processor & 0xFF for processor in range(processors)]
        refusals, counted = [share & 0xF for share in shares], [share >> 4 for share in shares]
        return cls(key, ring, position, clock_ms, refusals, counted, [0] * len(shares), [0] * len(shares))

    @property
    def refused(self) -> int:
        """The word PARKED_REFUSALS."""
        return sum(
            (self.refusals[processor] | self.counted[processor] << 4) << 8 * processor
            for processor in range(len(self.refusals))
        )

    def refuse(self, processor: int, charged: int) -> None:
        """``processor`` refuses it, and has charged ``charged`` payments by now."""
        is_counted = not self.refusals[processor] or charged > self.charged[processor]
        self.refusals[processor] = min(self.refusals[processor] + 1, REFUSALS_COUNTED_MAX)
        self.counted[processor] = min(self.counted[processor] + is_counted, REFUSALS_COUNTED_MAX)
        self.charged[processor] = charged
        self.is_own = True

    def is_turned(self, processor: int) -> bool:
        """Whether it is sent to another processor at once after a refusal by ``processor``. That is done once in a
        round. Otherwise, while the other processor takes nothing, it would be sent to this one again and again.
        """
        ahead = self.refusals[processor] - min(self.refusals)
        return ahead == 1 and self.refusals[processor] < REFUSALS_COUNTED_MAX

    def fail(self, processor: int, charged: int) -> bool:
        """``processor`` fails it. Returns whether other payments were charged there since it last failed this one."""
        others = self.failures[processor] > 0 and charged > self.charged[processor]
        self.failures[processor] += 1
        self.charged[processor] = charged
        return others

    def choose(self, costs_ppm: Sequence[int], failures_ppm: Sequence[int]) -> list[int]:
        """The processors in the order in which to try them. The first is the one that has turned it away least: by
        refusals, and by failures that the processor's failure rate does not explain.
        """

        def turned_away(processor: int) -> int:
            failures = self.failures[processor]
            is_own = not life.is_explained(failures, failures_ppm[processor])
            return self.refusals[processor] + (failures if is_own else 0)

        return sorted(range(len(self.refusals)), key=lambda processor: (turned_away(processor), costs_ppm[processor]))


class DelayedPayments:
    """All delayed payments; ``due``: those that wait."""

    def __init__(self) -> None:
        self._by_key: dict[int, Delayed] = {}
        self.due = Due[Delayed]()

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Delayed]:
        return iter(self._by_key.values())

    def get(self, key: int) -> Delayed | None:
        """The one with this correlationId."""
        return self._by_key.get(key)

    def wait(self, one: Delayed, due_ms: int) -> None:
        """``one``, new or back from a request, waits until ``due_ms``."""
        self._by_key[one.key] = one
        one.is_out = False
        self.due.wait(one, due_ms)

    def remove(self, one: Delayed) -> None:
        """``one`` is over, or its outcome is unknown."""
        del self._by_key[one.key]
        one.is_over = True

    def clear(self) -> None:
        """Forgets all."""
        self._by_key.clear()
        self.due.clear()
