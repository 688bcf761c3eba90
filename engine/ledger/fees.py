"""Which fee was valid when. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

from engine.ledger.rows import FeeRow


class Fees:
    """The fees of all processors, in millionths of an amount, each from a time on (ms since 1970 UTC)."""

    def __init__(self, rows: Iterable[FeeRow] = ()) -> None:
        self._known: dict[int, list[tuple[int, int]]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: FeeRow) -> None:
        """From its time on this fee is valid."""
        insort(self._known.setdefault(row.processor, []), (row.valid_from_ms, row.ppm))

    def at(self, processor: int, at_ms: int) -> int | None:
        """The fee at a time: before the first one that is known, that one; None when none is known."""
        known = self._known.get(processor)
        if not known:
            return None
        if len(known) == 1:  # nearly always, and this is asked for every payment
            return known[0][1]
        return known[max(bisect_right(known, at_ms, key=lambda one: one[0]) - 1, 0)][1]

    def cheapest(self, at_ms: int) -> int | None:
        """The lowest fee at a time; None when none is known."""
        fees = (self.at(processor, at_ms) for processor in self._known)
        return min((ppm for ppm in fees if ppm is not None), default=None)

    def changes(self, from_ms: int, to_ms: int) -> list[int]:
        """When the lowest fee changes, from ``from_ms`` to ``to_ms``, the end excluded; in order."""
        times = sorted({at_ms for known in self._known.values() for at_ms, _ in known if from_ms <= at_ms < to_ms})
        return [at_ms for at_ms in times if self.cheapest(at_ms) != self.cheapest(at_ms - 1)]
