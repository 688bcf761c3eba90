"""The books of all cells on one cell: what is counted, from where, and until when it is complete. Pure.

Each cell's outcomes are in the store in a sequence of their own without gaps. A follower counts an entry only if it is
the next one: what it has counted before it counts no second time, and beyond a gap it counts nothing.

A sum is complete until a time if nothing with an earlier requestedAt can still come. Each cell tells the store that all
pins that it will make from now on have a certain requestedAt or a later one (``told_ms``), and the store knows the
earliest requestedAt of all pins that are open (``open_ms``). Whoever has read every cell's sequence up to where it
ended when these were read is complete until the earliest of them. An adoption changes none of this: the adopted pins
are open before and after it, and an epoch that is over makes no new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.cluster.values import Entry, Lease, Page


class _Goal(NamedTuple):
    """A moment in the store: where each cell's sequence ended, and until when all of it together is complete."""

    ends: dict[int, int]
    complete_ms: int


class Following:
    """Positions in the sequences of all cells.

    ``complete_ms``: UTC; a sum of requestedAt before this is complete. ``since``: the last entry counted, by cell.
    """

    def __init__(self) -> None:
        self.since: dict[int, int] = {}
        self.complete_ms = 0
        self._goal: _Goal | None = None

    def heard(self, lease: Lease) -> None:
        """The store has said where all sequences end. What was said before is reached first."""
        for member in lease.members:
            self.since.setdefault(member.cell, 0)
        if self._goal is None:
            earliest = [member.told_ms for member in lease.members if member.holder == member.epoch]
            if lease.open_ms is not None:
                earliest.append(lease.open_ms)
            self._goal = _Goal({member.cell: member.end for member in lease.members}, min(earliest))
        self._reach()

    def next(self, cell: int, page: Page) -> Sequence[Entry]:
        """The entries of a page that are to be counted now, each once. The caller counts them at once."""
        since = self.since[cell]
        entries = list[Entry]()
        for entry in page.entries:
            if entry.sequence == since + len(entries) + 1:
                entries.append(entry)
        self.since[cell] = since + len(entries)
        self._reach()
        return entries

    def must_begin_anew(self, cell: int, page: Page) -> bool:
        """Whether the next entries are folded: then the cell's sums are read, and replace what was counted of it."""
        return page.begin > self.since[cell]

    def begin_anew(self, cell: int, begin: int) -> None:
        """What was counted of a cell was replaced by its sums up to the sequence ``begin``."""
        self.since[cell] = max(self.since[cell], begin)
        self._reach()

    def forget(self) -> None:
        """Everything was purged."""
        self.since = dict.fromkeys(self.since, 0)
        self.complete_ms = 0
        self._goal = None

    def _reach(self) -> None:
        goal = self._goal
        if goal is not None and all(self.since[cell] >= end for cell, end in goal.ends.items()):
            self.complete_ms = max(self.complete_ms, goal.complete_ms)
            self._goal = None
