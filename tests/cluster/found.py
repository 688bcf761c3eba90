"""The hints of the cells' simulation: ``python -m tests.cluster.found`` searches all of its mutants."""

from __future__ import annotations

from pathlib import Path

from engine.lab.dst.cells.mutants import MUTANTS, mutated
from engine.lab.dst.cells.seed import run_seed
from tests.lab.dst.hints import Hints

HINTS = Hints(Path(__file__).with_name("found.json"), MUTANTS, mutated, run_seed)

if __name__ == "__main__":
    HINTS.write()
