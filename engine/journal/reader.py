"""A reader of the journal: copies records, and knows how many it has missed. Any process may read."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

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
        copies = list[tuple[int, list[int]]]()
        for one in range(max(sequence, words[layout.CLAIMED_AT] - slots), last):
            at = layout.record_offset(slots, one)
            copies.append((one, [words[at + word] for word in range(layout.RECORD_WORDS)]))
        begin = max(sequence, words[layout.CLAIMED_AT] - slots)  # what is below may have changed while it was copied
        return Piece(begin - sequence, [_record(one, copy) for one, copy in copies if one >= begin])


def _record(sequence: int, words: Sequence[int]) -> Record:
    *fields, end = layout.RECORD.unpack(array("Q", words))
    assert end == sequence + 1, "a record that was published is not whole"
    return Record(sequence, *fields)
