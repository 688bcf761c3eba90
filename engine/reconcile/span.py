"""Stretches of time, sums in them, and their differences. Pure.

A time is the requestedAt of a payment, in ms since 1970 UTC. A stretch has both of its ends. Between two that touch
lies nothing: the last millisecond of one ends just before the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """From ``from_ms`` to ``to_ms``, both included."""

    from_ms: int
    to_ms: int

    @property
    def length_ms(self) -> int:
        """How many milliseconds it has."""
        return self.to_ms - self.from_ms + 1

    def halves(self) -> tuple[Span, Span]:
        """Two that touch; it must have two milliseconds or more."""
        middle = self.from_ms + self.length_ms // 2
        return Span(self.from_ms, middle - 1), Span(middle, self.to_ms)

    def has(self, at_ms: int) -> bool:
        """Whether a time lies in it."""
        return self.from_ms <= at_ms <= self.to_ms

    def windows(self, longest_ms: int) -> Iterator[Span]:
        """Spans that touch, with ends at multiples of ``longest_ms``, so that each is of the same hour and day."""
        at = self.from_ms
        while at <= self.to_ms:
            end = min(at - at % longest_ms + longest_ms - 1, self.to_ms)
            yield Span(at, end)
            at = end + 1


class Difference(NamedTuple):
    """What a processor has, less what we have: payments, and cents."""

    payments: int = 0
    cents: int = 0

    def __bool__(self) -> bool:
        return self.payments != 0 or self.cents != 0

    def plus(self, other: Difference) -> Difference:
        """Both together."""
        return Difference(self.payments + other.payments, self.cents + other.cents)

    def less(self, other: Difference) -> Difference:
        """Without the other one."""
        return Difference(self.payments - other.payments, self.cents - other.cents)


NONE = Difference()


class Known:
    """Differences that are known already, by processor and time: what is asked for is compared without them."""

    def __init__(self) -> None:
        self._all: dict[int, list[tuple[Span, Difference]]] = {}

    def add(self, processor: int, span: Span, difference: Difference) -> None:
        """It counts in every span that has all of ``span``."""
        self._all.setdefault(processor, []).append((span, difference))

    def within(self, processor: int, span: Span) -> Difference:
        """All of them in ``span``, together."""
        total = NONE
        for place, difference in self._all.get(processor, ()):
            if span.has(place.from_ms) and span.has(place.to_ms):
                total = total.plus(difference)
        return total


class Maybe(NamedTuple):
    """A payment that the processor may have, under a time from ``first_ms`` to ``last_ms``: its end is not known."""

    id: bytes
    first_ms: int
    last_ms: int
    cents: int


def explained(difference: Difference, span: Span, maybes: Iterable[Maybe]) -> bool:
    """Whether some of the payments whose end is not known may be the difference: tolerated by their number."""
    amounts = sorted(one.cents for one in maybes if one.first_ms <= span.to_ms and one.last_ms >= span.from_ms)
    count = difference.payments
    if not 0 < count <= len(amounts):
        return False
    return sum(amounts[:count]) <= difference.cents <= sum(amounts[-count:])
