"""The hints of the engine's simulation: ``python -m tests.lab.dst.found`` searches all of its mutants, in minutes."""

from __future__ import annotations

from pathlib import Path

from engine.lab.dst.mutants import MUTANTS, mutated
from engine.lab.dst.seed import run_seed
from tests.lab.dst.hints import Hints

HINTS = Hints(Path(__file__).with_name("found.json"), MUTANTS, mutated, run_seed)

if __name__ == "__main__":
    HINTS.write()
