"""Running one seed, and what to say when it fails."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from engine.lab.dst.model import ViolationError
from engine.lab.dst.world import World

FRAMES = 4  # of the traceback of an exception that is no violation


@dataclass(frozen=True)
class Result:
    """``failure``: what went wrong, in a line, None when nothing did; ``account``: the longer story of it."""

    seed: int
    failure: str | None
    account: str
    world: World


def run_seed(seed: int) -> Result:
    """Runs the world of ``seed`` from beginning to end."""
    world = World(seed)
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
