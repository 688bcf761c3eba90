"""What the outcomes of all cells are counted in, on each of them."""

from __future__ import annotations

from typing import Protocol

from engine.cluster.values import Entry, Folded


class Books(Protocol):
    """What entries are counted in."""

    @property
    def has_room(self) -> bool:
        """Whether more may come at once."""

    def count(self, cell: int, entry: Entry) -> None:
        """Counts an outcome."""

    def replace(self, cell: int, folded: Folded) -> None:
        """What was counted of a cell is replaced by these sums."""

    def forget(self) -> None:
        """Everything was purged."""
