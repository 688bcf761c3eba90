"""The input and the output of a router."""

from __future__ import annotations

from typing import NamedTuple


class Queue(NamedTuple):
    """The payments that wait: ``waiting`` of them may go anywhere. The oldest was accepted ``oldest_ms`` ago, and the
    newest, which would be the probe, ``newest_ms`` ago. ``settled``: payments that are done.
    """

    waiting: int
    oldest_ms: int
    settled: int
    newest_ms: int = 0


class Plan(tuple[int, ...]):
    """How many payments to begin now at each processor, by its number; ``probes``: bit ``p`` is set when the payment
    for ``p`` is a probe. Plans are equal when their counts are equal.

    The oldest payments are sent first. Only a probe takes the newest one: a probe may take long to fail, and a payment
    that has waited already would have waited too long by then.
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
