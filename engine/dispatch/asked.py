"""What API processes tell the dispatcher in their rings: requests for a purge, and times of audits. Pure.

Where the ledger is waited for, a purge is carried out once SQL has all that had happened when it was asked for. If that
takes longer than RECORDED_MS, the purge is refused. The dispatcher alone decides, in one transaction, so a purge has
either happened or not, and whoever has asked for it reads which. A purge that nobody waits for any more is refused too:
it must not happen when a dispatcher comes back hours later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.books.writer import BooksWriter
from engine.dispatch.attempt import Now
from engine.memory import layout
from engine.ring.ring import RingReader
from engine.routing.router import Router

RECORDED_MS: Final = 2000  # a purge waits so long for the ledger
LOOK_MS: Final = 20  # between two looks whether the ledger has come so far


class Asked:
    """Reads the words of ``rings`` that API processes and the ledger write for the dispatcher.

    ``waits_for_ledger``: whether purges wait for the ledger.
    """

    def __init__(self, rings: Sequence[RingReader], waits_for_ledger: bool = False) -> None:
        self._rings = rings
        self._waits_for_ledger = waits_for_ledger
        self._summary_ms = [0] * len(rings)
        # For each ring, the purge that waits for the ledger, and since when.
        self._waiting: dict[int, tuple[int, int]] = {}

    def is_purge_asked(self) -> bool:
        """Whether an API process asks for a purge that was not decided yet."""
        for ring in self._rings:
            if ring.words[layout.RING_PURGE_ASKED_AT] != ring.words[layout.RING_PURGE_DONE_AT]:
                return True
        return False

    def purges(self) -> list[int]:
        """How many purges each ring has asked for; :meth:`put_purged` gets these numbers later."""
        return [ring.words[layout.RING_PURGE_ASKED_AT] for ring in self._rings]

    def may_purge(self, purges: Sequence[int]) -> bool:
        """Whether one of these purges, which were asked for, can be carried out now."""
        return not self._waits_for_ledger or any(
            purges[index] == ring.words[layout.RING_LEDGER_PURGE_AT]
            for index, ring in enumerate(self._rings)
            if purges[index] not in (ring.words[layout.RING_PURGE_DONE_AT], ring.words[layout.RING_PURGE_WITHDRAWN_AT])
        )

    def refused(self, now: Now, purges: Sequence[int]) -> list[int]:
        """The rings whose purge has waited for too long, or is not waited for any more."""
        refused = list[int]()
        for index, ring in enumerate(self._rings):
            if purges[index] == ring.words[layout.RING_PURGE_DONE_AT]:
                continue
            if self._waiting.get(index, (0, 0))[0] != purges[index]:
                self._waiting[index] = purges[index], now.mono_ms
            is_late = now.mono_ms - self._waiting[index][1] >= RECORDED_MS
            if is_late or purges[index] == ring.words[layout.RING_PURGE_WITHDRAWN_AT]:
                refused.append(index)
        return refused

    def put_purged(self, books: BooksWriter, purges: Sequence[int], below: Sequence[int]) -> None:
        """Writes, as part of a transaction, that ``purges`` were carried out. ``below``: for each ring, the position
        below which nothing is remembered.
        """
        for index, position in enumerate(below):
            books.put(index + 1, layout.RING_FORGOTTEN_AT, position)
            books.put(index + 1, layout.RING_PURGED_AT, purges[index])
            books.put(index + 1, layout.RING_PURGE_DONE_AT, purges[index])

    def put_forgotten(self, books: BooksWriter, below: Sequence[int]) -> None:
        """Writes, as part of a transaction, that nothing below these positions is remembered."""
        for index, position in enumerate(below):
            books.put(index + 1, layout.RING_FORGOTTEN_AT, position)

    def put_refused(self, books: BooksWriter, purges: Sequence[int], refused: Sequence[int]) -> None:
        """Writes, as part of a transaction, that the purges of these rings were refused."""
        for index in refused:
            books.put(index + 1, layout.RING_PURGE_DONE_AT, purges[index])

    def look_for_audits(self, now: Now, router: Router) -> None:
        """Tells the router of summaries that were requested since the last look."""
        for index, ring in enumerate(self._rings):
            asked_ms = ring.words[layout.RING_SUMMARY_MS_AT]
            if asked_ms != self._summary_ms[index]:
                self._summary_ms[index] = asked_ms
                # On the engine's clock, and not in the future, even if the wall clock was set back.
                router.audited(now.mono_ms - max(0, now.wall_ms - asked_ms))
