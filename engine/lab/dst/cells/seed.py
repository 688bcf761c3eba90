"""Running one seed, and what to say when it fails."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from engine.lab.dst.cells.world import World
from engine.lab.dst.model import ViolationError

FRAMES = 4  # of the traceback of an exception that is no violation


@dataclass(frozen=True)
class Result:
    """``failure``: what went wrong, in a line, None when nothing did; ``account``: the longer story of it."""

    seed: int
    failure: str | None
    account: str
    world: World


def run_seed(seed: int, cells: int | None = None) -> Result:
    """Runs the world of ``seed`` from beginning to end, with ``cells`` cells or, with None, as many as it draws."""
    world = World(seed, cells)
    payment = None
    try:
        world.run()
        return Result(seed, None, "", world)
    except ViolationError as violation:
        failure, where, payment = str(violation), "", violation.payment
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        where = "".join(traceback.format_tb(error.__traceback__)[-FRAMES:]) + "\n"
    return Result(seed, failure, where + world.trace.account(payment, world.plan.start_ms), world)
