"""How long payments wait for a cheaper processor. Pure."""

from __future__ import annotations

from engine.routing.observed import ObservedProcessor
from engine.routing.outages import TotalOutages
from engine.routing.plan import Queue
from engine.routing.policy import WAIT_MAX_TENTHS
from engine.setting_groups import RoutingSettings

FOR_EVER_MS = 1 << 40


class Patience:
    """What a wait costs, and when it has been long enough. Only time with a healthy processor counts."""

    def __init__(self, limits: RoutingSettings, outages: TotalOutages) -> None:
        self._wait_cost_ppm = limits.wait_cost_ppm
        self._outages = outages
        # A payment that has waited this long is sent now, while it can still be settled within the bound.
        self.bound_ms = limits.wait_max_ms * WAIT_MAX_TENTHS // 10

    def waited_ms(self, now_ms: int, for_ms: int) -> int:
        """How much of a wait of ``for_ms`` was by choice."""
        return self._outages.choice_ms(now_ms, for_ms)

    def waited(self, now_ms: int, queue: Queue) -> Queue:
        """The same queue, with ages that count only waits by choice."""
        return queue._replace(
            oldest_ms=self.waited_ms(now_ms, queue.oldest_ms), newest_ms=self.waited_ms(now_ms, queue.newest_ms)
        )

    def is_over(self, waited_ms: int) -> bool:
        """Whether a payment has waited enough."""
        return waited_ms >= self.bound_ms

    def is_last_try(self, observed: ObservedProcessor, waited_ms: int) -> bool:
        """Whether a payment that has waited ``waited_ms`` will have waited enough if a try at ``observed`` fails."""
        return self.is_over(waited_ms + observed.failing_ms)

    def is_hoped_for(self, now_ms: int, observed: ObservedProcessor, saved_ppm: int) -> bool:
        """Whether a wait for a processor that is not healthy may still cost less than it saves."""
        return self.waited_ms(now_ms, now_ms - observed.unusable_ms) < self.worth_ms(saved_ppm)

    def worth_ms(self, saved_ppm: int) -> int:
        """How long a wait costs as much as it may save."""
        if not self._wait_cost_ppm:
            return FOR_EVER_MS
        return max(saved_ppm, 0) * 1000 // self._wait_cost_ppm
