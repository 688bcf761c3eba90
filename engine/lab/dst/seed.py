"""Running one seed."""

from __future__ import annotations

from engine.lab.dst import outcome
from engine.lab.dst.outcome import Result
from engine.lab.dst.world import World


def run_seed(seed: int) -> Result[World]:
    """Runs the world of ``seed`` from beginning to end."""
    return outcome.of(seed, World(seed))
