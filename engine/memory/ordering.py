"""Whether this machine keeps the order of stores that the engine's memory rests on. Pure, but for the default."""

from __future__ import annotations

import platform

ORDERED = ("x86_64", "amd64")  # as kernels call the machines on which no store overtakes another one


def complaint(machine: str = "") -> str:
    """Why an engine cannot run on ``machine`` (default: this one), in a sentence; "" when it can.

    What one process publishes counts by its last store: a payment by its ring's head, a transaction by the count of its
    redo log. Python has no barriers, so the machine itself must make stores seen in the order in which they are made.
    """
    machine = machine or platform.machine()
    if machine.lower() in ORDERED:
        return ""
    return (
        f"this machine is {machine or 'of a kind that it does not tell'}, which may show what processes store in "
        "shared memory in another order than they stored it; payments could be lost or charged twice. Run the engine "
        "on x86-64"
    )
