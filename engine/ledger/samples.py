"""One row for each second: what was accepted and settled in it, and how long both took. Pure.

How long accepting took is known from what the API processes count in buckets: a percentile is the bound of its bucket,
an eighth of an octave wide. How long settling took is known of every payment, once its row is carried: counters are
looked at each second, and payments in turn with several seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.ledger.rows import PaymentRow, SampleRow
from engine.memory import layout
from engine.metrics.times import percentile_us

SECOND_MS = 1000


class Samples:
    """Looks at counters, and makes rows of the seconds that are over."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._begin = (0, 0)  # accepted and settled when it began
        self._last = (0, 0)
        self._done = 0  # of those accepted, not settled and not waiting: given up, parked, of an earlier life
        self._ended: list[SampleRow] = []  # seconds that are over, without how long settling took
        self._took_ms: dict[int, list[int]] = {}  # by the second in which payments were settled
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
        """The rows of the seconds that have ended.

        ``accepted``, ``settled``: all so far; ``waiting``: open now; ``rows``: payments that have changed since the
        last look; ``accepting``: the buckets of all that was accepted so far; None: they are not counted.
        """
        self._done = accepted - settled - waiting
        self.count(now_ms, accepted, settled, accepting)
        for row in rows:
            if row.state == layout.COMPLETED and row.settled_ms is not None:
                took_ms = row.settled_ms - row.accepted_ms
                self._took_ms.setdefault(row.settled_ms // SECOND_MS, []).append(took_ms)
        made = tuple(self._with_settling(row) for row in self._ended)
        self._ended.clear()
        present = now_ms // SECOND_MS
        self._took_ms = {second: took_ms for second, took_ms in self._took_ms.items() if second >= present}
        return made

    def count(self, now_ms: int, accepted: int, settled: int, accepting: Sequence[int] | None = None) -> None:
        """Looks at the counters only; parameters as of :meth:`look`, which makes the rows."""
        second, accepting = now_ms // SECOND_MS, accepting or ()
        if self._second is None or second < self._second or settled < self._last[1]:  # a purge begins at 0 again
            self._second, self._begin, self._accepting_begin = second, (accepted, settled), accepting
            self._took_ms.clear()
        elif second > self._second:
            accept_us = _counted_since(self._accepting_begin, self._accepting_last)
            self._ended.append(
                SampleRow(
                    self._second * SECOND_MS,
                    1,
                    self._last[0] - self._begin[0],
                    self._last[1] - self._begin[1],
                    percentile_us(accept_us, 50),
                    percentile_us(accept_us, 99),
                    None,
                    None,
                    max(0, accepted - settled - self._done),
                )
            )
            self._second, self._begin, self._accepting_begin = second, self._last, self._accepting_last
        self._last, self._accepting_last = (accepted, settled), accepting

    def _with_settling(self, row: SampleRow) -> SampleRow:
        took_us = sorted(1000 * ms for ms in self._took_ms.get(row.at_ms // SECOND_MS, ()))
        return row._replace(settle_p50_us=_percentile(took_us, 50), settle_p99_us=_percentile(took_us, 99))


def _counted_since(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """What was counted between two looks, by bucket. Counts that were made anew meanwhile begin at 0."""
    counted = [new - old for old, new in zip(before, after, strict=False)]
    return counted if min(counted, default=0) >= 0 else []


def _percentile(ordered: list[int], percent: int) -> int | None:
    """The smallest value that at least ``percent`` of 100 are not above; None of nothing."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
