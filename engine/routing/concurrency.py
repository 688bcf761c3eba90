"""How many requests a processor is given at once: TCP Vegas, applied to requests instead of packets. Pure.

L. S. Brakmo, L. L. Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", IEEE Journal on
Selected Areas in Communications 13(8), 1995. Used for requests in flight as in Netflix's ``concurrency-limits``.

What takes longer than the shortest answer is taken for waiting in a queue of the processor's that we have made
ourselves. Once in each round trip: fewer than ``QUEUED_FEW`` in that queue, and the limit grows; more than
``QUEUED_MANY``, and it shrinks. It doubles in each round trip at first, until the queue shows for the first time (slow
start). A limit that is not used up says nothing and is left as it is.

Conditions change, so the shortest answer must be a recent one; but a queue that always stands would be taken for the
processor's own time, and the limit would grow for ever. Therefore, when all answers of a while were longer, the fewest
are given for a moment, and what an answer takes then is the measure (as the PROBE_RTT of N. Cardwell et al., "BBR:
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
        self._shortest_ms = -1  # of this round
        self._most = 0  # in flight during this round
        self._base_ms = -1
        self._window_ms = 0
        self._window_shortest_ms = -1
        self._limit_before = 0  # a measurement; 0: none is made
        self._measure_rounds = 0
        self.limit = min(max(LIMIT_START, low), high)

    def answered(self, now_ms: int, begun_ms: int, in_flight: int) -> None:
        """A request was answered that was begun at ``begun_ms``; with it ``in_flight`` had been in flight."""
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
        """How many requests it lets through in a time when it is used up, and an answer takes ``took_ms`` (above 0)."""
        rounds, limit, count = for_ms // took_ms, self.limit, 0
        while rounds and self._grows_fast and limit < self._high:
            rounds, limit, count = rounds - 1, min(2 * limit, self._high), count + limit
        return count + rounds * limit

    def rejected(self, in_flight: int) -> None:
        """A request was turned away because of too many; with it ``in_flight`` had been in flight."""
        self._grows_fast, self._limit_before = False, 0
        self.limit = max(self._low, min(self.limit, in_flight - (in_flight >> REJECTED_SHIFT)))

    def changed(self, now_ms: int, took_ms: int) -> None:
        """The processor itself takes another time than before: ``took_ms`` is what an answer takes without a queue."""
        self._measure(now_ms, took_ms)
        self._shortest_ms = -1
        self.limit, self._limit_before = max(self.limit, self._limit_before), 0
        # By Little's law as many as pass in that time: the slower it answers, the longer a round trip would teach us.
        self.limit = min(max(self.limit, took_ms * RATE_TRUSTED // 1000), self._high)

    def recovered(self) -> None:
        """The processor has failed: carefully at first, and what an answer took before says nothing any more."""
        self.limit = min(max(LIMIT_START, self._low), self._high)
        self._grows_fast, self._limit_before = True, 0
        self._base_ms = self._shortest_ms = -1

    def _measure(self, now_ms: int, took_ms: int) -> None:
        """What an answer takes without a queue, from now on."""
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
