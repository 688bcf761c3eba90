"""The states of a processor, as the router sees them."""

from __future__ import annotations

from enum import IntEnum


class ProcessorState(IntEnum):
    """What is known of a processor. HEALTHY and SLOW are usable; in the other states only probes are sent to it."""

    HEALTHY = 0
    SLOW = 1  # it answers, but takes so long that an audit may find a payment there before we know of its charge
    SUSPECT = 2  # answers are overdue, or it has just recovered: it is slower by an unknown time, or it hangs
    OPEN = 3  # it fails
