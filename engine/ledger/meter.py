"""What the ledger process counts on its page of the metrics."""

from __future__ import annotations

import time

from engine.ledger.rows import Batch
from engine.memory import metrics_layout as layout
from engine.memory.words import Words
from engine.metrics.process import ProcessWords


def boot_ms() -> int:
    """CLOCK_BOOTTIME in ms."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Meter:
    """Counts in ``words``, the segment of the metrics; the caller is the writer of the ledger's page."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._process = ProcessWords(words, layout.LEDGER_AT)
        words[layout.LEDGER_AT + layout.LEDGER_REACHED_MS] = 0

    def show(self) -> None:
        """What the process uses: called once a second."""
        self._process.show()

    def carried(self, batch: Batch, rejected: int) -> None:
        """SQL has taken ``batch``; ``rejected`` of its rows were set apart."""
        self._add(layout.LEDGER_PAYMENTS, len(batch.payments))
        self._add(layout.LEDGER_ATTEMPTS, len(batch.attempts))
        self._add(layout.LEDGER_GAPS, len(batch.gaps))
        self._add(layout.LEDGER_MISSING, sum(gap.missing for gap in batch.gaps))
        self._add(layout.LEDGER_REJECTED, rejected)

    def reached(self, looked_ms: int) -> None:
        """SQL has all that happened before ``looked_ms`` (CLOCK_BOOTTIME)."""
        self._words[layout.LEDGER_AT + layout.LEDGER_REACHED_MS] = looked_ms

    def _add(self, at: int, count: int) -> None:
        self._words[layout.LEDGER_AT + at] += count
