"""One row for each second: what was accepted and settled in it, and how long settling took. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from engine.ledger.rows import PaymentRow, SampleRow
from engine.memory import layout

SECOND_MS = 1000


class Samples:
    """Looks at counters, and makes a row when a second is over."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._begin = (0, 0)  # accepted and settled when it began
        self._last = (0, 0)
        self._took_ms: list[int] = []

    def look(
        self, now_ms: int, accepted: int, settled: int, waiting: int, rows: Iterable[PaymentRow]
    ) -> tuple[SampleRow, ...]:
        """The row of the second that has ended, if one has.

        ``accepted``, ``settled``: all so far; ``waiting``: open now; ``rows``: payments that have changed since the
        last look.
        """
        made, second = list[SampleRow](), now_ms // SECOND_MS
        if self._second is None or second < self._second or settled < self._last[1]:  # a purge begins at 0 again
            self._second, self._begin = second, (accepted, settled)
            self._took_ms.clear()
        elif second > self._second:
            took_us = sorted(ms * 1000 for ms in self._took_ms)
            made.append(
                SampleRow(
                    self._second * SECOND_MS,
                    1,
                    self._last[0] - self._begin[0],
                    self._last[1] - self._begin[1],
                    None,
                    None,
                    _percentile(took_us, 50),
                    _percentile(took_us, 99),
                    waiting,
                )
            )
            self._second, self._begin = second, self._last
            self._took_ms.clear()
        self._last = accepted, settled
        self._took_ms += [
            row.settled_ms - row.accepted_ms
            for row in rows
            if row.state == layout.COMPLETED and row.settled_ms is not None
        ]
        return tuple(made)


def _percentile(ordered: list[int], percent: int) -> int | None:
    """The smallest value that at least ``percent`` of 100 are not above; None of nothing."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
