"""Who is not needed to accept a payment: they start when payments are accepted already, for a start of Python takes a
core for as long as all else that has to be done until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.memory.status import LedgerStatus
from engine.memory.words import Words
from engine.supervise.child import Child
from engine.supervise.pulse import Heartbeat, Sign

NAMES: Final = ("ledger", "reconcile", "console")
BEATS: Final = 2  # of the ledger's heart: with the second one it has opened its database, or knows that it is away


class Beside:
    """Those of ``children`` that are beside the way of a payment; ``books``: the words of the books."""

    def __init__(self, children: Sequence[Child], books: Words) -> None:
        self._children = [child for child in children if child.name in NAMES]
        self._left = BEATS if any(child.name == "ledger" for child in self._children) else 0
        self._heartbeat = Heartbeat(lambda: LedgerStatus(books).heartbeat_ms)

    def problem(self, now_ms: int) -> str:
        """Who of them could not start at all: one that dies before the ledger has begun. ``""`` for nobody."""
        if self._left and self._heartbeat() is Sign.SERVES:
            self._left -= 1
        failed = [child.name for child in self._children if self._left and child.has_failed(now_ms)]
        return f"{failed[0]} could not start; what it printed stands above" if failed else ""
