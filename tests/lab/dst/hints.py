"""The seed with which each mutant of a simulation was found last.

A test tries that seed first, and searches from 0 on when the simulation draws something else by now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from engine.lab.dst.outcome import Result

SEEDS = range(1000)  # each mutant is found within so many


class Hints(NamedTuple):
    """The seeds in the file ``record``, of a simulation with these mutants."""

    record: Path
    mutants: Collection[str]
    mutated: Callable[[str], AbstractContextManager[None]]
    run_seed: Callable[[int], Result[Any]]

    def read(self) -> dict[str, int]:
        """The seeds by the names of their mutants."""
        found: dict[str, int] = json.loads(self.record.read_text())
        return found

    def search(self, name: str, first: int | None = None) -> int | None:
        """The first of SEEDS that finds the mutant called ``name``, ``first`` before all others; None if none does."""
        with self.mutated(name):
            seeds = ([] if first is None else [first]) + [*SEEDS]
            return next((seed for seed in seeds if self.run_seed(seed).failure), None)

    def write(self) -> None:
        """Writes the record anew, after each mutant, and says with which seed it was found."""
        found = {}
        for name in sorted(self.mutants):
            found[name] = self.search(name)
            print(f"{name:28} {'NOT FOUND' if found[name] is None else found[name]}", flush=True)
            self.record.write_text(json.dumps(found, indent=2) + "\n")
