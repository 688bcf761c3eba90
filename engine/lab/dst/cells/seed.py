"""Running one seed."""

from __future__ import annotations

from engine.lab.dst import outcome
from engine.lab.dst.cells.world import World
from engine.lab.dst.outcome import Result


def run_seed(seed: int, cells: int | None = None) -> Result[World]:
    """Runs the world of ``seed`` from beginning to end, with ``cells`` cells or, with None, as many as it draws."""
    return outcome.of(seed, World(seed, cells))
