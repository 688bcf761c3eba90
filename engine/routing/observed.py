"""What is known of one processor, learnt from every answer and from every answer that does not come. Pure."""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import ClassVar

from engine.routing.concurrency import Concurrency
from engine.routing.failures import NOBODY, Failures
from engine.routing.queries import ANSWER_MS_MAX
from engine.setting_groups import RoutingSettings

# Jacobson's retransmission timer (V. Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988): what is later than
# the usual time and four deviations is overdue.
LEARNING_SHIFT = 2  # a new latency counts for a quarter of the estimate
DEVIATIONS = 4
SUSPECT_PACE = 5  # probes at a processor that hangs are this much rarer: what is in flight there already tells most
SLOW_PROBES = 8  # in flight at a processor that answers, but late
STALE_MS = 1000  # a health answer's latency counts when no payment was answered for so long
RETRY_MS = 30  # from a failure until the payment is sent again: the dispatcher's rest
PPM = 1_000_000


class ProcessorState(IntEnum):
    """How a processor is, as far as can be seen."""

    HEALTHY = 0
    SLOW = 1  # it answers, but so late that an audit may find a payment at it that we do not know of yet
    SUSPECT = 2  # answers are overdue, or it has just recovered: slower than it was, or hung, nobody knows how much
    OPEN = 3  # it fails


