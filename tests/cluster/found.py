"""The seed with which each mutant of the cells was found last: ``python -m tests.cluster.found`` searches them all.

A test tries that seed first, and searches from 0 on when the simulation draws something else by now.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine.lab.dst.cells.mutants import MUTANTS, mutated
from engine.lab.dst.cells.seed import run_seed

RECORD = Path(__file__).with_name("found.json")
SEEDS = range(1000)  # each mutant is found within so many


def read() -> dict[str, int]:
    """The seeds by the names of their mutants."""
    found: dict[str, int] = json.loads(RECORD.read_text())
    return found


def search(name: str, first: int | None = None) -> int | None:
    """The first of SEEDS that finds the mutant called ``name``, ``first`` before all others; None if none does."""
    with mutated(name):
        seeds = ([] if first is None else [first]) + [*SEEDS]
        return next((seed for seed in seeds if run_seed(seed).failure), None)


def main() -> None:
    """Writes the record anew."""
    found = {}
    for name in sorted(MUTANTS):
        found[name] = search(name)
        print(f"{name:28} {'NOT FOUND' if found[name] is None else found[name]}", flush=True)
        RECORD.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
