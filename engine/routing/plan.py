"""What a router is told, and what it says."""

from __future__ import annotations

from typing import NamedTuple


class Queue(NamedTuple):
    """What waits: ``waiting`` payments that may go anywhere, the oldest of them accepted ``oldest_ms`` ago and the one
    for a probe ``newest_ms`` ago, beside ``settled`` payments that are done.
    """

    waiting: int
    oldest_ms: int
    settled: int
    newest_ms: int = 0


class Plan(tuple[int, ...]):
    """How many payments to begin now at each processor, by its number; ``probes``: bit ``p`` is set when the one for
    ``p`` is a probe. Plans are equal when their counts are.

    Payments are sent in the order of their age. Only a probe is for the newest one: it may fail late, and one that has
    waited already would have waited for too long by then.
    """

    probes = 0

    def __new__(cls, *counts: int, probes: int = 0) -> Plan:
        plan = tuple.__new__(cls, counts)
        if probes:
            plan.probes = probes
        return plan

    def is_probe(self, processor: int) -> bool:
        """Whether what goes to ``processor`` is a probe."""
        return bool(self.probes >> processor & 1)
