"""Where the next payment goes: default, fallback, or nowhere for now. Pure: time and outcomes in, a choice out.

Default is cheaper and is taken while it is fit and not expected to be much slower than fallback; fallback while default
is not; neither, and the payment waits, while none is. What is expected of a processor is learnt from its answers, from
requests that are still unanswered, and from its health.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.memory.layout import DEFAULT, FALLBACK, PROCESSORS
from engine.routing.breaker import Breaker

LEARNING_SHIFT = 2  # a new latency counts for a quarter of the estimate
STALE_MS = 1000  # a health answer's latency counts when no payment was answered for so long


@dataclass(frozen=True)
class RouterLimits:
    """The numbers of the choice; see the variables of the same names in :mod:`engine.settings`."""

    in_flight_max: int
    breaker_failures: int
    trial_interval_ms: int
    slower_ms: int


class Lane:
    """What is known of one processor."""

    def __init__(self, limits: RouterLimits) -> None:
        self._limits = limits
        self.breaker = Breaker(limits.breaker_failures, limits.trial_interval_ms)
        self._begun: dict[int, int] = {}  # ticket -> when; in the order of beginning
        self._latency_ms = 0
        self._learnt_ms = 0
        self._backoff_until_ms = 0

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return len(self._begun)

    @property
    def usual_ms(self) -> int:
        """How long the last answers took."""
        return self._latency_ms

    def has_room(self, now_ms: int) -> bool:
        """Whether one more may be begun: below the limit, and on an open breaker only as its trial."""
        earliest_ms = self.breaker.trial_ms if self.breaker.is_open else self._backoff_until_ms
        return now_ms >= earliest_ms and len(self._begun) < self._limits.in_flight_max

    def expected_ms(self, now_ms: int) -> int:
        """How long one more is expected to take: as the last ones, and not less than the oldest has waited already."""
        oldest_ms = next(iter(self._begun.values()), now_ms)
        return max(self._latency_ms, now_ms - oldest_ms)

    def began(self, now_ms: int, ticket: int) -> None:
        """A request was begun."""
        self._begun[ticket] = now_ms
        if self.breaker.is_open:
            self.breaker.trial_began(now_ms)

    def ended(self, now_ms: int, ticket: int, answered: bool) -> None:
        """A request ended; ``answered``: the processor did what it was asked."""
        took_ms = now_ms - self._begun.pop(ticket)
        if answered:
            self.breaker.succeeded()
            self._latency_ms += (took_ms - self._latency_ms) >> LEARNING_SHIFT
            self._learnt_ms = now_ms
        else:
            self.breaker.failed(now_ms)

    def rejected(self, now_ms: int, ticket: int) -> None:
        """A request was turned away because too many are there: wait a moment, but the processor is well."""
        del self._begun[ticket]
        self._backoff_until_ms = now_ms + self._limits.trial_interval_ms

    def dropped(self, ticket: int) -> None:
        """A request's answer is not waited for any more."""
        del self._begun[ticket]

    def health(self, now_ms: int, failing: bool, min_response_ms: int) -> None:
        """The processor's own word."""
        if failing:
            self.breaker.open(now_ms)
            return
        self.breaker.succeeded()
        if now_ms - self._learnt_ms >= STALE_MS:
            self._latency_ms = min_response_ms

    def wake_ms(self, now_ms: int) -> int | None:
        """When room appears by time alone, None when it does not."""
        if self.breaker.is_open:
            return max(self.breaker.trial_ms, now_ms)
        return self._backoff_until_ms if self._backoff_until_ms > now_ms else None


class Router:
    """Chooses for one payment at a time."""

    def __init__(self, limits: RouterLimits) -> None:
        self._limits = limits
        self.lanes = (Lane(limits), Lane(limits))

    def choose(self, now_ms: int, waiting: int) -> int | None:
        """The processor for the next payment that may go anywhere, None to hold it; ``waiting`` payments wait."""
        default, fallback = self.lanes
        if default.breaker.is_open:
            if default.has_room(now_ms):
                return DEFAULT
            return FALLBACK if fallback.has_room(now_ms) else None
        if fallback.breaker.is_open:
            if default.has_room(now_ms):
                return DEFAULT
            return FALLBACK if fallback.has_room(now_ms) else None
        room = self._limits.in_flight_max
        default_ms = default.expected_ms(now_ms) * (waiting + room) // room
        # A slow default still gets one payment at a time: that is how it is seen to recover, at the lower fee.
        if default_ms <= fallback.expected_ms(now_ms) + self._limits.slower_ms or not default.in_flight:
            return DEFAULT if default.has_room(now_ms) else None
        return FALLBACK if fallback.has_room(now_ms) else None

    def allows(self, now_ms: int, processor: int) -> bool:
        """Whether a payment that belongs to ``processor`` may be sent there now."""
        return self.lanes[processor].has_room(now_ms)

    def wake_ms(self, now_ms: int) -> int | None:
        """When a choice may become another one by time alone."""
        times = [lane.wake_ms(now_ms) for lane in self.lanes]
        return min((time for time in times if time is not None), default=None)

    def forget_requests(self) -> None:
        """All requests in flight have been abandoned."""
        for processor in PROCESSORS:
            self.lanes[processor]._begun.clear()
