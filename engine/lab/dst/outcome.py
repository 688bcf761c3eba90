"""Running a world of either simulation, and what to say when it fails."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from engine.lab.dst.model import ViolationError

FRAMES = 4  # of the traceback of an exception that is no violation


class World(Protocol):
    """What both simulations run. ``trace``: all that happened; ``plan``: what was drawn."""

    trace: Any
    plan: Any

    def run(self) -> None:
        """From beginning to end. Raises ViolationError."""


W = TypeVar("W", bound=World)


@dataclass(frozen=True)
class Result(Generic[W]):
    """``failure``: what went wrong, in a line, None when nothing did; ``account``: the longer story of it."""

    seed: int
    failure: str | None
    account: str
    world: W


def of(seed: int, world: W) -> Result[W]:
    """Runs the ``world`` of ``seed``."""
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
