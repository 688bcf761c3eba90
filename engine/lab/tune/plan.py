"""Which contests a tuning run holds, in which order, and which points go on. Pure, and the same on every call.

A grid holds ``rounds`` contests of every point. Successive halving begins with short contests of all points, and the
better half goes on to ones twice as long, until two are left: every rung costs about the same, and most of the time is
spent on points that are good (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016). A contest cannot be continued as the training of a model can, so every rung holds new
ones, and only contests of the same length are compared.

A round holds a contest of every point before the next begins, in an order of its own: what else the machine does
meanwhile, and what changes over the hours, affects all of them alike.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from engine.lab.tune import space
from engine.lab.tune.objective import Objective, Run, rank, tier
from engine.lab.tune.space import Axis, Point

ROUNDS_MAX = 100


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is held; two runs with the same plan hold the same contests.

    Parameters:
      axes: what is varied.
      fixed: settings of every engine, beside the varied ones.
      scenario: the name or file of the contest's scenario.
      fingerprint: of the scenario's content, so that an edited file is noticed.
      seconds: length of a contest; with halving, of the longest.
      seconds_min: length of the shortest contests of halving; nothing without it.
      drain_s_max: how long an engine may take to settle the rest after the load.
      rounds: contests of every point (in each rung).
      objective: what is looked for.
      halving: successive halving, else a grid.
      seed: of the order within rounds.
    """

    axes: tuple[Axis, ...]
    fixed: tuple[tuple[str, str], ...]
    scenario: str
    fingerprint: str
    seconds: float
    seconds_min: float
    drain_s_max: float
    rounds: int
    objective: Objective
    halving: bool
    seed: int

    @property
    def rounds_told(self) -> str:
        """``1 round``, ``3 rounds``."""
        return "1 round" if self.rounds == 1 else f"{self.rounds} rounds"

    @property
    def points(self) -> tuple[Point, ...]:
        """What is tried; a point's number is its place here. Raises SpaceError if there are too many."""
        return space.points(self.axes)


@dataclass(frozen=True)
class Rung:
    """``entrants`` points have contests of ``seconds``. A grid has one rung."""

    entrants: int
    seconds: float


@dataclass(frozen=True, order=True)
class Slot:
    """The place of a run in the plan: the rung, the round in it (both from 0), and the number of the point."""

    rung: int
    round: int
    point: int


def rungs(plan: Plan) -> tuple[Rung, ...]:
    """All rungs. The last of halving has two points and contests of ``plan.seconds``."""
    count = len(plan.points)
    if not plan.halving:
        return (Rung(count, plan.seconds),)
    entrants = [count]
    while entrants[-1] > 2:
        entrants.append(-(-entrants[-1] // 2))
    last = len(entrants) - 1
    # Lengths with 0.1 s, which say more in a table and cost nothing.
    lengths = [round(max(plan.seconds / 2 ** (last - index), plan.seconds_min), 1) for index in range(last + 1)]
    return tuple(Rung(points, min(length, plan.seconds)) for points, length in zip(entrants, lengths, strict=True))


def runs_of_rung(plan: Plan, rung: int, finished: Mapping[Slot, Run]) -> dict[int, list[Run]]:
    """The finished runs of ``rung`` by point, in order of their rounds."""
    found: dict[int, list[Run]] = {}
    for slot in sorted(finished):
        if slot.rung == rung:
            found.setdefault(slot.point, []).append(finished[slot])
    return found


def entrants(plan: Plan, rung: int, finished: Mapping[Slot, Run]) -> list[int] | None:
    """The points that take part in ``rung``; None while the rung before is not over."""
    if rung == 0:
        return list(range(len(plan.points)))
    before = entrants(plan, rung - 1, finished)
    if before is None:
        return None
    runs = runs_of_rung(plan, rung - 1, finished)
    if any(len(runs.get(point, ())) < plan.rounds for point in before):
        return None
    return sorted(rank(plan.objective, runs)[: rungs(plan)[rung].entrants])


def order(plan: Plan, rung: int, round_: int, taking_part: list[int]) -> list[int]:
    """The order in which the points of a rung have their contests in one round."""
    shuffled = list(taking_part)
    random.Random(f"{plan.seed} {rung} {round_}").shuffle(shuffled)
    return shuffled


def next_slot(plan: Plan, finished: Mapping[Slot, Run]) -> Slot | None:
    """What is to be held next; None when the plan is done."""
    for rung in range(len(rungs(plan))):
        taking_part = entrants(plan, rung, finished)
        assert taking_part is not None, "the rungs before have nothing left to hold"
        for round_ in range(plan.rounds):
            for point in order(plan, rung, round_, taking_part):
                if Slot(rung, round_, point) not in finished:
                    return Slot(rung, round_, point)
    return None


def runs_in_all(plan: Plan) -> int:
    """How many contests the plan holds."""
    return sum(rung.entrants for rung in rungs(plan)) * plan.rounds


def left_s(plan: Plan, finished: Mapping[Slot, Run], overhead_s: float) -> float:
    """The time that the contests not yet held take, ``overhead_s`` being what each takes beside its load."""
    total = 0.0
    for index, rung in enumerate(rungs(plan)):
        held = sum(slot.rung == index for slot in finished)
        total += (rung.entrants * plan.rounds - held) * (rung.seconds + overhead_s)
    return total


def standing(plan: Plan, finished: Mapping[Slot, Run]) -> list[tuple[int, int]]:
    """Every point that has a finished run, the best first, with the last rung in which it has one.

    Those of a later rung stand before those that did not get there, unless they have shown there that they are no good.
    """
    result: list[tuple[int, int, int]] = []
    for rung in reversed(range(len(rungs(plan)))):
        seen = {point for _, point, _ in result}
        runs_of = runs_of_rung(plan, rung, finished)
        left = {point: runs for point, runs in runs_of.items() if point not in seen}
        result.extend((tier(plan.objective, left[point]), point, rung) for point in rank(plan.objective, left))
    return [(point, rung) for _, point, rung in sorted(result, key=lambda entry: entry[0])]
