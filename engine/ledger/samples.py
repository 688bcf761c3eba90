"""One row for each second: what was accepted and settled in it, and how long both took. Pure.

How long accepting took is known from what the API processes count in buckets: a percentile is the bound of its bucket,
an eighth of an octave wide. How long settling took is known of every payment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.ledger.rows import PaymentRow, SampleRow
from engine.memory import layout
from engine.metrics.times import percentile_us

SECOND_MS = 1000


class Samples:
    """Looks at counters, and makes a row when a second is over."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._begin = (0, 0)  # accepted and settled when it began
        self._last = (0, 0)
        self._took_ms: list[int] = []
        self._accepting_begin: Sequence[int] = ()  # as ``accepting`` of the looks, when the second began
        self._accepting_last: Sequence[int] = ()

    def look(
        self,
        now_ms: int,
        accepted: int,
        settled: int,
        waiting: int,
        rows: Iterable[PaymentRow],
        accepting: Sequence[int] | None = None,
    ) -> tuple[SampleRow, ...]:
        """The row of the second that has ended, if one has.

        ``accepted``, ``settled``: all so far; ``waiting``: open now; ``rows``: payments that have changed since the
        last look; ``accepting``: the buckets of all that was accepted so far; None: they are not counted.
        """
        made, second = list[SampleRow](), now_ms // SECOND_MS
        accepting = accepting or ()
        if self._second is None or second < self._second or settled < self._last[1]:  # a purge begins at 0 again
            self._second, self._begin, self._accepting_begin = second, (accepted, settled), accepting
            self._took_ms.clear()
        elif second > self._second:
            took_us = sorted(ms * 1000 for ms in self._took_ms)
            accept_us = _counted_since(self._accepting_begin, self._accepting_last)
            made.append(
                SampleRow(
                    self._second * SECOND_MS,
                    1,
                    self._last[0] - self._begin[0],
                    self._last[1] - self._begin[1],
                    percentile_us(accept_us, 50),
                    percentile_us(accept_us, 99),
                    _percentile(took_us, 50),
                    _percentile(took_us, 99),
                    waiting,
                )
            )
            self._second, self._begin, self._accepting_begin = second, self._last, self._accepting_last
            self._took_ms.clear()
        self._last, self._accepting_last = (accepted, settled), accepting
        self._took_ms += [
            row.settled_ms - row.accepted_ms
            for row in rows
            if row.state == layout.COMPLETED and row.settled_ms is not None
        ]
        return tuple(made)


def _counted_since(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """What was counted between two looks, by bucket. Counts that were made anew meanwhile begin at 0."""
    counted = [new - old for old, new in zip(before, after, strict=False)]
    return counted if min(counted, default=0) >= 0 else []


def _percentile(ordered: list[int], percent: int) -> int | None:
    """The smallest value that at least ``percent`` of 100 are not above; None of nothing."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
