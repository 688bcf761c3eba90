"""How far SQL has come, said in shared memory. Pure, over words.

Where ENGINE_LEDGER is `require`, slots, parked places and purges wait for these words. The ledger process is their one
writer. It writes them after the commit that makes them true, and when it begins: what it begins with is the truth
then, also if that is less than before, because another database was put in the place of the old one.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.ledger.rows import Cursor
from engine.memory import layout
from engine.memory.words import Words


class Marks:
    """The ledger's words in ``books`` and ``rings``."""

    def __init__(self, books: Words, rings: Sequence[Words]) -> None:
        self._books = books
        self._rings = rings

    def begin(self, cursor: Cursor) -> None:
        """SQL is at ``cursor``, as it was read from the database; whatever was said before counts no more."""
        self.cover([0] * len(self._rings))
        self.set(cursor)

    def set(self, cursor: Cursor) -> None:
        """SQL is at ``cursor``. It knows nothing of memory of another generation."""
        is_known = cursor.generation == self._books[layout.BOOKS_GENERATION_AT]
        marks = {ring.ring: ring.mark for ring in cursor.rings} if is_known else {}
        for number, words in enumerate(self._rings):
            words[layout.RING_LEDGER_AT] = marks.get(number, 0)
        self._books[layout.BOOKS_LEDGER_AT] = cursor.parked if is_known else 0

    @property
    def is_purge_waiting(self) -> bool:
        """Whether a purge was asked for and neither carried out nor refused."""
        return any(words[layout.RING_PURGE_ASKED_AT] != words[layout.RING_PURGE_DONE_AT] for words in self._rings)

    def asked(self) -> list[int]:
        """For each ring, the last purge that was asked for; read it before a look, for :meth:`cover`."""
        return [words[layout.RING_PURGE_ASKED_AT] for words in self._rings]

    def cover(self, asked: Sequence[int]) -> None:
        """SQL has everything that had happened when these purges were asked for (0: no such purge)."""
        for words, number in zip(self._rings, asked, strict=True):
            words[layout.RING_LEDGER_PURGE_AT] = number
