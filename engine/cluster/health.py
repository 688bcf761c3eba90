"""Which cell asks a processor for its health, for all cells. Pure.

The store grants the question to one cell and writes down when. The cell asks after that, and at once: a grant that it
hears late, because it stood still or the store was slow, is not used, so that no question comes close before the next.
Whoever asks the store for the question sees the newest answer, so that all cells know it.
"""

from __future__ import annotations

from engine.cluster.calls import ANSWER_MS_MAX, Said
from engine.cluster.values import Question

INTERVAL_MS = 5000  # a processor is asked at most once in this time
PAUSE_MS = INTERVAL_MS + ANSWER_MS_MAX  # from one grant to the next: a grant may be used this late
LOOK_MS = 500  # between two times that a cell asks to be the one that asks


class Asking:
    """What one cell knows of the questions. ``processors``: how many there are."""

    def __init__(self, processors: int) -> None:
        self._asked_ms: list[int | None] = [None] * processors  # the last question that the store has told of
        self._next_ms = [0] * processors
        self._answered_ms = [0] * processors

    def due(self, now_ms: int) -> list[int]:
        """The processors for which the store is asked now."""
        due = [processor for processor, next_ms in enumerate(self._next_ms) if now_ms >= next_ms]
        for processor in due:
            self._next_ms[processor] = now_ms + LOOK_MS
        return due

    def is_newer(self, question: Question) -> bool:
        """Whether the store shows an answer that this cell has not been told of. It is, then."""
        is_newer = question.answered_ms > self._answered_ms[question.subject]
        self._answered_ms[question.subject] = max(question.answered_ms, self._answered_ms[question.subject])
        return is_newer

    def is_granted(self, store_ms: int, said: Said, question: Question, epoch: int) -> bool:
        """Whether this cell, in this epoch, asks now. The first answer of all says only what was asked before.

        ``store_ms``: what the store's clock shows now at most. A call that was done late or twice may have been granted
        long ago.
        """
        before_ms = self._asked_ms[question.subject]
        self._asked_ms[question.subject] = question.asked_ms
        is_new = before_ms is not None and before_ms != question.asked_ms and not said.is_repeated
        return is_new and question.asker == epoch and store_ms - question.asked_ms < ANSWER_MS_MAX
