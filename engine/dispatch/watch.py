"""Compares the wall clock with the engine's: if a moment occurs twice, a processor's record of it is doubtful.

A record counts as ours by its time. When the wall clock is set back, an older record may have a time between those of
our own requests. So the books keep each span of time that the wall clock has shown twice. A dispatcher that starts
reads in the heartbeat what both clocks showed last.
"""

from __future__ import annotations

from engine.books.writer import BooksWriter
from engine.dispatch.attempt import Now
from engine.memory import layout
from engine.memory.status import StatusBlock

NOISE_MS = 2  # the two clocks are read one after the other, and rounded


class ClockWatch:
    """Keeps the spans in ``books``, and shows both clocks in ``status``.

    ``spans``: the spans that are remembered, as (from, to) of the wall clock in ms.
    """

    def __init__(self, books: BooksWriter, status: StatusBlock) -> None:
        self._books = books
        self._status = status
        self._ahead_ms: int | None = None  # the wall clock minus the engine's
        self._now: Now | None = None  # the moment that was looked at last
        self.spans: list[tuple[int, int]] = []

    def recover(self) -> None:
        """Takes up what the books hold."""
        value = self._books.value
        pairs = [(value(at), value(at + 1)) for at in _places()]
        self.spans = [pair for pair in pairs if pair[1]]
        heartbeat_ms = self._status.heartbeat_ms
        if heartbeat_ms:
            self._ahead_ms = heartbeat_ms - self._status.clock_ms

    def look(self, now: Now) -> None:
        """Compares both clocks, and shows them. Must not be called within a transaction of the books."""
        if now is self._now:  # a pass does this before its transactions, and before what it begins
            return
        self._now = now
        ahead_ms = now.wall_ms - now.mono_ms
        if self._ahead_ms is not None and ahead_ms < self._ahead_ms - NOISE_MS:
            self._keep(now, (now.wall_ms, now.mono_ms + self._ahead_ms))
        self._ahead_ms = ahead_ms
        # A kill between the two stores leaves a span that is too long. That is the safe side: too many records are
        # doubted, not too few.
        self._status.heartbeat_ms = now.wall_ms
        self._status.clock_ms = now.mono_ms

    def _keep(self, now: Now, span: tuple[int, int]) -> None:
        """Keeps a span, joined with those that it touches. If there is no place left, the oldest span is forgotten."""
        apart = [other for other in self.spans if other[1] < span[0] or span[1] < other[0]]
        joined = [span, *(other for other in self.spans if other not in apart)]
        span = min(from_ms for from_ms, _ in joined), max(to_ms for _, to_ms in joined)
        places = list(_places())
        self.spans = [*sorted(apart, key=lambda other: other[1])[-len(places) + 1 :], span]
        self._books.begin(now.wall_ms)
        free = [(0, 0)] * (len(places) - len(self.spans))
        for at, (from_ms, to_ms) in zip(places, [*self.spans, *free], strict=True):
            self._books.put(0, at, from_ms)
            self._books.put(0, at + 1, to_ms)
        self._books.commit()


def _places() -> range:
    return range(layout.BOOKS_SET_BACK_AT, layout.BOOKS_SET_BACK_AT + 2 * layout.SET_BACKS_MAX, 2)
