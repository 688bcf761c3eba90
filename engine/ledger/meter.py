"""What the ledger process counts on its page of the metrics."""

from __future__ import annotations

from engine.ledger.rows import Batch
from engine.memory import metrics_layout as layout
from engine.memory.words import Words
from engine.metrics.process import ProcessWords


class Meter:
    """Counts in ``words``, the segment of the metrics; the caller is the writer of the ledger's page."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._process = ProcessWords(words, layout.LEDGER_AT)

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

    def _add(self, at: int, count: int) -> None:
        self._words[layout.LEDGER_AT + at] += count
