"""Where the next payments go: to which processor, or nowhere for now. Pure: time and outcomes in, a choice out.

Everything is weighed in millionths (ppm) of the amount. A payment that is sent to a processor costs its fee and the
time that it is expected to take there, at ``wait_cost_ppm`` for a second::

    cost = fee + wait_cost x expected time

The expected time is the time of an answer. For a processor that fails at random (:mod:`engine.routing.failures`) it
includes the tries that fail before: f / (1 - f) of them at a failure rate f, each with the wait that follows. The
number of payments that can be settled there at once is less by f.

The rules, in the order in which :meth:`Router.plan` has them:

1. *Audits*. Payments are held for a few milliseconds, so that they arrive at no audit (:mod:`engine.routing.audits`).

2. *Both healthy*. The processor that costs less gets all payments that it has room for.

3. *Probes*. While a processor is not healthy, single payments find out whether it is back, if that matters.

4. *The cheaper processor is not healthy*. It is not known for how long. So payments wait for it, with patience and
   within a budget.

   The patience (:mod:`engine.routing.patience`): each payment waits for as long as the bound allows. A payment that has
   waited long enough goes to the dearer processor. Only time in which some processor was healthy counts. No payment
   waits any more when the cheaper processor has been unusable for so long that the wait has cost as much as the higher
   fee (the rule of the ski rental: that costs at most twice as much as knowing the future). When the dearer processor
   has just recovered, only probes go there for a moment: both processors often recover together.

   The budget (:mod:`engine.routing.risk`): payments that wait are lost if everything ends before they are sent. But an
   end can be seen: payments stop coming (:mod:`engine.routing.arrivals`), and then all that wait go to the healthy
   processor. If that processor is quick, as many may wait as it can settle in a second, ``FLUSH_MAX`` at most. In
   addition to those, at most ``wait_share_ppm`` of all that was settled may wait: no more than that can be lost.

5. *Overflow*. Payments that the best processor has no room for wait for it, as long as that costs less than the other
   processor. The rest are sent to the other one, so both work when one alone cannot keep up.

Slow processors take so long that an audit may find a payment there before we know of its charge. A payment is not sent
to a slow processor if it would be settled when the next audit is expected. While no audit has been seen yet, all
payments of half a second leave together, and are settled together. A payment in flight cannot be called back when
everything ends. So, as long as the other processor is healthy, payments at a slow one count in the same budget, and the
saved fee must be worth the risk. If all that is known is that payments have been coming for a time t, they end within
another time d with a chance of d / (t + d) (J. R. Gott, "Implications of the Copernican principle for our future
prospects", Nature 363, 1993). The higher fee must be more than that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from engine.routing import outlook
from engine.routing.arrivals import Arrivals
from engine.routing.audits import Audits
from engine.routing.fees import PPM
from engine.routing.observed import ObservedProcessor
from engine.routing.outages import TotalOutages
from engine.routing.patience import Patience
from engine.routing.plan import Plan, Queue
from engine.routing.policy import (
    ARRIVAL_SHIFT,
    BURST_EVERY_MS,
    BURST_MS,
    CROWD,
    LISTEN_MS,
    LOOK_MS,
    PROBE_GUARD_SHIFT,
)
from engine.routing.risk import Risk, Stake
from engine.setting_groups import RoutingSettings
from engine.situation import Situation

ROUTED = 2  # payments can be routed between this many processors
NOTHING = Plan(*[0] * ROUTED)


class Router:
    """Chooses for all payments that wait.

    Parameters:
      limits: the settings.
      fees_ppm: what each processor keeps, in millionths of an amount.
      took_ms_max: no request is waited for longer.

    Raises ValueError unless there are two processors.
    """

    OBSERVED: ClassVar[type[ObservedProcessor]] = ObservedProcessor

    def __init__(self, limits: RoutingSettings, fees_ppm: Sequence[int], took_ms_max: int) -> None:
        if len(fees_ppm) != ROUTED:
            raise ValueError(f"payments can be routed between {ROUTED} processors so far, not between {len(fees_ppm)}")
        self._limits = limits
        self._audits = Audits(limits.audit_interval_ms)
        self._arrivals = Arrivals()
        self._outages = TotalOutages()
        self._patience = Patience(limits, self._outages)
        self._risk = Risk(limits, self._patience, self._arrivals)
        self._have_stopped = False  # whether payments had stopped coming at the last plan
        self._burst_ms = 0  # when the last burst at slow processors began
        self.are_healthy = True  # whether both processors were healthy at the last plan
        self.observed = tuple(self.OBSERVED(limits, fee_ppm, took_ms_max) for fee_ppm in fees_ppm)

    def plan(self, now_ms: int, queue: Queue) -> Plan:
        """How many of the payments that wait to send now, and where to; probes included."""
        self._observe(now_ms, queue)
        if not queue.waiting or self._is_held_for_audits(now_ms, queue):
            return NOTHING
        best, other = self._best_first()
        if self.are_healthy:  # nearly always, so this is done first
            chosen = other if self._has_failed_for_long(now_ms, best, other, queue) else best
            if self.observed[chosen].room(now_ms) >= queue.waiting:
                return _all_to(chosen, queue.waiting)
        queue = self._patience.waited(now_ms, queue)
        probed = self._probed(now_ms, queue)
        left = queue.waiting - len(probed)
        stake = self._stake(now_ms, best, other, queue, left, self._room(now_ms, other, probed))
        left -= stake.sent + stake.kept
        to_best = min(left, self._room(now_ms, best, probed))
        to_other = stake.sent + min(stake.room, self._overflow(now_ms, best, other, queue, left - to_best))
        counts = [int(processor in probed) for processor in range(ROUTED)]
        counts[best] += to_best
        counts[other] += to_other
        # More than one payment at a slow processor is no probe.
        return Plan(*counts, probes=sum(1 << processor for processor in probed if counts[processor] == 1))

    def allows(self, now_ms: int, processor: int) -> bool:
        """Whether a payment that belongs to ``processor`` may be sent there now. The processor is observed anew, since
        answers may have come since the last plan.
        """
        observed = self.observed[processor]
        observed.observe(now_ms)
        if observed.is_healthy or observed.is_slow:
            return observed.room(now_ms) > 0
        return observed.wants_probe(now_ms)

    def must_listen(self, now_ms: int) -> bool:
        """Whether to listen for an answer that is due, because an audit may see its payment."""
        seen_ms = max(self._limits.slow_ms - LISTEN_MS, 1)
        first, second = self.observed
        return first.oldest_ms(now_ms) >= seen_ms or second.oldest_ms(now_ms) >= seen_ms

    def is_calm(self, now_ms: int) -> bool:
        """Whether all is as usual, so that a longer pause does no harm."""
        first, second = self.observed
        return first.is_calm(now_ms) and second.is_calm(now_ms)

    def audit_delay_ms(self, now_ms: int) -> int:
        """How much later than ``now_ms`` payments should be sent to avoid audits: a few milliseconds. It is 0 when
        payments have stopped coming, because there may be no time left.
        """
        return 0 if self._have_stopped else self._audits.audit_delay_ms(now_ms)

    def audited(self, now_ms: int) -> None:
        """A summary was requested."""
        self._audits.asked(now_ms)

    def wake_ms(self, now_ms: int, waiting: int) -> int | None:
        """When the choice for ``waiting`` payments may change by time alone."""
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
        """What a payment costs at a processor: its fee, and the time until it is settled, failed tries included."""
        return self.observed[processor].cost_ppm

    def situation(self, now_ms: int, silent: Collection[int]) -> Situation:
        """What happens to payments now, for people; ``silent``: processors that answer nothing."""
        return outlook.situation(now_ms, self.observed, self._patience, silent)

    def _observe(self, now_ms: int, queue: Queue) -> None:
        """Notes what must be noted in every pass, whether payments wait or not."""
        in_flight = healthy = 0
        for observed in self.observed:
            observed.observe(now_ms)
            in_flight += observed.in_flight
            healthy += observed.is_healthy
        self.are_healthy = healthy == ROUTED
        self._outages.looked(now_ms, is_now=not healthy)
        self._arrivals.counted(now_ms, queue.settled + queue.waiting + in_flight)
        self._have_stopped = self._arrivals.have_stopped(now_ms)

    # Rule 1: audits.

    def _is_held_for_audits(self, now_ms: int, queue: Queue) -> bool:
        """Whether a few milliseconds later is better. A backlog is not held while all are healthy."""
        return self.audit_delay_ms(now_ms) > 0 and (queue.waiting <= CROWD or not self.are_healthy)

    def _may_be_seen(self, now_ms: int, observed: ObservedProcessor) -> bool:
        """Whether a payment sent now would be settled slowly, and about when an audit is expected. A processor that
        fails slowly may have recovered by then. Single probes keep a smaller distance, so they find that out anyway.
        """
        if observed.is_open:
            took_ms, around_ms = observed.failing_ms, self._limits.audit_guard_ms >> PROBE_GUARD_SHIFT
        else:
            took_ms, around_ms = observed.usual_ms, self._limits.audit_guard_ms + (observed.usual_ms >> ARRIVAL_SHIFT)
        if took_ms < self._limits.slow_ms:
            return False
        return self._audits.may_hit(now_ms + took_ms - around_ms, now_ms + took_ms + around_ms)

    # Rule 2: both healthy.

    def _best_first(self) -> tuple[int, int]:
        """The processors, the best first: a healthy one, one that is not paused, then the one that costs less, then the
        first of the list.
        """
        first, second = self.observed
        if first.is_paused is not second.is_paused:
            return (1, 0) if first.is_paused else (0, 1)
        if first.is_healthy is second.is_healthy:
            return (0, 1) if first.cost_ppm <= second.cost_ppm else (1, 0)
        return (0, 1) if first.is_healthy else (1, 0)

    def _has_failed_for_long(self, now_ms: int, best: int, other: int, queue: Queue) -> bool:
        """Whether a payment has waited enough while ``best`` fails at random, and more often than ``other``."""
        observed = self.observed[best]
        if not observed.fails_at_random:
            return False
        if not self._patience.is_last_try(observed, self._patience.waited_ms(now_ms, queue.oldest_ms)):
            return False
        return self.observed[other].failure_ppm < observed.failure_ppm

    # Rule 3: probes.

    def _probed(self, now_ms: int, queue: Queue) -> list[int]:
        """The processors to which one payment goes as a probe."""
        due = [number for number, one in enumerate(self.observed) if self._is_probe_due(now_ms, one, queue)]
        return due[: queue.waiting]

    def _is_probe_due(self, now_ms: int, observed: ObservedProcessor, queue: Queue) -> bool:
        """Whether to send a probe to a processor now: it is due, and does not arrive at an audit."""
        if observed.is_healthy or not self._is_probe_worth_it(now_ms, observed, queue):
            return False
        return observed.wants_probe(now_ms) and not self._may_be_seen(now_ms, observed)

    def _is_probe_worth_it(self, now_ms: int, observed: ObservedProcessor, queue: Queue) -> bool:
        """Whether it matters if a processor is back. It does not while a cheaper one is healthy. While a dearer one is
        healthy, a payment is no probe if it will have waited enough when it fails: it would be the probe each time.
        """
        healthy_ppm = min((one.fee_ppm for one in self.observed if one.is_healthy), default=None)
        if healthy_ppm is None:
            return True
        saved_ppm = healthy_ppm - observed.fee_ppm
        if saved_ppm <= 0 or self._patience.is_last_try(observed, queue.newest_ms):
            return False
        return queue.waiting > 1 or self._is_patient(now_ms, observed, saved_ppm, queue)

    def _is_patient(self, now_ms: int, observed: ObservedProcessor, saved_ppm: int, queue: Queue) -> bool:
        """Whether payments may wait for a cheaper processor that is not healthy."""
        return not self._patience.is_over(queue.oldest_ms) and self._patience.is_hoped_for(now_ms, observed, saved_ppm)

    # Rule 4: the cheaper one is not healthy.

    def _stake(self, now_ms: int, best: int, other: int, queue: Queue, left: int, room: int) -> Stake:
        """What is risked of ``left`` payments for the lower fee of ``other``, which has ``room``; nothing when payments
        have stopped coming.
        """
        dearer, cheaper = self.observed[best], self.observed[other]
        if not dearer.is_healthy or cheaper.is_healthy or cheaper.fee_ppm >= dearer.fee_ppm:
            return Stake(0, 0, room)
        if self._have_stopped or cheaper.is_paused:
            return Stake(0, 0, 0)
        return self._risk.stake(now_ms, cheaper, dearer, queue, left, room)

    # Rule 5: overflow.

    def _room(self, now_ms: int, processor: int, probed: Collection[int]) -> int:
        """How many payments may go to a processor now, a probe left out."""
        observed = self.observed[processor]
        if observed.is_healthy:
            return observed.room(now_ms, is_end=self._have_stopped)
        if not observed.is_slow or self._may_be_seen(now_ms, observed):
            return 0
        if not self._audits.are_known and not self._joins_burst(now_ms):
            return 0
        return max(0, observed.room(now_ms) - int(processor in probed))

    def _joins_burst(self, now_ms: int) -> bool:
        """Joins the present burst, or begins one if the last is long enough ago. Returns whether it did."""
        if now_ms - self._burst_ms >= BURST_EVERY_MS:
            self._burst_ms = now_ms
        return now_ms - self._burst_ms < BURST_MS

    def _overflow(self, now_ms: int, best: int, other: int, queue: Queue, left: int) -> int:
        """How many payments that ``best`` has no room for go to ``other``: those that would wait too long."""
        if self._have_stopped or self._patience.is_over(queue.oldest_ms):
            return left
        first, second = self.observed[best], self.observed[other]
        patience_ms = self._patience.worth_ms(second.cost_ppm - first.cost_ppm)
        if first.is_slow and second.is_slow:  # no payment waits by choice then, but waiting is a risk
            patience_ms = min(patience_ms, self._risk.worth_ms(now_ms, first, second) - first.usual_ms)
        else:
            patience_ms = min(patience_ms, self._patience.bound_ms)
        # Payments leave at limit / time; those at the end of the queue wait for all before them.
        leave = first.concurrency.limit * max(0, patience_ms) // max(first.usual_ms, 1)
        return max(0, left - (leave - leave * first.failure_ppm // PPM))


def _all_to(processor: int, waiting: int) -> Plan:
    counts = [0] * ROUTED
    counts[processor] = waiting
    return Plan(*counts)
