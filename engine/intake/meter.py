"""Counts the answers to ``POST /payments`` that Python gives. The fast path counts its own.

What a ring counts is left to it: accepted payments, and those that were refused because it was full.
"""

from __future__ import annotations

import time
from typing import Final

from engine.intake import problem
from engine.intake.problem import Answer
from engine.memory import metrics_layout as layout
from engine.memory.words import Words
from engine.metrics import times

BEGAN_BITS: Final = 47  # as FAST_PATH_BEGAN_BITS of fast_path.h
BEGAN_MASK: Final = (1 << BEGAN_BITS) - 1

_AT: Final = {refusal.label: refusal.at for refusal in layout.REFUSALS}
_OF_ANSWER: Final = {
    problem.CONFLICT: _AT["conflict"],
    **dict.fromkeys(problem.HAS_FAILED.values(), _AT["failed"]),
    problem.NOT_JSON: _AT["content_type"],
    problem.TOO_LARGE: _AT["too_large"],
    problem.BUSY: _AT["busy"],
    problem.STUCK: _AT["stuck"],
    problem.LOST: _AT["lost"],
    problem.STOPPING: _AT["stopping"],
    problem.BROKEN: _AT["error"],
}


def now_us() -> int:
    """CLOCK_MONOTONIC in microseconds, cut off at the top so that it travels with a request of the fast path."""
    return time.monotonic_ns() // 1000 & BEGAN_MASK


class Meter:
    """Counts on the page of an API process, which begins at ``at`` of ``words``. It is the page's writer."""

    def __init__(self, words: Words, at: int) -> None:
        self._words = words
        self._at = at

    @property
    def times(self) -> Words:
        """Where the fast path counts how long accepting takes."""
        begin = self._at + layout.API_ACCEPTING
        return self._words[begin : begin + layout.TIMES_WORDS]

    def duplicate(self) -> None:
        """A payment has come again."""
        self._words[self._at + layout.API_DUPLICATES] += 1

    def answered(self, answer: Answer, began_us: int) -> None:
        """``answer`` was handed over to a request that began then (:func:`now_us`)."""
        if answer is problem.ACCEPTED:
            times.note(self._words, self._at + layout.API_ACCEPTING, now_us() - began_us & BEGAN_MASK)
            return
        at = _OF_ANSWER.get(answer)
        if at is None and answer.status == problem.STATUS_LINES[400]:  # each names its field
            at = _AT["invalid"]
        if at is not None:
            self._words[self._at + at] += 1
