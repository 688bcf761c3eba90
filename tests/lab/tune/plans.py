"""Plans and finished runs for the tests."""

from __future__ import annotations

from collections.abc import Callable

from engine.lab.tune import plan as plans
from engine.lab.tune import space
from engine.lab.tune.objective import OBJECTIVES, Run
from engine.lab.tune.plan import Plan, Slot

PAUSE, BATCH = "ENGINE_DISPATCH_PAUSE_MS", "ENGINE_DISPATCH_BATCH"


def plan(
    *vary: str, rounds: int = 2, objective: str = "p99", halving: bool = False, seconds: float = 40, seed: int = 1
) -> Plan:
    """A plan; without ``vary`` one of three pauses and two batches."""
    return Plan(
        axes=space.parse_axes(vary or (f"{PAUSE}=2,4,8", f"{BATCH}=16,64")),
        fixed=(),
        scenario="short",
        fingerprint="0123456789abcdef",
        seconds=seconds,
        seconds_min=5.0,
        drain_s_max=15.0,
        rounds=rounds,
        objective=OBJECTIVES[objective],
        halving=halving,
        seed=seed,
    )


def brought(p99_ms: float, broken: str = "", lost: float = 0.0, **measures: float) -> Run:
    """A run of a thousand requests."""
    return Run({"p99_ms": p99_ms, "requested": 1000.0, "lost": lost} | measures, broken)


def play(plan: Plan, run: Callable[[Slot], Run], runs_max: int = 100_000) -> dict[Slot, Run]:
    """Holds ``plan``, or the first ``runs_max`` of its contests, with what ``run`` says of each, in order."""
    finished: dict[Slot, Run] = {}
    while len(finished) < runs_max and (slot := plans.next_slot(plan, finished)) is not None:
        finished[slot] = run(slot)
    return finished
