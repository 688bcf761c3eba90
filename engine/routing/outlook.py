"""What the rules of the router mean for the payments that come now: for people, and nothing is decided by it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.routing.observed import ObservedProcessor
from engine.routing.patience import Patience
from engine.situation import Flow, Situation


def situation(
    now_ms: int, observed: Sequence[ObservedProcessor], patience: Patience, silent: Collection[int]
) -> Situation:
    """Where payments go, as the processors were last observed.

    Parameters:
      observed: the two processors.
      silent: numbers of those that answer nothing; the first payments that fail there will open their breakers.
    """
    healthy = [number for number, one in enumerate(observed) if one.is_healthy and number not in silent]
    if len(healthy) == len(observed):
        return Situation(Flow.TO_FIRST, _cheapest(observed, healthy))
    if not healthy:
        slow = [number for number, one in enumerate(observed) if one.is_slow and number not in silent]
        return Situation(Flow.TO_SLOW, _cheapest(observed, slow)) if slow else Situation(Flow.NOWHERE)
    (best,) = healthy
    other = 1 - best
    saved_ppm = observed[best].fee_ppm - observed[other].fee_ppm
    if saved_ppm <= 0:
        return Situation(Flow.TO_FIRST, best)
    if observed[other].is_slow and other not in silent:
        return Situation(Flow.MOST_TO_OTHER, other, best)
    wait_ms = min(patience.bound_ms, patience.worth_ms(saved_ppm))
    is_hoped_for = other in silent or patience.is_hoped_for(now_ms, observed[other], saved_ppm)
    if observed[other].is_paused or not wait_ms or not is_hoped_for:
        return Situation(Flow.TO_OTHER, other, best)
    return Situation(Flow.WAIT, other, best, wait_ms)


def _cheapest(observed: Sequence[ObservedProcessor], numbers: Sequence[int]) -> int:
    return min(numbers, key=lambda number: (observed[number].cost_ppm, number))
