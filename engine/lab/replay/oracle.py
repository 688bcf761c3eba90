"""The most that a contest could have earned: what would be done with knowledge of every stage and every payment
beforehand.

All payments have the same amount, so net is ``w x settled + (v - w) x settled at the cheaper processor``, with ``v``
and ``w`` what is left of an amount there and at the dearer one, ``v >= w >= 0``. It is enough to bound the two numbers,
and to show one plan that reaches both bounds at once.

*What one processor can settle.* Time is cut into slots. Number the requests that it settles backward by when their turn
came: b(1) the last, b(2) the one before it. Of b(i) and the K after it, K being ``handled_max``, one has ended when the
last of them begins, at b(i-K). With F(t) the soonest end of any request that is begun in slot t or later and settles,
therefore F(b(i)) <= b(i-K). So this N(t) bounds how many can be settled that are begun in t or later:

    N(t) = min(N(t+1) + (q if a request begun in t settles, else 0), K + N(F(t)))

with q what the processor's thread takes in a slot. Of the payments that arrive in t or later, at most N(t) are settled
here, and at most N(t) + M(t) at both together, M being the other's N.

*Nothing else is in the way.* Let payments of which at most N(t) arrive in t or later, for every t, be taken in turn,
payment i ready at x(i) = max(its arrival, the end of payment i-K) and settled at F(x(i)). Then N(x(i)) is at least the
number m(i) of payments from i on: N(arrival) is, and N(F(x(i-K))) >= N(x(i-K)) - K >= m(i-K) - K = m(i). So all are
settled.

*A plan that reaches both bounds.* Go through the payments from the last to the first. Each is given to the cheaper
processor when fewer than N(t) were, t being its arrival; else to the dearer one when fewer than M(t) were; else it is
left. The earliest that is left arrived in some t: all before it are settled, and N(t) + M(t) of the rest; no plan
settles more. The earliest that is not at the cheaper one arrived in some t: all before it are there, and N(t) of the
rest; no plan settles more there.

This is the greedy algorithm on a transversal matroid (Edmonds, Matroids and the greedy algorithm, Mathematical
Programming 1, 1971): the best set of turns has as many cheap ones as any, and is nevertheless as large as any.

A processor that fails at random does not fail here: with knowledge of the future, each payment is sent at a moment when
the processor does not fail. So with many such failures the bound is generous by the turns that they take.

The bound is reached when ``service_us`` is 0, up to the length of a slot. Otherwise it may be slightly generous, never
less than what can be had: a time counts as the beginning of its slot (at most 10 ms), the soonest end may be that of a
request for which the thread has no time, and neither a 429 nor learning how a processor is costs anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from engine.lab.contest.books import Total, Totals
from engine.lab.contest.scenario import BEFORE_FIRST_STAGE, Condition, Scenario
from engine.lab.contest.score import net
from engine.lab.replay.model import Model

SERIES_MS = 250
SLOT_MS_MAX = 10


@dataclass(frozen=True)
class Best:
    """What the oracle earns, and how.

    Parameters:
      on_default, on_fallback: payments settled there when the run ends.
      left: payments that could not have been settled by then, as many as possible being settled.
      net: settled amounts less fees, in currency units, as :func:`engine.lab.contest.score.net` has it.
      series: payments settled at default and at fallback in each ``SERIES_MS`` since the load began, in a plan that
        earns this: each is sent to the processor of the proof above as soon as that processor can settle it.
    """

    on_default: int
    on_fallback: int
    left: int
    net: Decimal
    series: tuple[tuple[int, int], ...]

    @property
    def settled(self) -> int:
        """Payments settled at both together."""
        return self.on_default + self.on_fallback


def best(scenario: Scenario, arrivals_ms: Sequence[int], model: Model, end_ms: int) -> Best:
    """The most that any routing could have earned.

    Parameters:
      scenario: its stages, fees and amount count. Stages begin at whole ms; the last one holds until ``end_ms``.
      arrivals_ms: when each payment was accepted, in order, in ms since the load began.
      model: what the processors are like.
      end_ms: what is settled at this moment counts, in ms since the load began.

    Raises ValueError when ``arrivals_ms`` are not in order or negative.
    """
    if any(after < before for before, after in zip((0, *arrivals_ms), arrivals_ms, strict=False)):
        raise ValueError("arrivals_ms must be in order, and none before the load")
    slot_ms, transit_ms = _slot_ms(scenario), model.transit_us // 1000
    limits = Limits(
        slots=end_ms // slot_ms + 1,
        handled=model.handled_max,
        begun=math.ceil(slot_ms * 1000 / model.service_us) if model.service_us else max(len(arrivals_ms), 1),
    )
    stages = (BEFORE_FIRST_STAGE, *scenario.stages)
    begins = [round(stage.at_s * 1000) // slot_ms for stage in stages]
    default = _turns(_spans(begins, [stage.default for stage in stages], slot_ms, limits), limits)
    fallback = _turns(_spans(begins, [stage.fallback for stage in stages], slot_ms, limits), limits)

    fallback_is_cheaper = scenario.fees.fallback < scenario.fees.default
    ready = [min((arrival_ms + transit_ms) // slot_ms, limits.slots) for arrival_ms in arrivals_ms]
    if fallback_is_cheaper:
        at_fallback, at_default = _shared_out(ready, fallback, default)
    else:
        at_default, at_fallback = _shared_out(ready, default, fallback)
    counts = [[0, 0] for _ in range(end_ms // SERIES_MS + 1)]
    for processor, (arrivals, turns) in enumerate(((at_default, default), (at_fallback, fallback))):
        for end in _ends(arrivals, turns, limits):
            counts[end * slot_ms // SERIES_MS][processor] += 1

    def total(arrivals: Sequence[int]) -> Total:
        return Total(len(arrivals), len(arrivals) * scenario.load.amount_cents)

    return Best(
        on_default=len(at_default),
        on_fallback=len(at_fallback),
        left=len(ready) - len(at_default) - len(at_fallback),
        net=net(Totals(default=total(at_default), fallback=total(at_fallback)), scenario.fees.by_name),
        series=tuple((on_default, on_fallback) for on_default, on_fallback in counts),
    )


class Limits(NamedTuple):
    """``slots`` of time in the run; requests ``handled`` at once; requests ``begun`` in one slot. For one processor."""

    slots: int
    handled: int
    begun: int


class _Span(NamedTuple):
    """From slot ``first`` to before slot ``until`` a processor takes ``delay`` slots for what is begun, or fails."""

    first: int
    until: int
    delay: int
    failing: bool


class Turns(NamedTuple):
    """One processor, by slots; a last entry stands for all that come after the run.

    ``left[t]`` is N(t): how many can be settled that are begun in slot t or later. ``soonest[t]`` is F(t): the slot in
    which such a request ends at the soonest; the number of slots when none does within the run.
    """

    left: list[int]
    soonest: list[int]


def _slot_ms(scenario: Scenario) -> int:
    """The longest slot, up to the limit, in which no stage begins and no delay ends but at its beginning."""
    times_ms = [round(stage.at_s * 1000) for stage in scenario.stages]
    delays_ms = [c.delay_ms for stage in scenario.stages for c in (stage.default, stage.fallback)]
    return math.gcd(SLOT_MS_MAX, *times_ms, *delays_ms)


def _spans(begins: Sequence[int], conditions: Sequence[Condition], slot_ms: int, limits: Limits) -> list[_Span]:
    firsts = [min(begin, limits.slots) for begin in begins]
    return [
        _Span(first, until, condition.delay_ms // slot_ms, condition.failing)
        for first, until, condition in zip(firsts, [*firsts[1:], limits.slots], conditions, strict=True)
    ]


def _turns(spans: Sequence[_Span], limits: Limits) -> Turns:
    """Those of a processor whose ``spans`` cover all slots, in order."""
    fails = [span.failing for span in spans for _ in range(span.first, span.until)]
    return turns([span.delay for span in spans for _ in range(span.first, span.until)], fails, limits)


def turns(delays: Sequence[int], fails: Sequence[bool], limits: Limits) -> Turns:
    """N and F of the module's text.

    Parameters:
      delays: for each slot, how many slots later ends what is begun in it.
      fails: for each slot, whether what ends in it fails.
    """
    left, soonest = [0] * (limits.slots + 1), [limits.slots] * (limits.slots + 1)
    count, end_soonest = 0, limits.slots
    for slot in range(limits.slots - 1, -1, -1):
        end = slot + delays[slot]
        if end < limits.slots and not fails[end]:
            end_soonest = min(end, end_soonest)
            count += limits.begun
            # What is begun and ended in the same slot never waits for room.
            if end_soonest > slot:
                count = min(count, limits.handled + left[end_soonest])
        left[slot], soonest[slot] = count, end_soonest
    return Turns(left, soonest)


def _shared_out(ready: Sequence[int], cheap: Turns, dear: Turns) -> tuple[list[int], list[int]]:
    """Which payments are settled where: the slots in which those at the cheaper and at the dearer one are ready."""
    at_cheap: list[int] = []
    at_dear: list[int] = []
    for slot in reversed(ready):
        if len(at_cheap) < cheap.left[slot]:
            at_cheap.append(slot)
        elif len(at_dear) < dear.left[slot]:
            at_dear.append(slot)
    return at_cheap[::-1], at_dear[::-1]


def _ends(ready: Sequence[int], turns: Turns, limits: Limits) -> list[int]:
    """The slots in which payments end at a processor that takes them in turn, each as soon as there is room.

    Those for which the bound was too generous end in the last slot.
    """
    ends: list[int] = []
    for number, slot in enumerate(ready):
        room = ends[number - limits.handled] if number >= limits.handled else 0
        end = turns.soonest[max(slot, room)]
        if number >= limits.begun:
            end = max(end, ends[number - limits.begun] + 1)
        ends.append(min(end, limits.slots - 1))
    return ends
