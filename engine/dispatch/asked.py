"""What API processes tell the dispatcher in their rings: requests for a purge, and times of audits. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.books.writer import BooksWriter
from engine.dispatch.attempt import Now
from engine.memory import layout
from engine.ring.ring import RingReader
from engine.routing.router import Router


class Asked:
    """Reads the words of ``rings`` that API processes write for the dispatcher."""

    def __init__(self, rings: Sequence[RingReader]) -> None:
        self._rings = rings
        self._summary_ms = [0] * len(rings)

    def is_purge_asked(self) -> bool:
        """Whether an API process asks for a purge that was not carried out yet."""
        for ring in self._rings:
            if ring.words[layout.RING_PURGE_ASKED_AT] != ring.words[layout.RING_PURGE_DONE_AT]:
                return True
        return False

    def purges(self) -> list[int]:
        """How many purges each ring has asked for; :meth:`put_purged` gets these numbers later."""
        return [ring.words[layout.RING_PURGE_ASKED_AT] for ring in self._rings]

    def put_purged(self, books: BooksWriter, purges: Sequence[int], below: Sequence[int]) -> None:
        """Writes, as part of a transaction, that ``purges`` were carried out. ``below``: for each ring, the position
        below which nothing is remembered.
        """
        for index, position in enumerate(below):
            books.put(index + 1, layout.RING_FORGOTTEN_AT, position)
            books.put(index + 1, layout.RING_PURGE_DONE_AT, purges[index])

    def look_for_audits(self, now: Now, router: Router) -> None:
        """Tells the router of summaries that were requested since the last look."""
        for index, ring in enumerate(self._rings):
            asked_ms = ring.words[layout.RING_SUMMARY_MS_AT]
            if asked_ms != self._summary_ms[index]:
                self._summary_ms[index] = asked_ms
                # On the engine's clock, and not in the future, even if the wall clock was set back.
                router.audited(now.mono_ms - max(0, now.wall_ms - asked_ms))
