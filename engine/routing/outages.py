"""How long a payment has waited by choice. Pure."""

from __future__ import annotations

from collections import deque

from engine.routing.policy import TOTAL_OUTAGES_MAX


class TotalOutages:
    """Remembers the last :data:`TOTAL_OUTAGES_MAX` times in which no processor was healthy: payments that waited then
    had no choice.
    """

    def __init__(self) -> None:
        self._spans: deque[tuple[int, int]] = deque(maxlen=TOTAL_OUTAGES_MAX)  # from when to when
        self._is_now = False
        self._looked_ms = 0

    def looked(self, now_ms: int, is_now: bool) -> None:
        """Notes whether no processor is healthy now; that counts until the next call."""
        if self._is_now:
            spans, from_ms = self._spans, self._looked_ms
            if spans and spans[-1][1] == from_ms:
                from_ms = spans.pop()[0]
            spans.append((from_ms, now_ms))
        self._is_now = is_now
        self._looked_ms = now_ms

    def choice_ms(self, now_ms: int, for_ms: int) -> int:
        """How much of the last ``for_ms`` at least one processor was healthy."""
        since_ms = now_ms - for_ms
        return for_ms - sum(max(0, to_ms - max(from_ms, since_ms)) for from_ms, to_ms in self._spans)
