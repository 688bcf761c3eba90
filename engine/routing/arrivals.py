"""For how long payments have been coming, and whether they have stopped. Pure.

When payments that came all the time come no more, the shop has closed or the contest is over, and nobody knows how much
time is left to settle what waits. How long a pause has to be for that is learnt from the pauses that there were.
"""

from __future__ import annotations

STOPPED_MS = 100  # a shorter pause says nothing: it may be the grain of our own passes
STOPPED_PAUSES = 3  # nor does one that is shorter than so many of the longest that there was ...
WINDOW_MS = 5_000  # ... in this window or in the one before it


class Arrivals:
    """Learns from how many payments have been accepted, as far as that is known."""

    def __init__(self) -> None:
        self._count = 0
        self._first_ms = 0
        self._last_ms = 0
        self._window_ms = 0  # when the window began
        self._longest_ms = 0  # pause in it
        self._longest_before_ms: int | None = None  # in the one before it; None: there was none

    def counted(self, now_ms: int, count: int) -> None:
        """So many have been accepted by now. Fewer than before: some are not known any more, or all forgotten."""
        if count > self._count:
            if not self._count:
                self._first_ms = self._last_ms = self._window_ms = now_ms
                self._longest_ms, self._longest_before_ms = 0, None
            self._longest_ms = max(self._longest_ms, now_ms - self._last_ms)
            self._last_ms = now_ms
            if now_ms - self._window_ms >= WINDOW_MS:
                self._longest_before_ms, self._longest_ms, self._window_ms = self._longest_ms, 0, now_ms
        self._count = count

    def since_ms(self, now_ms: int) -> int:
        """For how long payments have been coming; 0 before the first."""
        return now_ms - self._first_ms if self._count else 0

    def have_stopped(self, now_ms: int) -> bool:
        """Whether they would have come by now if they still came. Never before a window was seen."""
        if self._longest_before_ms is None:
            return False
        pause_ms = STOPPED_PAUSES * max(self._longest_ms, self._longest_before_ms)
        return now_ms - self._last_ms > max(STOPPED_MS, pause_ms)
