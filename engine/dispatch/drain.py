"""The dispatcher's last seconds: it was asked to stop, and settles what it can in the time left. Pure."""

from __future__ import annotations

ANSWERS_MS = 1000  # after the drain time, requests in flight may still be answered for this long


class Drain:
    """Times are the engine's clock in ms; ``drain_ms``: how long it may take."""

    def __init__(self, drain_ms: int) -> None:
        self._drain_ms = drain_ms
        self.is_asked = False  # whether it was asked to stop
        self._asked_ms = 0
        self._is_whole = False

    def ask(self, now_ms: int) -> None:
        """Asks to stop. Only the first call counts."""
        if not self.is_asked:
            self.is_asked, self._asked_ms = True, now_ms

    def ask_whole(self, now_ms: int, least_ms: int) -> None:
        """Asks to stop, but only when all of the time is over, and ``least_ms`` at the earliest. It goes on even if
        nothing is left, because more may come.
        """
        self._drain_ms = max(self._drain_ms, least_ms)
        self._is_whole = True
        self.ask(now_ms)

    def is_late(self, now_ms: int) -> bool:
        """Whether the drain time is over: nothing is begun any more."""
        return self.is_asked and now_ms - self._asked_ms >= self._drain_ms

    def is_over(self, now_ms: int, in_flight: int, has_work: bool) -> bool:
        """Whether to stop now: all is settled, or the drain time is over, and so is the time for the last answers.

        Parameters:
          in_flight: attempts begun and not ended; has_work: whether any payment is neither done nor a dead letter.
        """
        if not self.is_asked:
            return False
        if self.is_late(now_ms):
            return not in_flight or now_ms - self._asked_ms - self._drain_ms >= ANSWERS_MS
        return not has_work and not self._is_whole
