"""Which of the ledger's eras a payment belongs to. Pure.

A purge ends an era: what is below the positions that it forgot belongs to earlier ones. The journal has every purge,
with a record for each ring. Where one of these was written over, or is still to come though there was another purge,
what lies between the two is counted to the era before, and a gap says so.
"""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from engine.journal.reader import JournalReader, Piece, Record
from engine.ledger.rows import Cursor, EraRow, GapRow, RingCursor
from engine.ledger.view import Moment
from engine.memory.journal_layout import Kind


class Boundary(NamedTuple):
    """From ``position`` of ring ``ring`` on, payments belong to the ledger's era ``era``."""

    ring: int
    position: int
    era: int


def read_whole(journal: JournalReader, sequence: int, most: int, rings: int) -> Piece:
    """At most ``most`` records from ``sequence`` on, and what they lack of a purge, which has one for each ring."""
    missed, records = journal.read(sequence, most)
    if records and records[-1].kind == Kind.PURGED:
        last = records[-1]
        rest = journal.read(last.sequence + 1, rings)
        if not rest.missed:
            records += takewhile(lambda one: (one.kind, one.first) == (last.kind, last.first), rest.records)
    return Piece(missed, records)


class Eras:
    """The eras from that of ``cursor`` on, in the memory called ``generation``.

    ``current``: the ledger's era; ``purges``: what the books count as theirs then; ``rows``, ``gaps``: to be carried,
    and then cleared; ``boundaries``: where the eras of each ring begin.
    """

    def __init__(self, cursor: Cursor, generation: int) -> None:
        self._generation = generation
        self.current = cursor.era
        self.purges = cursor.purges
        self.boundaries = list[Boundary]()
        self.rows = list[EraRow]()
        self.gaps = list[GapRow]()
        self._by_purges = {cursor.purges: cursor.era}
        self._last = dict[int, int]()  # by ring: where its present era begins
        self._is_new = False  # where the present era begins was not yet taken from the books
        self._rings = 0
        self._told = list[Record]()  # of the last purge, while the journal has not told of it for each ring

    def begin(self, cursor: Cursor, ancestors: tuple[int, ...], moment: Moment, now_ms: int) -> None:
        """Finds out how this memory, which has taken over that of the ``ancestors``, goes on from ``cursor``."""
        self._rings = len(moment.forgotten)
        if cursor.generation in ancestors:
            return  # a purge that the memory of before has had is found by look()
        if cursor.generation != self._generation:
            self.purges = moment.purges
            self._by_purges = {moment.purges: self.current}
            self._next(now_ms, "the memory was made anew" if cursor.generation else "the ledger was made")
            return
        for ring in cursor.rings:
            for position, era in (*ring.earlier, (ring.begin, self.current)):
                self._add(Boundary(ring.ring, position, era))
        if cursor.purges == moment.purges:  # a cursor of an older version has no such positions
            self._forget(moment)

    def take(self, record: Record) -> None:
        """The journal tells of a purge, for one ring."""
        if record.first > self.purges:
            told = [one for one in self._told if one.first == record.first]
            self._told = [*told, record]
            if len(self._told) == self._rings:
                told, self._told = self._told, []
                self._purge(record.first, record.at_ms)
                for one in told:
                    self._add(Boundary(one.ring - 1, one.position, self.current))
        elif record.first == self.purges:
            self._add(Boundary(record.ring - 1, record.position, self.current))

    def look(self, moment: Moment, now_ms: int) -> None:
        """Makes the present era that of ``moment``, which is not older than what the journal has told.

        Where the era begins, the books say. What the journal has not told of an earlier purge, for each ring, was
        written over, or is about to come.
        """
        if moment.purges > self.purges:
            self._purge(moment.purges, now_ms)
        if self._is_new:
            self._is_new = False
            self._forget(moment)

    def begin_of(self, ring: int) -> int:
        """Where the present era begins in this ring, as far as it is known; 0: no purge is known."""
        return self._last.get(ring, 0)

    def cursor(self, ring: RingCursor) -> RingCursor:
        """``ring`` with what must be known of earlier eras to go on from there."""
        begins = dict[int, int]()
        for one in self.boundaries:
            if one.ring == ring.ring and one.position > ring.seen and one.era < self.current:
                begins[one.position] = min(one.era, begins.get(one.position, one.era))
        return ring._replace(earlier=tuple(sorted(begins.items())))

    def of_slot(self, ring: int, position: int) -> int:
        """The era of the payment that was accepted at ``position`` of ``ring``."""
        if position >= self._last.get(ring, 0):
            return self.current
        eras = [one.era for one in self.boundaries if one.ring == ring and position < one.position]
        return min(eras) - 1 if eras else self.current

    def of_purges(self, purges: int) -> int | None:
        """The era of what the books count to this era of theirs; None: it ended before :meth:`begin`."""
        return self._by_purges.get(purges)

    def _purge(self, purges: int, now_ms: int) -> None:
        """The books count ``purges`` now, which is more than before."""
        missing = purges - self.purges - 1
        if missing:
            why = "purges that the journal does not tell: their payments are counted to the era before"
            self.gaps.append(GapRow("era", self.current, self.current, missing, now_ms, why))
        self._by_purges |= dict.fromkeys(range(self.purges + 1, purges), self.current)
        self.purges, self._is_new = purges, True
        self._next(now_ms, "purge")

    def _forget(self, moment: Moment) -> None:
        for ring, position in enumerate(moment.forgotten):
            self._add(Boundary(ring, position, self.current))

    def _add(self, boundary: Boundary) -> None:
        self.boundaries.append(boundary)
        self._last[boundary.ring] = max(self._last.get(boundary.ring, 0), boundary.position)

    def _next(self, now_ms: int, why: str) -> None:
        if self.current:
            self.rows.append(EraRow(self.current, now_ms, now_ms, self._generation, ""))
        self.current += 1
        self.rows.append(EraRow(self.current, now_ms, None, self._generation, why))
        self._by_purges[self.purges] = self.current
