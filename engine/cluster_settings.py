"""The variables of a cell, one host of several that share a store; see :mod:`engine.settings` and docs/cluster.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.variables import variable

MODE = "cluster"  # of ENGINE_DURABILITY


# fmt: off
@dataclass(frozen=True)
class ClusterSettings:
    """Which cell this is, and where its store is."""

    url: str = variable(
        "ENGINE_CLUSTER_URL", "", "", 0, 500,
        "The store that all cells share; ENGINE_DURABILITY=cluster needs it.", "store",
    )
    cell: str = variable(
        "ENGINE_CELL", "", "", 0, 32,
        "The name of this cell, which no other cell of the store has; ENGINE_DURABILITY=cluster needs it.", "cell",
    )
    lease_ms: int = variable(
        "ENGINE_CLUSTER_LEASE_MS", 5000, "ms", 1000, 60_000,
        "After so long without a word to the store a cell accepts nothing, and another one takes over its payments.",
    )
    id_hours: int = variable(
        "ENGINE_CLUSTER_ID_HOURS", 24, "h", 1, 87_600,
        "How long the store keeps a payment that has ended. Its id may be used again then, as far as cells know.",
    )
# fmt: on


def contradictions(durability: str, cluster: ClusterSettings, ledger: str, id_memory: int) -> Iterator[str]:
    """What does not go together.

    Parameters:
      durability, ledger, id_memory: ENGINE_DURABILITY, ENGINE_LEDGER and ENGINE_ID_MEMORY.
    """
    if durability != MODE:
        for name, value in (("ENGINE_CLUSTER_URL", cluster.url), ("ENGINE_CELL", cluster.cell)):
            if value:
                yield f"{name} is for a cell: set ENGINE_DURABILITY={MODE} as well, or leave it out"
        return
    if not cluster.url:
        yield f"ENGINE_DURABILITY={MODE} needs ENGINE_CLUSTER_URL, the address of the store that the cells share"
    if not cluster.cell:
        yield f"ENGINE_DURABILITY={MODE} needs ENGINE_CELL, a name that no other cell of the store has"
    if ledger != "off":
        yield f"ENGINE_LEDGER={ledger}: a cell (ENGINE_DURABILITY={MODE}) keeps no ledger yet; leave it off"
    if id_memory:
        yield f"ENGINE_ID_MEMORY={id_memory}: with ENGINE_DURABILITY={MODE} the store remembers ids; set it to 0"
