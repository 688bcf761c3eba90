"""What a run has reached: a simulation that never comes to the dark corners proves nothing about them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine.cluster.actions import ReplyTo
from engine.cluster.values import Adoption, Kind
from engine.lab.dst.cells.world import World


def reached(world: World) -> Counter[str]:
    """How often each thing has happened in a run that is over."""
    counts: Counter[str] = Counter()
    for _, what, _, details in world.trace.events:
        counts[_plain(what)] += 1
        if "replies" in what:
            counts[f"replies {ReplyTo(details[-1]).name}"] += 1
        elif "hears" in what:
            counts.update(_heard(details))
    for kept in world.store.stub.all_kept():
        counts["open in the end"] += kept.outcome is None
        if kept.outcome is not None:
            counts[f"ends {Kind(kept.outcome.kind).name}"] += 1
    counts["dead letters in the end"] += sum(
        held.is_dead for machine in world.machines for held in machine.cell.held.values()
    )
    counts["is told of health"] += sum(machine.told_health for machine in world.machines)
    counts["complete books looked at"] += world.checks.complete
    return counts


def _plain(what: str) -> str:
    """The words of an event without who and where."""
    words = [word for word in what.split() if not word.startswith("cell-") and not word.isdigit()]
    return " ".join(words)


def _heard(details: tuple[Any, ...]) -> list[str]:
    """What the store has heard, and what it made of that."""
    operation, result = details[0], details[-1]
    if operation in ("accept", "pin", "conclude"):
        return [f"{operation} {result.name}"]
    if operation == "adopt":
        is_adopted = isinstance(result, Adoption) and result.holder == details[1]
        return ["adopt refused" if is_adopted else "adopted"]
    return [operation]
