"""The oracle of a recorded window: what no routing could have earned more than, the future being known.

A set of payments can be settled at a processor only if, for every moment t, no more of them are ready at t or later
than N(t), which is the bound of :mod:`engine.lab.replay.oracle`. Such sets are those of a matroid: tasks of one length
with turns from a time on. So the greatest sum of weights is had by taking payments in the order of their weights, each
if it still fits, and giving it the earliest turn that is free (Edmonds, Matroids and the greedy algorithm, Mathematical
Programming 1, 1971).

A payment brings at a processor its amount less the lowest fee that is valid there from its acceptance on. What it
brings at the dearer one is had wherever it is settled: that sum is bounded with the turns of both together. What it
brings more at the cheaper one is bounded with the turns of that one. The two sums together bound what can be earned.
For payments of one amount, under fees that stay, a plan reaches it, as the module named above shows.

Times are cut into slots of ``SLOT_MS``, always to the oracle's advantage. It knows of no failures by chance, and is
bound by operators' pauses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from engine.lab.advice.played import Window, lowest_ppm
from engine.lab.replay.oracle import Limits, Turns, turns
from engine.lab.replay.processor import Course
from engine.ledger.advice import Earned
from engine.processors import PPM, rounded

SLOT_MS: Final = 10
SLOT_US: Final = SLOT_MS * 1000


def most(window: Window) -> Earned:
    """What the oracle earns with the payments that count. ``fee_cents`` is what is left of what it settles."""
    record = window.record
    both = [_turns(window, number) for number in range(len(record.names))]
    changes_ms = record.fee_changes_ms
    ready, worth = list[int](), list[tuple[int, ...]]()
    for one in window.counted:
        at_us = (one.accepted_ms - record.begin_ms) * 1000 + window.model.transit_us
        ready.append(at_us // SLOT_US)
        worth.append(
            tuple(
                one.cents * (PPM - lowest_ppm(record.fees, number, changes_ms, one.accepted_ms))
                for number in range(len(both))
            )
        )
    together = [sum(one.left[slot] for one in both) for slot in range(len(both[0].left))]
    settled = _heaviest([min(one) for one in worth], ready, together)
    microcents = sum(min(worth[number]) for number in settled)
    for processor, own in enumerate(both):
        more = [one[processor] - min(one) for one in worth]
        microcents += sum(more[number] for number in _heaviest(more, ready, own.left))
    earned_cents = rounded(microcents)
    return Earned(earned_cents, sum(window.counted[number].cents for number in settled) - earned_cents, None)


def _turns(window: Window, processor: int) -> Turns:
    """What the processor can settle, by slots."""
    record, model = window.record, window.model
    length_us = window.arrivals.end_us
    limits = Limits(
        slots=length_us // SLOT_US + 1,
        handled=model.handled_max,
        begun=math.ceil(SLOT_US / model.service_us) if model.service_us else max(len(record.payments), 1),
    )
    course = Course(window.scenario, processor)
    never, delays, fails = limits.slots, list[int](), list[bool]()
    for slot in range(limits.slots):
        first, last = course.index(slot * SLOT_US), course.index((slot + 1) * SLOT_US - 1)
        held = range(first, last + 1)
        fails.append(all(course.failing[index] for index in held))
        delays.append(min(course.delays_us[index] for index in held) // SLOT_US)
    for begin_ms, end_ms in _paused(window, processor):
        for slot in range(math.ceil((begin_ms - record.begin_ms) / SLOT_MS), (end_ms - record.begin_ms) // SLOT_MS):
            delays[slot] = never
    return turns(delays, fails, limits)


def _paused(window: Window, processor: int) -> Iterable[tuple[int, int]]:
    """From when to when an operator kept new payments from the processor."""
    since_ms: int | None = None
    for one in window.record.pauses:
        if one.processor != processor:
            continue
        if one.is_paused and since_ms is None:
            since_ms = one.at_ms
        elif not one.is_paused and since_ms is not None:
            yield since_ms, one.at_ms
            since_ms = None
    if since_ms is not None:
        yield since_ms, window.record.to_ms


def _heaviest(weights: Sequence[int], ready: Sequence[int], left: Sequence[int]) -> list[int]:
    """The numbers of the payments with the greatest sum of weights that fit: at most ``left[t]`` are ready in slot t or
    later, for every t. Those without a weight are left out.
    """
    room = [now - later for now, later in zip(left, [*left[1:], 0], strict=True)]
    # From each slot the next one with room, or one that is nearer to it; the last stands for none.
    nearer = [slot if some else slot + 1 for slot, some in enumerate(room)] + [len(room)]
    taken = list[int]()
    for number in sorted(range(len(weights)), key=lambda number: -weights[number]):
        if weights[number] <= 0:
            break
        slot = _first_with_room(nearer, min(ready[number], len(room)))
        if slot == len(room):
            continue
        taken.append(number)
        room[slot] -= 1
        if not room[slot]:
            nearer[slot] = slot + 1
    return taken


def _first_with_room(nearer: list[int], slot: int) -> int:
    """The first slot from ``slot`` on that has room. The ways to it become shorter."""
    while nearer[slot] != slot:
        nearer[slot] = nearer[nearer[slot]]
        slot = nearer[slot]
    return slot
