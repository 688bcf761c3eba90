"""How many payments are risked for the lower fee of a processor that is not healthy. Pure.

The risk: everything may end before that processor has settled them.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.routing.arrivals import Arrivals
from engine.routing.fees import PPM
from engine.routing.observed import ObservedProcessor
from engine.routing.patience import Patience
from engine.routing.plan import Queue
from engine.routing.policy import (
    BUDGET_FEW,
    FLUSH_ANSWER_MS_MAX,
    FLUSH_MAX,
    FLUSH_MS,
    LEAVING_FEW,
    LEAVING_MS,
    LEAVING_SHIFT,
    LOOK_MS,
    RECOVERY_PROBES,
)
from engine.setting_groups import RoutingSettings


class Stake(NamedTuple):
    """What a cheaper processor that is not healthy gets: ``sent`` payments begin there, ``kept`` payments wait for it,
    and ``room`` more may begin there if the other processor has no room for them.
    """

    sent: int
    kept: int
    room: int


class Risk:
    """Keeps within a budget the payments that would be lost if everything ended now. The budget is spent on payments
    at a cheaper processor that is slow, and on payments that wait for a cheaper processor.
    """

    def __init__(self, limits: RoutingSettings, patience: Patience, arrivals: Arrivals) -> None:
        self._limits = limits
        self._patience = patience
        self._arrivals = arrivals

    def stake(
        self, now_ms: int, cheaper: ObservedProcessor, dearer: ObservedProcessor, queue: Queue, left: int, room: int
    ) -> Stake:
        """Divides ``left`` payments while ``cheaper``, which has ``room``, is not healthy and ``dearer`` is. Payments
        that are neither sent nor kept go to ``dearer``.
        """
        budget = max(BUDGET_FEW, queue.settled * self._limits.wait_share_ppm // PPM) - cheaper.in_flight
        sent = kept = 0
        if self._may_send(now_ms, cheaper, dearer, queue):
            sent = max(0, min(left, room, budget))
            budget -= sent
            if sent == room and not self._patience.is_over(queue.oldest_ms):
                # It has no room just now, or an audit is near: these payments can go there a moment later.
                kept = max(0, min(left - sent, budget, cheaper.concurrency.limit - cheaper.in_flight))
        rest = left - sent - kept
        return Stake(sent, left - sent - self._leaving(now_ms, cheaper, dearer, queue, rest, budget), room - sent)

    def worth_ms(self, now_ms: int, cheaper: ObservedProcessor, dearer: ObservedProcessor) -> int:
        """The time to settle at ``cheaper`` whose risk equals the cost of the higher fee. The risk is that everything
        ends within that time d, which has the chance d / (t + d), but not within the time that ``dearer`` takes.
        """
        higher_ppm = min(max(dearer.fee_ppm - cheaper.fee_ppm, 0), PPM - 1)
        return higher_ppm * self._arrivals.since_ms(now_ms) // (PPM - higher_ppm) + dearer.usual_ms

    def _may_send(self, now_ms: int, cheaper: ObservedProcessor, dearer: ObservedProcessor, queue: Queue) -> bool:
        """Whether payments begin at ``cheaper``: it is slow, its fee is worth the risk, and no payment has waited so
        long that it must not fail there once more.
        """
        if not cheaper.is_slow or cheaper.usual_ms >= self.worth_ms(now_ms, cheaper, dearer):
            return False
        if cheaper.cost_ppm >= dearer.cost_ppm:
            return False
        return not (cheaper.fails_at_random and self._patience.is_last_try(cheaper, queue.oldest_ms))

    def _leaving(
        self, now_ms: int, cheaper: ObservedProcessor, dearer: ObservedProcessor, queue: Queue, left: int, budget: int
    ) -> int:
        """How many of ``left`` payments go to ``dearer``; the others wait."""
        recovery_ms = RECOVERY_PROBES * self._limits.probe_interval_ms
        if dearer.changed_ms and now_ms - dearer.changed_ms < recovery_ms:
            return 0
        if not cheaper.is_slow:
            budget += self._flushed(dearer)
        is_hoped_for = self._patience.is_hoped_for(now_ms, cheaper, dearer.fee_ppm - cheaper.fee_ppm)
        if not is_hoped_for:
            return left
        if not self._patience.is_over(queue.oldest_ms):
            return left - max(0, min(left, budget))
        if self._patience.bound_ms < LEAVING_MS:
            return left
        return min(left, max(left - budget, LEAVING_FEW, left >> LEAVING_SHIFT))

    def _flushed(self, dearer: ObservedProcessor) -> int:
        """How many payments ``dearer`` surely settles after payments have stopped coming."""
        if dearer.usual_ms > FLUSH_ANSWER_MS_MAX:
            return 0
        passes = dearer.concurrency.passes(FLUSH_MS, dearer.usual_ms + LOOK_MS)
        return min(FLUSH_MAX, passes - passes * dearer.failure_ppm // PPM)
