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
CANNOT_GO_ON: Final = 1  # what a ledger ends with that waiting does not help
BEATS: Final = 2  # of the ledger's heart: with the second one it has opened its database, or knows that it is away


class Beside:
    """The ledger among ``children``; ``books``: the words of the books."""

    def __init__(self, children: Sequence[Child], books: Words) -> None:
        self._ledgers = [child for child in children if child.name == "ledger"]
        self._left = BEATS if self._ledgers else 0
        self._heartbeat = Heartbeat(lambda: LedgerStatus(books).heartbeat_ms)

    def problem(self, now_ms: int) -> str:
        """Who of them cannot start at all: a ledger that ends before it has begun, and says that it can never go on.
        ``""`` for nobody. Payments are accepted by then, so whatever else becomes of them is no reason to stop: one
        that was killed, or comes while its predecessor still ends, is started again.
        """
        if self._left and self._heartbeat() is Sign.SERVES:
            self._left -= 1
        if not self._left:
            return ""
        failed = [child.name for child in self._ledgers if child.has_failed(now_ms) and child.code == CANNOT_GO_ON]
        return f"{failed[0]} could not start; what it printed stands above" if failed else ""
