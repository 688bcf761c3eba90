"""A reader of the journal: copies records, and knows how many it has missed. Any process may read."""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.memory import journal_layout as layout
from engine.memory.words import Words


class Record(NamedTuple):
    """A record; see :class:`engine.memory.journal_layout.Kind` for what each kind puts into which field."""

    sequence: int
    kind: int
    processor: int
    code: int
    ring: int  # 1 + ring; 0: parked, or none
    number: int
    status: int
    at_ms: int
    id_high: int
    id_low: int
    first: int
    position: int
    second: int


class Piece(NamedTuple):
    """What was read: ``missed`` records, from the asked sequence on, were written over; then come ``records``.

    The next record to read is ``missed + len(records)`` further on.
    """

    missed: int
    records: list[Record]


class JournalReader:
    """Reads the journal in ``words``."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._slots = words[layout.SLOTS_AT]

    @property
    def number(self) -> int:
        """Which journal this is: sequences of another number mean other records."""
        return self._words[layout.NUMBER_AT]

    @property
    def head(self) -> int:
        """Records below it are published."""
        return self._words[layout.PUBLISHED_AT]

    def read(self, sequence: int, most: int) -> Piece:
        """At most ``most`` records from ``sequence`` on. What is written over meanwhile counts as missed."""
        words, slots = self._words, self._slots
        last = min(self.head, sequence + most)
        first = min(last, max(sequence, words[layout.CLAIMED_AT] - slots))
        copy = self._copy(first, last)
        begin = max(sequence, words[layout.CLAIMED_AT] - slots)  # what is below may have changed while it was copied
        found = [(fields[-1] - 1, *fields[:-1]) for fields in layout.RECORD.iter_unpack(copy)][begin - first :]
        records = list(map(Record._make, found))
        assert [one.sequence for one in records] == [*range(begin, last)], "a record that was published is not whole"
        return Piece(begin - sequence, records)

    def _copy(self, first: int, last: int) -> bytes:
        """The bytes of the records from ``first`` to ``last``, the latter excluded: two pieces where the ring ends."""
        words, slots = self._words, self._slots
        pieces, begin = list[bytes](), first
        while begin < last:
            count = min(last - begin, slots - begin % slots)
            at = layout.record_offset(slots, begin)
            piece: Any = words[at : at + count * layout.RECORD_WORDS]  # of a memoryview or an array
            pieces.append(piece.tobytes())
            begin += count
        return b"".join(pieces)
