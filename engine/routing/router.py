"""Where the next payments go: default, fallback, or nowhere for now. Pure: time and outcomes in, a choice out.

Everything is weighed in millionths (ppm) of the amount. A payment that is sent to a processor costs its fee and the
time that it is expected to take there, at ``wait_cost_ppm`` for a second::

    cost = fee + wait_cost x expected time

The expected time is an answer's, and that of the tries before it that fail, for a processor that fails at random (see
:mod:`engine.routing.failures`): f / (1 - f) of them at a failure rate f, each with the wait that follows. What can be
settled there at once is less by f.

Both well: the one that costs less gets all that it has room for. What is left waits for it, as long as that costs less
than the other; the rest is sent to the other, so both work when one alone cannot keep up.

The cheap one not well: nobody knows for how long. Each payment waits for as long as the bound allows, and who has
waited for long enough goes to the dear one; only time counts in which somebody could have had them. When the cheap one
has been ill for so long that the wait has cost as much as the higher fee, it is not waited for any more (the rule of
the ski rental: that costs at most twice as much as knowing the future). Single probes show when it is back. When
it is the dear one that has just recovered, only probes go there for a moment: troubles often end together.

What waits is lost whole when all ends before it is sent. But an end shows: payments stop coming (see
:mod:`engine.routing.arrivals`), and then all that waits goes to whoever is well. If that one is quick, as many are in
time as it can settle in a second, ``FLUSHED`` at most. No more than ``wait_share_ppm`` of all that was settled wait
beside those: no more than that can be lost.

Late processors answer so late that an audit may find a payment there that we do not know of yet (see
:mod:`engine.routing.audits`). Nothing is sent to them that would be settled when the next audit is expected; while no
audit has been seen yet, all payments of half a second leave together, and are settled together. What is in flight at
one cannot be called back when all ends, so as long as the other one is well it comes out of the same budget, and must
be worth it. Who knows nothing but that payments have been coming for a time t has to expect that they end within
another time d with a chance of d / (t + d) (J. R. Gott, "Implications of the Copernican principle for our future
prospects", Nature 363, 1993): the higher fee must be more than that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from engine.memory.layout import DEFAULT, FALLBACK
from engine.routing.arrivals import Arrivals
from engine.routing.audits import Audits
from engine.routing.observed import PPM, ObservedProcessor, ProcessorState
from engine.setting_groups import RoutingSettings

LOOK_MS = 20  # while payments wait by choice, the choice is made anew this often
CROWD = 64  # so many are not held back for a few milliseconds while both are well: a backlog is being settled
LEAVING_FEW = 16  # of those that have waited long enough so many leave at a time: the ones behind them have not yet ...
LEAVING_SHIFT = 3  # ... or an eighth of all, for they may have come together ...
LEAVING_MS = 500  # ... unless they had to leave this soon: then all do
HELD_FEW = 16  # so many may wait by choice, however little was settled yet
QUICK_MS = 500  # who takes no longer has settled ...
FLUSHED = 5_000  # ... so many at most a second after payments have stopped: 4,919 in `make containers SCENARIO=ending`
FLUSHED_MS = 700  # so much of the second is left when that has been seen
LISTEN_MS = 100  # an answer is listened for when it is so close to being late: longer than a usual rest
BARRED_MAX = 16  # times that are remembered in which nobody was well
RECOVERY_PROBES = 2  # probe intervals in which the cheap processor may recover after the dear one has
BURST_EVERY_MS = 500  # at late processors, while no audit was seen yet ...
BURST_MS = 50  # ... and how long one lasts
FOR_EVER_MS = 1 << 40
PROBE_GUARD_SHIFT = 2  # a single probe at one that fails keeps a quarter of the distance
ARRIVAL_SHIFT = 4  # an answer of a late processor comes within a sixteenth of its usual time


class Queue(NamedTuple):
    """What waits: ``waiting`` payments that may go anywhere, the oldest of them accepted ``oldest_ms`` ago and the one
    for a probe ``newest_ms`` ago, beside ``settled`` payments that are done.
    """

    waiting: int
    oldest_ms: int
    settled: int
    newest_ms: int = 0


class Plan(NamedTuple):
    """How many payments to begin now at each processor; ``probes``: bit ``p`` is set when the one for ``p`` is a probe.

    Payments are sent in the order of their age. Only a probe is for the newest one: it may fail late, and one that has
    waited already would have waited for too long by then.
    """

    default: int
    fallback: int
    probes: int = 0

    def is_probe(self, processor: int) -> bool:
        """Whether what goes to ``processor`` is a probe."""
        return bool(self.probes >> processor & 1)


NOTHING = Plan(0, 0)
BOTH_HEALTHY = (ProcessorState.HEALTHY, ProcessorState.HEALTHY)


class Router:
    """Chooses for all payments that wait.

    Parameters:
      limits: what people have set.
      fees_ppm: what each processor keeps, in millionths of an amount.
      took_ms_max: no request is waited for longer.
    """

    OBSERVED: ClassVar[type[ObservedProcessor]] = ObservedProcessor

    def __init__(self, limits: RoutingSettings, fees_ppm: Sequence[int], took_ms_max: int) -> None:
        self._limits = limits
        self._audits = Audits(limits.audit_interval_ms)
        # What has waited so long is sent while there is still time to do it within the bound.
        self._wait_ms = limits.wait_max_ms * 9 // 10
        self._arrivals = Arrivals()
        self._have_stopped = False
        self.are_healthy = True  # both, when it was last planned
        self._looked_ms = 0
        self._is_barred = False  # nobody was well when it was last looked
        self._barred: deque[tuple[int, int]] = deque(maxlen=BARRED_MAX)  # from when to when nobody was
        self._burst_ms = 0
        self.observed = tuple(self.OBSERVED(limits, fee_ppm, took_ms_max) for fee_ppm in fees_ppm)

    def plan(self, now_ms: int, queue: Queue) -> Plan:
        """How many of the payments that wait to send now, and where to; probes included."""
        states = (self.observed[DEFAULT].state(now_ms), self.observed[FALLBACK].state(now_ms))
        self._look(now_ms, states, queue)
        self.are_healthy = states == BOTH_HEALTHY
        if not queue.waiting:
            return NOTHING
        if self.audit_delay_ms(now_ms) and (queue.waiting <= CROWD or not self.are_healthy):
            return NOTHING
        if self.are_healthy:  # nearly always, so this is done first
            best = DEFAULT if self.cost_ppm(DEFAULT) <= self.cost_ppm(FALLBACK) else FALLBACK
            if self.observed[best].failures.weight and self._has_failed_for_long(now_ms, best, queue):
                best = 1 - best
            if self.observed[best].room(now_ms) >= queue.waiting:
                return Plan(queue.waiting, 0) if best == DEFAULT else Plan(0, queue.waiting)
        queue = queue._replace(
            oldest_ms=self._by_choice_ms(now_ms, now_ms - queue.oldest_ms),
            newest_ms=self._by_choice_ms(now_ms, now_ms - queue.newest_ms),
        )
        counts, left, probes = [0, 0], queue.waiting, 0
        for processor in (DEFAULT, FALLBACK):
            if left and self._may_try(now_ms, processor, states, queue):
                counts[processor] += 1
                probes |= 1 << processor
                left -= 1
        order = sorted(
            (DEFAULT, FALLBACK),
            key=lambda processor: (states[processor] is not ProcessorState.HEALTHY, self.cost_ppm(processor)),
        )
        rooms = [self._room(now_ms, processor, states[processor], counts[processor]) for processor in order]
        best, other = order
        one_well = states[best] is ProcessorState.HEALTHY and states[other] is not ProcessorState.HEALTHY
        if one_well and self.observed[other].fee_ppm < self.observed[best].fee_ppm:
            left = self._spare(now_ms, best, queue, left, counts, rooms)
        sent = min(left, rooms[0])
        counts[best] += sent
        left -= sent
        if left and rooms[1]:
            counts[other] += min(rooms[1], self._overflow(best, other, queue, left))
        # More than one at a late processor are no probe.
        probes = sum(probes & 1 << processor for processor in order if counts[processor] == 1)
        return Plan(counts[0], counts[1], probes)

    def allows(self, now_ms: int, processor: int) -> bool:
        """Whether a payment that belongs to ``processor`` may be sent there now."""
        observed = self.observed[processor]
        state = observed.state(now_ms)
        if state is ProcessorState.HEALTHY or state is ProcessorState.SLOW:
            return observed.room(now_ms) > 0
        return observed.wants_probe(now_ms)

    def must_listen(self, now_ms: int) -> bool:
        """Whether an answer that is due counts at once: an audit may see it."""
        seen_ms, (default, fallback) = max(self._limits.slow_ms - LISTEN_MS, 1), self.observed
        return default.oldest_ms(now_ms) >= seen_ms or fallback.oldest_ms(now_ms) >= seen_ms

    def is_calm(self, now_ms: int) -> bool:
        """Whether all is as usual, so that it does no harm to look only after a while."""
        default, fallback = self.observed
        return default.is_calm(now_ms) and fallback.is_calm(now_ms)

    def audit_delay_ms(self, now_ms: int) -> int:
        """How much later than at ``now_ms`` payments are better sent, for the sake of audits: a few milliseconds. When
        payments have stopped coming there may be no later.
        """
        return 0 if self._have_stopped else self._audits.audit_delay_ms(now_ms)

    def audited(self, now_ms: int) -> None:
        """Somebody has asked for a summary."""
        self._audits.asked(now_ms)

    def wake_ms(self, now_ms: int, waiting: int) -> int | None:
        """When a choice for ``waiting`` payments may become another one by time alone."""
        return now_ms + (self.audit_delay_ms(now_ms) or LOOK_MS) if waiting else None

    def learn_fees(self, fees_ppm: Sequence[int]) -> None:
        """The processors' fees are known, or have changed."""
        for observed, fee_ppm in zip(self.observed, fees_ppm, strict=True):
            observed.fee_ppm = fee_ppm

    def forget_requests(self) -> None:
        """All requests in flight have been abandoned."""
        for observed in self.observed:
            observed.forget_requests()

    def cost_ppm(self, processor: int) -> int:
        """What a payment costs at a processor: its fee, and the time until it is settled, tries that fail included."""
        observed = self.observed[processor]
        return observed.fee_ppm + self._limits.wait_cost_ppm * observed.settled_ms // 1000

    def _look(self, now_ms: int, states: tuple[ProcessorState, ProcessorState], queue: Queue) -> None:
        """Notes what is to be seen in every pass, whether payments wait or not."""
        default, fallback = self.observed
        self._arrivals.counted(now_ms, queue.settled + queue.waiting + default.in_flight + fallback.in_flight)
        self._have_stopped = self._arrivals.have_stopped(now_ms)
        if self._is_barred:
            barred, from_ms = self._barred, self._looked_ms
            if barred and barred[-1][1] == from_ms:
                from_ms = barred.pop()[0]
            barred.append((from_ms, now_ms))
        self._is_barred = ProcessorState.HEALTHY not in states
        self._looked_ms = now_ms

    def _by_choice_ms(self, now_ms: int, since_ms: int) -> int:
        """For how long of the time since a moment somebody was well: who waited then did so by choice."""
        barred_ms = sum(max(0, to_ms - max(from_ms, since_ms)) for from_ms, to_ms in self._barred)
        return now_ms - since_ms - barred_ms

    def _has_failed_for_long(self, now_ms: int, best: int, queue: Queue) -> bool:
        """Whether a payment has waited enough, while ``best`` fails at random, and more often than the other one."""
        observed, other = self.observed[best], self.observed[1 - best]
        if not self._is_last_try(observed, self._by_choice_ms(now_ms, now_ms - queue.oldest_ms)):
            return False
        return other.failure_ppm < observed.failure_ppm

    def _is_last_try(self, observed: ObservedProcessor, waited_ms: int) -> bool:
        """Whether who has waited for so long would have waited enough if one more try at ``observed`` failed."""
        return waited_ms + observed.failing_ms >= self._wait_ms

    def _room(self, now_ms: int, processor: int, state: ProcessorState, probes: int) -> int:
        """How many may go to a processor now."""
        observed = self.observed[processor]
        if state is ProcessorState.HEALTHY:
            return observed.room(now_ms, is_end=self._have_stopped)
        if state is not ProcessorState.SLOW or self._may_be_seen(now_ms, observed, state):
            return 0
        if not self._audits.are_known and not self._is_burst(now_ms):
            return 0
        return max(0, observed.room(now_ms) - probes)

    def _is_burst(self, now_ms: int) -> bool:
        """Whether late processors may be used just now."""
        if now_ms - self._burst_ms >= BURST_EVERY_MS:
            self._burst_ms = now_ms
        return now_ms - self._burst_ms < BURST_MS

    def _spare(self, now_ms: int, best: int, queue: Queue, left: int, counts: list[int], rooms: list[int]) -> int:
        """The cheaper one is ill, the other well: how many go to that one. What may be lost, should all end now, is a
        budget; it is spent on payments at the cheaper one that is late, and on those that wait for it.
        """
        observed, ill = self.observed[best], self.observed[1 - best]
        if self._have_stopped:
            rooms[1] = 0
            return left
        budget = max(HELD_FEW, queue.settled * self._limits.wait_share_ppm // PPM) - ill.in_flight
        is_worth_it = ill.usual_ms < self._risk_worth_ms(ill, observed) and self.cost_ppm(1 - best) < self.cost_ppm(
            best
        )
        if ill.is_slow and is_worth_it and not (ill.failures.weight and self._is_last_try(ill, queue.oldest_ms)):
            sent = max(0, min(left, rooms[1], budget))
            counts[1 - best] += sent
            rooms[1] -= sent
            left -= sent
            budget -= sent
            if not rooms[1] and queue.oldest_ms < self._wait_ms:
                # It has no room just now, or an audit is near: the next moment will do as well.
                left -= max(0, min(left, budget, ill.concurrency.limit - ill.in_flight))
        if observed.changed_ms and now_ms - observed.changed_ms < RECOVERY_PROBES * self._limits.probe_interval_ms:
            return 0
        if not ill.is_slow and observed.usual_ms <= QUICK_MS:
            passes = observed.concurrency.passes(FLUSHED_MS, observed.usual_ms + LOOK_MS)
            budget += min(FLUSHED, passes - passes * observed.failure_ppm // PPM)
        if self._is_patient(now_ms, 1 - best, queue):
            left -= max(0, min(left, budget))
        elif self._wait_ms >= LEAVING_MS and self._is_hoped_for(now_ms, 1 - best):
            left = min(left, max(left - budget, LEAVING_FEW, left >> LEAVING_SHIFT))
        return left

    def _is_patient(self, now_ms: int, ill: int, queue: Queue) -> bool:
        """Whether payments may wait for the cheaper one that is ill."""
        return queue.oldest_ms < self._wait_ms and self._is_hoped_for(now_ms, ill)

    def _is_hoped_for(self, now_ms: int, ill: int) -> bool:
        """Whether the cheaper one may be back so soon that a wait is worth it."""
        dearer_ppm = self.observed[1 - ill].fee_ppm - self.observed[ill].fee_ppm
        return self._by_choice_ms(now_ms, self.observed[ill].ill_ms) < self._patience_ms(dearer_ppm)

    def _risk_worth_ms(self, cheap: ObservedProcessor, dear: ObservedProcessor) -> int:
        """How long until a payment is settled at the cheap one is as great a risk as the higher fee is a cost: that all
        ends in d, in d / (t + d) of all cases, and not already in the time that the dear one takes.
        """
        higher_ppm = min(max(dear.fee_ppm - cheap.fee_ppm, 0), PPM - 1)
        return higher_ppm * self._arrivals.since_ms(self._looked_ms) // (PPM - higher_ppm) + dear.usual_ms

    def _overflow(self, best: int, other: int, queue: Queue, left: int) -> int:
        """How many of those that ``best`` has no room for go to the other: those that would wait too long."""
        if self._have_stopped or queue.oldest_ms >= self._wait_ms:
            return left
        observed = self.observed[best]
        patience_ms = self._patience_ms(self.cost_ppm(other) - self.cost_ppm(best))
        if observed.is_slow and self.observed[other].is_slow:  # nobody waits by choice then, but it is a risk
            patience_ms = min(patience_ms, self._risk_worth_ms(observed, self.observed[other]) - observed.usual_ms)
        else:
            patience_ms = min(patience_ms, self._wait_ms)
        # Payments leave at limit / time; those at the end of the queue wait for all before them.
        leave = observed.concurrency.limit * max(0, patience_ms) // max(observed.usual_ms, 1)
        return max(0, left - (leave - leave * observed.failure_ppm // PPM))

    def _may_try(
        self, now_ms: int, processor: int, states: tuple[ProcessorState, ProcessorState], queue: Queue
    ) -> bool:
        """Whether to send a probe: not while a cheaper one is well, for then it does not matter; nor, while the dear
        one is well, a payment that would have waited enough when it fails, for it would be the one to try each time.
        """
        if states[processor] is ProcessorState.HEALTHY:
            return False
        observed = self.observed[processor]
        if states[1 - processor] is ProcessorState.HEALTHY:
            is_worth_it = observed.fee_ppm < self.observed[1 - processor].fee_ppm
            if not is_worth_it or (queue.waiting == 1 and not self._is_patient(now_ms, processor, queue)):
                return False
            if queue.newest_ms + observed.failing_ms >= self._wait_ms:
                return False
        return observed.wants_probe(now_ms) and not self._may_be_seen(now_ms, observed, states[processor])

    def _may_be_seen(self, now_ms: int, observed: ObservedProcessor, state: ProcessorState) -> bool:
        """Whether what is sent now would be settled late, and about when an audit is expected. What fails late may have
        recovered by then; single probes keep a smaller distance, so that this is found all the same.
        """
        if state is ProcessorState.OPEN:
            took_ms, around_ms = observed.failing_ms, self._limits.audit_guard_ms >> PROBE_GUARD_SHIFT
        else:
            took_ms, around_ms = observed.usual_ms, self._limits.audit_guard_ms + (observed.usual_ms >> ARRIVAL_SHIFT)
        if took_ms < self._limits.slow_ms:
            return False
        return self._audits.may_hit(now_ms + took_ms - around_ms, now_ms + took_ms + around_ms)

    def _patience_ms(self, saved_ppm: int) -> int:
        """How long a wait costs as much as it may save."""
        if not self._limits.wait_cost_ppm:
            return FOR_EVER_MS
        return max(saved_ppm, 0) * 1000 // self._limits.wait_cost_ppm
