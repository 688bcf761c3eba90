"""How fast to pay. Pure: the time is handed in."""

from __future__ import annotations

HORIZON_S = 2.0
CATCH_UP_S = 0.01


def rate_per_s(pending: int, backlog_max: int, rate_max_per_s: float) -> float:
    """Payments a second that keep the backlog below ``backlog_max`` whatever the engine settles.

    The room that is left is filled within :data:`HORIZON_S`. So if this is asked more often than that, the backlog
    stays below ``backlog_max``, no payment is refused for lack of room, and the rate comes to rest at what is settled.
    """
    return min(max(backlog_max - pending, 0) / HORIZON_S, rate_max_per_s)


class Pace:
    """How many payments may be begun now, at a rate that may change at any time.

    What could not be begun in time is made up for, but never more than that of :data:`CATCH_UP_S`: a payer that was
    held up does not pay a burst afterwards.
    """

    def __init__(self, now_s: float) -> None:
        self._rate_per_s = 0.0
        self._allowed = 0.0
        self._at_s = now_s

    def set(self, rate_per_s: float, now_s: float) -> None:
        """From now on ``rate_per_s``."""
        self._pass(now_s)
        self._rate_per_s = rate_per_s

    def take(self, wanted: int, now_s: float) -> int:
        """How many of ``wanted`` payments may be begun; they count as begun."""
        self._pass(now_s)
        taken = min(int(self._allowed), wanted)
        self._allowed -= taken
        return taken

    def wait_s(self) -> float:
        """How long after the last call the next payment is due; infinite while the rate is 0."""
        if self._allowed >= 1:
            return 0.0
        return (1 - self._allowed) / self._rate_per_s if self._rate_per_s else float("inf")

    def _pass(self, now_s: float) -> None:
        most = max(1.0, self._rate_per_s * CATCH_UP_S)
        self._allowed = min(self._allowed + (now_s - self._at_s) * self._rate_per_s, most)
        self._at_s = now_s
