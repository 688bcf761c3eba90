"""The states in which a processor may be seen."""

from __future__ import annotations

from enum import IntEnum


class ProcessorState(IntEnum):
    """How a processor is, as far as can be seen. Up to SLOW it is usable; beyond that only probes are sent to it."""

    HEALTHY = 0
    SLOW = 1  # it answers, but so late that an audit may find a payment at it that we do not know of yet
    SUSPECT = 2  # answers are overdue, or it has just recovered: slower than it was, or hung, nobody knows how much
    OPEN = 3  # it fails
