"""How many requests a processor is given at once: TCP Vegas, applied to requests instead of packets. Pure.

L. S. Brakmo, L. L. Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", IEEE Journal on
Selected Areas in Communications 13(8), 1995. Used for requests in flight as in Netflix's ``concurrency-limits``.

The time that an answer takes beyond the shortest one counts as waiting, in a queue at the processor that we have caused
ourselves. The limit changes once in each round trip. With fewer than ``QUEUED_FEW`` requests in that queue it grows;
with more than ``QUEUED_MANY`` it shrinks. At first it doubles in each round trip, until the queue shows for the first
time (slow start). A limit that is not used up shows nothing, so it stays as it is.

Conditions change, so the shortest answer must be a recent one. But a queue that never empties would look like the
processor's own time, and the limit would grow for ever. So, when all answers for a while have been longer, the limit is
set to its minimum for a moment. The time of an answer is measured then (as the PROBE_RTT of N. Cardwell et al., "BBR:
Congestion-Based Congestion Control", ACM Queue 14(5), 2016).
"""

from __future__ import annotations

from engine.routing.policy import (
    LIMIT_START,
    MEASURE_ROUNDS,
    QUEUE_NOISE_MS,
    QUEUED_FEW,
    QUEUED_MANY,
    RATE_TRUSTED,
    REJECTED_SHIFT,
    SHORTEST_WINDOW_MS,
    SHRINK_SHIFT,
)


class Concurrency:
    """The limit of one processor, between ``low`` and ``high``."""

    def __init__(self, low: int, high: int) -> None:
        self._low = low
        self._high = high
        self._grows_fast = True
        self._round_ms = 0  # the round ends with an answer to a request that was begun after this
        self._shortest_ms = -1  # the shortest answer of this round
        self._most = 0  # most requests in flight during this round
        self._base_ms = -1
        self._window_ms = 0
        self._window_shortest_ms = -1
        self._limit_before = 0  # the limit before a measurement; 0: nothing is being measured
        self._measure_rounds = 0
        self.limit = min(max(LIMIT_START, low), high)

    def answered(self, now_ms: int, begun_ms: int, in_flight: int) -> None:
        """A request begun at ``begun_ms`` was answered; ``in_flight``: requests in flight until now, with this one."""
        took_ms = now_ms - begun_ms
        if in_flight > self._most:
            self._most = in_flight
        if self._shortest_ms < 0 or took_ms < self._shortest_ms:
            self._shortest_ms = took_ms
        if begun_ms < self._round_ms:
            return
        took_ms, is_used = self._shortest_ms, 4 * self._most >= 3 * self.limit
        self._round_ms, self._shortest_ms, self._most = now_ms, -1, 0
        if self._limit_before:
            self._measure_rounds -= 1
            if not self._measure_rounds:
                self.limit, self._limit_before = self._limit_before, 0
                self._measure(now_ms, took_ms)
            return
        if self._base_ms < 0 or took_ms <= self._base_ms:
            self._measure(now_ms, took_ms)
        elif self._window_shortest_ms < 0 or took_ms < self._window_shortest_ms:
            self._window_shortest_ms = took_ms
        if is_used:
            self._adapt(max(0, took_ms - self._base_ms - QUEUE_NOISE_MS), took_ms)
        if now_ms - self._window_ms >= SHORTEST_WINDOW_MS:
            if is_used and self._window_shortest_ms > self._base_ms + QUEUE_NOISE_MS:
                self._limit_before, self._measure_rounds = self.limit, MEASURE_ROUNDS
                self.limit = self._low
            else:
                self._measure(now_ms, self._base_ms)

    def passes(self, for_ms: int, took_ms: int) -> int:
        """How many requests a limit in full use lets through in ``for_ms``; an answer takes ``took_ms`` (above 0)."""
        rounds, limit, count = for_ms // took_ms, self.limit, 0
        while rounds and self._grows_fast and limit < self._high:
            rounds, limit, count = rounds - 1, min(2 * limit, self._high), count + limit
        return count + rounds * limit

    def rejected(self, in_flight: int) -> None:
        """A request was rejected because there were too many; ``in_flight`` as above."""
        self._grows_fast, self._limit_before = False, 0
        self.limit = max(self._low, min(self.limit, in_flight - (in_flight >> REJECTED_SHIFT)))

    def changed(self, now_ms: int, took_ms: int) -> None:
        """The processor's own time has changed: ``took_ms`` is what an answer takes without a queue."""
        self._measure(now_ms, took_ms)
        self._shortest_ms = -1
        self.limit, self._limit_before = max(self.limit, self._limit_before), 0
        # By Little's law, this many requests pass in that time. Learning it from round trips would take long at a slow
        # processor.
        self.limit = min(max(self.limit, took_ms * RATE_TRUSTED // 1000), self._high)

    def recovered(self) -> None:
        """The processor has recovered. The limit starts low again, and the times of earlier answers are forgotten."""
        self.limit = min(max(LIMIT_START, self._low), self._high)
        self._grows_fast, self._limit_before = True, 0
        self._base_ms = self._shortest_ms = -1

    def _measure(self, now_ms: int, took_ms: int) -> None:
        """From now on, ``took_ms`` is what an answer takes without a queue."""
        self._base_ms = took_ms
        self._window_ms, self._window_shortest_ms = now_ms, -1

    def _adapt(self, slow_ms: int, took_ms: int) -> None:
        queued = self.limit * slow_ms // max(took_ms, 1)
        if queued > QUEUED_MANY:
            self._grows_fast = False
            self.limit = max(self._low, self.limit - (self.limit >> SHRINK_SHIFT))
        elif self._grows_fast:
            self.limit = min(self._high, 2 * self.limit)
        elif queued < QUEUED_FEW:
            self.limit = min(self._high, self.limit + QUEUED_FEW)
