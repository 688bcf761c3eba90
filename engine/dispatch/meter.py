"""Counts what ends, and how long it took, for the dispatcher's page of the metrics.

A payment is nearly always settled by its own request. For that to cost a payment a hundredth of its instructions at
most, it is only kept in a list then. Once a second, before a sleep, and when KEPT_MAX are kept, the durations of all of
them are sorted, and each bucket is found once. So a kill loses the counts of the last second, and nothing else: the
money is in the books.

A payment that a lookup settles has only the time from its acceptance to its end, for nobody knows when its processor
has charged it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from engine.connectors.answers import Verdict
from engine.dispatch.attempt import Attempt, Now
from engine.memory import metrics_layout as layout
from engine.memory.words import WORD_MAX, Words
from engine.metrics import times

KEPT_MAX: Final = 1024  # requests of one processor, a few hundred bytes each

# The least duration that is above each bucket but the last, in us and in whole ms: several are 1 ms.
_BOUNDS_US: Final = [times.bound_us(index) for index in range(layout.TIMES_BUCKETS - 1)]
_BOUNDS_MS: Final = [-(-bound_us // 1000) for bound_us in _BOUNDS_US]

assert [verdict.name.lower() for verdict in Verdict] == [*layout.VERDICTS]


class Meter:
    """Counts in the words of the processors on the dispatcher's page, whose one writer is the caller.

    ``charged``: for each processor, the requests that have settled their payments since the last :meth:`store`. Whoever
    settles a payment appends to it.

    Parameters:
      words: the segment of the metrics.
      processors: how many there are.
    """

    def __init__(self, words: Words, processors: int) -> None:
        self._words = words
        self.charged: list[list[Attempt]] = [[] for _ in range(processors)]
        # Of each pass in which some of them ended: when, and for each processor how many there were then.
        self._passes: list[tuple[int, list[int]]] = []

    def passed(self, now: Now) -> None:
        """The requests that were appended since the last call have ended in a pass that began ``now``."""
        kept = list(map(len, self.charged))
        self._passes.append((now.mono_ms, kept))
        if max(kept) >= KEPT_MAX:
            self.store()

    def other(self, attempt: Attempt, verdict: Verdict) -> None:
        """A lookup has ended, or a request that was not charged."""
        kind = layout.LOOKUPS if attempt.lookup else layout.REQUESTS
        self._words[self._at(attempt.processor) + kind + verdict] += 1
        if not attempt.lookup:
            times.note(self._words, self._at(attempt.processor) + layout.ANSWERED, attempt.took_us)

    def settled(self, now: Now, processor: int, accepted_ms: int) -> None:
        """A payment was settled by a lookup; ``accepted_ms``: when it was accepted (engine's clock)."""
        times.note(self._words, self._at(processor) + layout.SETTLED, max(0, now.mono_ms - accepted_ms) * 1000)

    def store(self) -> None:
        """Counts on the page what was kept."""
        for processor, charged in enumerate(self.charged):
            if not charged:
                continue
            at, begin = self._at(processor), 0
            settled_ms: list[int] = []
            for end_ms, kept in self._passes:
                settled_ms += [end_ms - one.accepted_ms for one in charged[begin : kept[processor]]]
                begin = kept[processor]
            assert begin == len(charged), "passed() was not called"
            self._words[at + layout.REQUESTS + Verdict.CHARGED] += len(charged)
            self._count(at + layout.WAITED, [one.began_ms - one.accepted_ms for one in charged], _BOUNDS_MS, 1000)
            self._count(at + layout.ANSWERED, [one.took_us for one in charged], _BOUNDS_US, 1)
            self._count(at + layout.SETTLED, settled_ms, _BOUNDS_MS, 1000)
            charged.clear()
        self._passes.clear()

    def _count(self, at: int, durations: list[int], bounds: Sequence[int], unit_us: int) -> None:
        """Counts ``durations``, of ``unit_us`` each like ``bounds``, in the times at ``at``."""
        words, begin = self._words, 0
        durations.sort()
        while begin < len(durations):
            index = bisect_right(bounds, durations[begin])
            end = bisect_left(durations, bounds[index], begin) if index < len(bounds) else len(durations)
            words[at + index] += end - begin
            begin = end
        # A payment that came while the pass was under way that has sent it was accepted after the pass began.
        total = sum(durations) - sum(durations[: bisect_left(durations, 0)])
        words[at + layout.TIMES_SUM] = words[at + layout.TIMES_SUM] + total * unit_us & WORD_MAX

    @staticmethod
    def _at(processor: int) -> int:
        return layout.DISPATCHER_AT + layout.DISPATCHER_PROCESSORS + processor * layout.OF_PROCESSOR_WORDS
