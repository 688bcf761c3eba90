"""What is known of one processor, learnt from every answer and from every answer that does not come. Pure."""

from __future__ import annotations

from typing import ClassVar

from engine.routing.breaker import Breaker
from engine.routing.concurrency import Concurrency
from engine.routing.failures import NOBODY, Failures
from engine.routing.fees import PPM
from engine.routing.health import HealthSchedule
from engine.routing.latency import Latency
from engine.routing.policy import RETRY_MS
from engine.routing.probes import Probes
from engine.routing.state import ProcessorState
from engine.setting_groups import RoutingSettings


class ObservedProcessor:
    """One processor: its requests in flight, its breaker, latency, probes, health queries and limit.

    :attr:`state` is the state in which it was last observed. Only :meth:`observe` changes it; reading changes nothing.

    Parameters:
      limits: the settings.
      fee_ppm: what it keeps, in millionths of an amount.
      took_ms_max: no request is waited for longer.
    """

    FAILURES: ClassVar[type[Failures]] = Failures

    def __init__(self, limits: RoutingSettings, fee_ppm: int, took_ms_max: int) -> None:
        self._limits = limits
        self._begun: dict[int, int] = {}  # ticket -> when the request was begun; the oldest first
        self._breaker = Breaker(self.FAILURES(limits.breaker_failures))
        self._latency = Latency(limits.suspect_ms, took_ms_max)
        self._probes = Probes(limits.probe_interval_ms, limits.probes_max)
        self._health = HealthSchedule(limits.health_interval_ms)
        self._pause_until_ms = 0  # it has rejected a request, or must rest: no other is sent before this time
        self.concurrency = Concurrency(min(limits.in_flight_min, limits.in_flight_max), limits.in_flight_max)
        self.fee_ppm = fee_ppm
        self.is_paused = False  # a person wants it to get no new payments
        self.state = ProcessorState.HEALTHY  # when it was last observed, like the two fields that follow
        self.is_healthy = True
        self.is_slow = False
        self.changed_ms = 0  # when it became healthy, or ceased to be
        self.unusable_ms = 0  # when it began to fail or to hang, now or the last time

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return len(self._begun)

    @property
    def probes_in_flight(self) -> int:
        """How many of them are probes."""
        return len(self._probes.in_flight)

    @property
    def is_open(self) -> bool:
        """Whether its breaker is open: it counts as failing."""
        return self._breaker.is_open

    @property
    def fails_at_random(self) -> bool:
        """Whether some of its answers are failures when there is no outage."""
        return self._breaker.failures.weight > 0

    @property
    def failure_ppm(self) -> int:
        """The share of its answers that are failures when there is no outage."""
        return round(self._breaker.failures.rate * PPM)

    @property
    def answers(self) -> int:
        """How many answers :attr:`failure_ppm` rests on."""
        return self._breaker.failures.answers

    @property
    def usual_ms(self) -> int:
        """What an answer takes."""
        return self._latency.usual_ms

    @property
    def failing_ms(self) -> int:
        """What the last failure took."""
        return self._latency.failing_ms

    @property
    def settled_ms(self) -> int:
        """How long it takes to settle a payment there: an answer's time, and the tries before it that fail."""
        usual_ms, failures = self._latency.usual_ms, self._breaker.failures
        if not failures.weight:
            return usual_ms
        rate = failures.rate
        return usual_ms + round(rate / (1 - rate) * (self._latency.failing_ms + RETRY_MS))

    @property
    def cost_ppm(self) -> int:
        """What a payment costs there: its fee, and the time until it is settled."""
        return self.fee_ppm + self._limits.wait_cost_ppm * self.settled_ms // 1000

    def oldest_ms(self, now_ms: int) -> int:
        """How long the oldest request has been in flight, whether others have overtaken it or not; 0 without one."""
        return now_ms - next(iter(self._begun.values()), now_ms)

    def is_calm(self, now_ms: int) -> bool:
        """Whether it is healthy, and no request has waited for nearly as long as an answer usually takes."""
        usual_ms = self._latency.usual_ms
        return self.is_healthy and self._latency.overdue_ms(now_ms, self._begun.values()) <= usual_ms - (usual_ms >> 2)

    def expected_ms(self, now_ms: int) -> int:
        """How long one more request is expected to take: as the last ones, and at least as long as the oldest waits."""
        return max(self._latency.usual_ms, self._latency.overdue_ms(now_ms, self._begun.values()))

    def observe(self, now_ms: int) -> None:
        """Brings :attr:`state` up to date, by the requests that have ended since and by the time that has passed."""
        breaker, latency, before = self._breaker, self._latency, self.state
        if breaker.failures.weight:
            breaker.failures.fade(now_ms)
        if breaker.is_open or self.is_paused:
            state = ProcessorState.OPEN
        elif breaker.recovered_ms is not None and latency.usual_ms > self._limits.suspect_ms:
            # The answered request was begun before the processor recovered, so its time is that of a failure. The time
            # of an answer is not known yet. If it is longer than an audit allows, sending all payments there now would
            # send hundreds too many.
            state = ProcessorState.SUSPECT
        elif self._begun and latency.is_overdue(now_ms, self._begun.values()):
            state = ProcessorState.SUSPECT
        elif latency.usual_ms >= self._limits.slow_ms:
            state = ProcessorState.SLOW
        else:
            state = ProcessorState.HEALTHY
        if state is not before:
            self._become(now_ms, state, before)

    def room(self, now_ms: int, *, is_end: bool = False) -> int:
        """How many more may be begun, probes left out. ``is_end``: no payments come after them, so a queue at the
        processor delays nothing.
        """
        if now_ms < self._pause_until_ms or self.is_paused:
            return 0
        limit = self._limits.in_flight_max if is_end else self.concurrency.limit
        return max(0, limit - len(self._begun))

    def wants_probe(self, now_ms: int) -> bool:
        """Whether a probe is due at a processor that is not healthy."""
        if self.is_paused:
            return False
        is_due = now_ms >= max(self._probes.due_ms, self._pause_until_ms)
        return is_due and self._probes.may_begin and len(self._begun) < self._limits.in_flight_max

    def wake_ms(self, now_ms: int) -> int | None:
        """When something is due by time alone: a probe, or the end of a pause that was asked for."""
        if not self.is_healthy and self._probes.may_begin and not self.is_paused:
            return max(self._probes.due_ms, self._pause_until_ms, now_ms)
        return self._pause_until_ms if self._pause_until_ms > now_ms else None

    def began(self, now_ms: int, ticket: int) -> None:
        """A request was begun."""
        self._begun[ticket] = now_ms
        if not self.is_healthy:
            self._probes.began(now_ms, ticket, self.state, self._latency)

    def ended(self, now_ms: int, ticket: int, answered: bool, key: int = NOBODY) -> None:
        """A request ended; ``answered``: the processor did what it was asked. ``key`` names the payment, so that one
        payment that fails again and again opens no breaker. ``NOBODY``: the failure always counts.
        """
        begun, latency = self._begun, self._latency
        in_flight = len(begun)
        if self._probes.in_flight:
            self._probes.in_flight.discard(ticket)
        begun_ms = begun.pop(ticket)
        if not answered:
            latency.failed(now_ms, begun_ms)
            self._breaker.failed(now_ms, key, is_refusal=False)
            return
        if self._breaker.succeeded(now_ms, begun_ms):
            self.concurrency.recovered()
            self._probes.due_ms = now_ms  # this request may have waited for the recovery, so a probe is due at once
        if begun_ms >= latency.answered_ms:  # a request that was overtaken tells only of an earlier time
            if latency.learn(now_ms, begun_ms):
                self.concurrency.changed(now_ms, latency.usual_ms)
            self.concurrency.answered(now_ms, begun_ms, in_flight)

    def refused(self, now_ms: int, ticket: int, key: int) -> None:
        """The processor refuses the payment ``key`` itself. One refusal says nothing of the processor's speed or
        reliability. Many refusals are the processor's state, so each counts in the row as a failure does.
        """
        self._forget(ticket)
        self._breaker.failed(now_ms, key, is_refusal=True)

    def set_apart(self, _now_ms: int, ticket: int) -> None:
        """A request ended, and its end says nothing of the processor."""
        self._forget(ticket)

    def rejected(self, now_ms: int, ticket: int) -> None:
        """A request was rejected because there are too many: the processor is healthy, but needs a short pause."""
        self.concurrency.rejected(len(self._begun))
        self._forget(ticket)
        self._pause_until_ms = now_ms + self._limits.probe_interval_ms

    def rest(self, until_ms: int) -> None:
        """Nothing may be sent for the first time before this moment, whatever the processor does."""
        self._pause_until_ms = max(self._pause_until_ms, until_ms)

    def dropped(self, ticket: int) -> None:
        """A request's answer is not waited for any more."""
        self._forget(ticket)

    def forget_requests(self) -> None:
        """All requests in flight have been abandoned, a query for its health among them."""
        self._begun.clear()
        self._probes.in_flight.clear()

    @property
    def health_from_ms(self) -> int:
        """From when on its health may be queried; a dispatcher that follows another one sets it."""
        return self._health.from_ms

    @health_from_ms.setter
    def health_from_ms(self, from_ms: int) -> None:
        self._health.from_ms = from_ms

    def wants_health(self, now_ms: int) -> bool:
        """Whether to query its health now. A query is allowed rarely, so it is kept for the time when it tells most:
        when payments fail, are overdue, or when there are none.
        """
        if now_ms < self._health.from_ms:
            return False
        return not self.is_healthy or now_ms >= self._latency.stale_ms

    def health_due_ms(self) -> int:
        """When :meth:`wants_health` becomes true if nothing happens before."""
        from_ms = self._health.from_ms
        return max(from_ms, self._latency.stale_ms) if self.is_healthy else from_ms

    def health_asked(self, now_ms: int) -> None:
        """A query for its health was sent. No other query is sent until this one has ended."""
        self._health.asked(now_ms)

    def health_ended(self, now_ms: int) -> None:
        """The query for its health has ended, with an answer or without."""
        self._health.ended(now_ms)

    def health(self, now_ms: int, failing: bool, min_response_ms: int) -> None:
        """The processor's health answer."""
        if failing:
            self._breaker.told_failing(now_ms)
            return
        if self._breaker.told_working():
            self.concurrency.recovered()
        if not self.is_healthy or now_ms >= self._latency.stale_ms:
            self._latency.told(now_ms, min_response_ms)
            self.concurrency.changed(now_ms, min_response_ms)

    def _become(self, now_ms: int, state: ProcessorState, before: ProcessorState) -> None:
        """It is observed in another state than before."""
        if state > ProcessorState.SLOW >= before:
            self.unusable_ms = now_ms
        if ProcessorState.HEALTHY in (state, before):
            self.changed_ms = now_ms
            self._probes.wait(now_ms)
        self.state = state
        self.is_healthy = state is ProcessorState.HEALTHY
        self.is_slow = state is ProcessorState.SLOW

    def _forget(self, ticket: int) -> int:
        """A request is not in flight any more. Returns when it was begun."""
        if self._probes.in_flight:
            self._probes.in_flight.discard(ticket)
        return self._begun.pop(ticket)