class ObservedProcessor:
    """One processor. While it is not well, single probes are let through, one each ``probe_interval_ms``,
    without waiting for the last one's answer: that may be a slow one from before it recovered.
    """

    FAILURES: ClassVar[type[Failures]] = Failures

    def __init__(self, limits: RoutingSettings, fee_ppm: int, took_ms_max: int) -> None:
        self._limits = limits
        self._took_ms_max = took_ms_max
        self.fee_ppm = fee_ppm
        self.concurrency = Concurrency(min(limits.in_flight_min, limits.in_flight_max), limits.in_flight_max)
        self._begun: dict[int, int] = {}  # ticket -> when; in the order of beginning
        self._probes: set[int] = set()
        self._order: deque[tuple[int, int]] = deque()  # (when, ticket) of _begun and of some that have ended
        self._answered_ms = -1  # when the newest request was begun that has been answered
        self._learnt_ms = -STALE_MS
        self.failures = self.FAILURES(limits.breaker_failures)
        self._deviation_ms = 0  # how far answers are usually from usual_ms
        self.failing_ms = 0  # how long the last failure took
        self._is_down = False
        self._recovered_ms: int | None = None  # when it did, while no request was answered that was begun after that
        self._seen = ProcessorState.HEALTHY
        self._probe_ms = 0
        self._backoff_until_ms = 0
        self.health_from_ms = 0  # its health may be asked for from then on
        self.usual_ms = 0
        self.changed_ms = 0  # when it became well, or ceased to be
        self.ill_ms = 0  # since when it fails or hangs, or did so the last time

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return len(self._begun)

    @property
    def is_open(self) -> bool:
        """Whether it is taken for failing: its breaker is open."""
        return self._is_down

    @property
    def failure_ppm(self) -> int:
        """The share of its answers that are failures when there is no outage."""
        return round(self.failures.rate * PPM) if self.failures.weight else 0

    @property
    def answers(self) -> int:
        """How many answers :attr:`failure_ppm` rests on."""
        return self.failures.answers

    @property
    def settled_ms(self) -> int:
        """How long until a payment is settled there: what an answer takes, and the tries before it that fail."""
        if not self.failures.weight:
            return self.usual_ms
        rate = self.failures.rate
        return self.usual_ms + round(rate / (1 - rate) * (self.failing_ms + RETRY_MS))

    @property
    def is_slow(self) -> bool:
        """Whether it was late when it was last looked at."""
        return self._seen is ProcessorState.SLOW

    def overdue_ms(self, now_ms: int) -> int:
        """How long the oldest request waits for its answer that no later one has overtaken; 0 without one."""
        order, begun, answered_ms = self._order, self._begun, self._answered_ms
        while order and (order[0][0] <= answered_ms or order[0][1] not in begun):
            order.popleft()
        return now_ms - order[0][0] if order else 0

    def oldest_ms(self, now_ms: int) -> int:
        """How long the oldest request has been in flight, whether others have overtaken it or not; 0 without one."""
        return now_ms - next(iter(self._begun.values()), now_ms)

    def is_calm(self, now_ms: int) -> bool:
        """Whether it was well when it was last looked at, and no answer is nearly as late as those that have come."""
        return self._seen is ProcessorState.HEALTHY and self.overdue_ms(now_ms) <= self.usual_ms - (self.usual_ms >> 2)

    def expected_ms(self, now_ms: int) -> int:
        """How long one more is expected to take: as the last ones, and not less than the oldest has waited already."""
        return max(self.usual_ms, self.overdue_ms(now_ms))

    def state(self, now_ms: int) -> ProcessorState:
        """How it is now."""
        limits = self._limits
        if self.failures.weight:
            self.failures.fade(now_ms)
        if self._is_down:
            state = ProcessorState.OPEN
        elif self._recovered_ms is not None and self.usual_ms > limits.suspect_ms:
            # What was answered was begun before it recovered, and took what a failure took. To send all there before
            # anybody knows what it takes now would be too many by hundreds, if that is more than an audit allows.
            state = ProcessorState.SUSPECT
        elif self.overdue_ms(now_ms) > self.usual_ms + max(limits.suspect_ms, DEVIATIONS * self._deviation_ms):
            state = ProcessorState.SUSPECT
        elif self.usual_ms >= limits.slow_ms:
            state = ProcessorState.SLOW
        else:
            state = ProcessorState.HEALTHY
        if state > ProcessorState.SLOW >= self._seen:
            self.ill_ms = now_ms
        if (state is ProcessorState.HEALTHY) != (self._seen is ProcessorState.HEALTHY):
            self.changed_ms = now_ms
            self._probe_ms = now_ms + limits.probe_interval_ms
        self._seen = state
        return state

    def room(self, now_ms: int, *, is_end: bool = False) -> int:
        """How many more may be begun, beside probes. ``is_end``: nothing comes after them, so a queue at the processor
        holds nobody up.
        """
        if now_ms < self._backoff_until_ms:
            return 0
        limit = self._limits.in_flight_max if is_end else self.concurrency.limit
        return max(0, limit - len(self._begun))

    def wants_probe(self, now_ms: int) -> bool:
        """Whether a probe is due at a processor that is not well."""
        is_due = now_ms >= max(self._probe_ms, self._backoff_until_ms)
        return is_due and len(self._probes) < self._limits.probes_max and len(self._begun) < self._limits.in_flight_max

    def wake_ms(self, now_ms: int) -> int | None:
        """When something is due by time alone: a probe, or the end of a pause that was asked for."""
        if self._seen is not ProcessorState.HEALTHY and len(self._probes) < self._limits.probes_max:
            return max(self._probe_ms, self._backoff_until_ms, now_ms)
        return self._backoff_until_ms if self._backoff_until_ms > now_ms else None

    def began(self, now_ms: int, ticket: int) -> None:
        """A request was begun."""
        self._begun[ticket] = now_ms
        self._order.append((now_ms, ticket))
        limits = self._limits
        if self._seen is not ProcessorState.HEALTHY:
            # Spread over the time that a failure takes, or all of them would be waiting when it recovers.
            if self._seen is ProcessorState.SLOW:
                pace_ms = self.usual_ms // SLOW_PROBES
            elif self._seen is ProcessorState.SUSPECT:
                pace_ms = SUSPECT_PACE * limits.probe_interval_ms
            else:
                pace_ms = self.failing_ms // limits.probes_max
            if self._seen is not ProcessorState.SLOW:
                self._probes.add(ticket)
            self._probe_ms = now_ms + max(limits.probe_interval_ms, pace_ms)

    def ended(self, now_ms: int, ticket: int, answered: bool, key: int = NOBODY) -> None:
        """A request ended; ``answered``: the processor did what it was asked. ``key`` names the payment, so that one
        that fails again and again opens no breaker; ``NOBODY``: the failure counts whoever it was.
        """
        in_flight = len(self._begun)
        begun_ms = self._begun.pop(ticket)
        self._probes.discard(ticket)
        failures = self.failures
        if not answered:
            self.failing_ms = min(now_ms - begun_ms, self._took_ms_max)
            self._is_down |= failures.failed(now_ms, key, is_refusal=False)
            return
        failures.successes += 1
        if failures.row and failures.end_row(now_ms):
            self._is_down = False
        if self._is_down:
            self._is_down = False
            self._recovered_ms = now_ms
            self.concurrency.recovered()
            self._probe_ms = now_ms  # what this one took was perhaps the time of before it recovered: try at once
        elif self._recovered_ms is not None and begun_ms >= self._recovered_ms:
            self._recovered_ms = None
        if begun_ms >= self._answered_ms:  # one that was overtaken tells of the time before
            self._answered_ms = begun_ms
            self._learn(now_ms, min(now_ms - begun_ms, self._took_ms_max))
            self.concurrency.answered(now_ms, begun_ms, in_flight)

    def refused(self, now_ms: int, ticket: int, key: int) -> None:
        """The processor refuses the payment ``key`` for what it is. That says nothing of how quick or how reliable it
        is, but when it refuses many it is the processor's state: it counts in the row as a failure does.
        """
        del self._begun[ticket]
        self._probes.discard(ticket)
        self._is_down |= self.failures.failed(now_ms, key, is_refusal=True)

    def set_apart(self, _now_ms: int, ticket: int) -> None:
        """A request ended, and its end says nothing of the processor."""
        self.dropped(ticket)

    def rejected(self, now_ms: int, ticket: int) -> None:
        """A request was turned away because too many are there: wait a moment, but the processor is well."""
        self.concurrency.rejected(len(self._begun))
        del self._begun[ticket]
        self._probes.discard(ticket)
        self._backoff_until_ms = now_ms + self._limits.probe_interval_ms

    def dropped(self, ticket: int) -> None:
        """A request's answer is not waited for any more."""
        del self._begun[ticket]
        self._probes.discard(ticket)

    def forget_requests(self) -> None:
        """All requests in flight have been abandoned, a question for its health among them."""
        self._begun.clear()
        self._probes.clear()

    def wants_health(self, now_ms: int) -> bool:
        """Whether to ask for its health now. It is allowed rarely, so the question is kept for when it tells most: when
        payments do not tell, because they fail, or are overdue, or there are none.
        """
        if now_ms < self.health_from_ms:
            return False
        return self._seen is not ProcessorState.HEALTHY or now_ms - self._learnt_ms >= STALE_MS

    def health_due_ms(self) -> int:
        """When :meth:`wants_health` will be true if nothing happens before."""
        from_ms = self.health_from_ms
        return from_ms if self._seen is not ProcessorState.HEALTHY else max(from_ms, self._learnt_ms + STALE_MS)

    def health_asked(self, now_ms: int) -> None:
        """Its health was asked for. Until that has ended there is no other question."""
        self.health_from_ms = now_ms + ANSWER_MS_MAX + self._limits.health_interval_ms

    def health_ended(self, now_ms: int) -> None:
        """The question for its health has ended, with an answer or without.

        The processor measures the time between two questions where they arrive. The last one has arrived by now,
        however long it was on its way; so the next one, which leaves that much later, cannot come too soon.
        """
        self.health_from_ms = now_ms + self._limits.health_interval_ms

    def health(self, now_ms: int, failing: bool, min_response_ms: int) -> None:
        """The processor's own word."""
        if failing:
            self._is_down = True
            self.failures.told(now_ms)
            return
        self.failures.forget_row()
        self._recovered_ms = None  # it tells how long it takes now
        if self._is_down:
            self._is_down = False
            self.concurrency.recovered()
        if now_ms - self._learnt_ms >= STALE_MS or self._seen is not ProcessorState.HEALTHY:
            self._change(now_ms, min_response_ms)
            self._answered_ms = now_ms  # it tells of now, and of no request before

    def _learn(self, now_ms: int, took_ms: int) -> None:
        self._learnt_ms = now_ms
        error_ms = took_ms - self.usual_ms
        if abs(error_ms) > max(self._limits.suspect_ms, self.usual_ms >> 1):
            self._change(now_ms, took_ms)
        else:
            self.usual_ms += error_ms >> LEARNING_SHIFT
            self._deviation_ms += (abs(error_ms) - self._deviation_ms) >> LEARNING_SHIFT

    def _change(self, now_ms: int, took_ms: int) -> None:
        """The processor takes another time from now on."""
        self.usual_ms = took_ms
        self._deviation_ms = 0
        self.concurrency.changed(now_ms, took_ms)
