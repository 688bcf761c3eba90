"""All processors of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.lab.contest.books import Totals
from engine.lab.contest.scenario import Condition
from engine.lab.services.addresses import Addresses
from engine.lab.services.processor import Processor


class Processors(dict[str, Processor]):
    """A client for each processor, by name in the order of ``addresses``. Its methods raise ServiceError."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__((name, Processor(name, url, addresses.token)) for name, url in addresses.processors.items())

    def totals(self) -> Totals:
        """What each has charged."""
        return Totals((name, processor.total()) for name, processor in self.items())

    def set(self, conditions: Mapping[str, Condition]) -> None:
        """Makes each behave like its condition, one right after the other."""
        for name, condition in conditions.items():
            self[name].set(condition)

    def purge(self) -> None:
        """Makes all forget what they have charged."""
        for processor in self.values():
            processor.purge()

    def close(self) -> None:
        """Closes the kept connections."""
        for processor in self.values():
            processor.close()


def charged_twice(processors: Iterable[Processor]) -> set[bytes]:
    """The ids (16 bytes each) that were charged more than once, at one of the processors or at several.

    Raises ServiceError.
    """
    once: set[bytes] = set()
    twice: set[bytes] = set()
    for processor in processors:
        for key in processor.charged_keys():
            (twice if key in once else once).add(key)
    return twice
