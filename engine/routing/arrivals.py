"""For how long payments have been coming, and whether they have stopped. Pure.

When payments stop coming, the shop has closed or the contest is over. It is then unknown how much time is left to
settle the payments that wait. Not every pause is such a stop. This module learns how long a pause must be from the
pauses before it, and from the number of payments that would have come in it at the usual rate. If many are missing,
payments have stopped. If few are missing, payments may only come more slowly than before.
"""

from __future__ import annotations

from engine.routing.policy import STOPPED_LONG_MS, STOPPED_MISSING, STOPPED_MS, STOPPED_PAUSES, STOPPED_WINDOW_MS


class Arrivals:
    """Learns from how many payments have been accepted, as far as that is known."""

    def __init__(self) -> None:
        self._count = 0
        self._first_ms = 0
        self._last_ms = 0
        self._window_ms = 0  # when the window began
        self._longest_ms = 0  # the longest pause in it
        self._longest_before_ms: int | None = None  # the longest pause in the window before; None: there was no window
        self._second_ms = 0  # when the second began ...
        self._second_count = 0  # ... and how many there had been by then
        self._rate = 0  # payments in the last whole second

    def counted(self, now_ms: int, count: int) -> None:
        """``count`` payments have been accepted by now. It may fall: some payments, or all, have been forgotten."""
        if count > self._count:
            if not self._count:
                self._first_ms = self._last_ms = self._window_ms = self._second_ms = now_ms
                self._longest_ms, self._longest_before_ms, self._second_count = 0, None, count
            self._longest_ms = max(self._longest_ms, now_ms - self._last_ms)
            self._last_ms = now_ms
            if now_ms - self._window_ms >= STOPPED_WINDOW_MS:
                self._longest_before_ms, self._longest_ms, self._window_ms = self._longest_ms, 0, now_ms
            second_ms = now_ms - self._second_ms
            if second_ms >= 1000:
                self._rate = (count - self._second_count) * 1000 // second_ms
                self._second_ms, self._second_count = now_ms, count
        self._count = count

    def since_ms(self, now_ms: int) -> int:
        """For how long payments have been coming; 0 before the first."""
        return now_ms - self._first_ms if self._count else 0

    def have_stopped(self, now_ms: int) -> bool:
        """Whether payments have stopped coming. Always False before a whole window was seen."""
        if self._longest_before_ms is None:
            return False
        # Sending too early costs a fee. Sending too late costs all payments that wait. So a pause that is only a little
        # longer than every pause before is enough.
        pauses_ms = STOPPED_PAUSES * max(self._longest_ms, self._longest_before_ms)
        missing_ms = min(STOPPED_MISSING * 1000 // max(self._rate, 1), STOPPED_LONG_MS)
        return now_ms - self._last_ms > max(STOPPED_MS, pauses_ms, missing_ms)
