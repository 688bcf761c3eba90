"""The journal: what is published can be read whole, and what was written over is counted."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine.journal import writer
from engine.journal.reader import JournalReader
from engine.journal.writer import PART, JournalWriter, Record
from engine.memory import journal_layout as layout
from engine.memory.words import WORD_MAX, Words, zeros

SLOTS = 1024
FULL: Record = (255, 7, 254, 16, 0xFFFF, 0xFFFF, 1 << 44, WORD_MAX, WORD_MAX - 1, 1 << 43, (1 << 48) - 1, WORD_MAX)


def journal(slots: int = SLOTS) -> Words:
    words = zeros(layout.journal_words(slots))
    writer.lay_out_journal(words, slots, 5, 6, 7)
    return words


def record(number: int) -> Record:
    """A record that can be told from its neighbours in every field that is wide enough."""
    return (layout.Kind.ANSWERED, 1, 2, 3, number & 0xFFFF, 200, number, number << 7, number << 9, 4, number, 5)


def test_a_record_comes_back_as_it_was_written_in_every_bit() -> None:
    words = journal()
    JournalWriter(words).append([FULL, record(9)])
    missed, records = JournalReader(words).read(0, 10)
    assert missed == 0 and [tuple(one) for one in records] == [(0, *FULL), (1, *record(9))]


def test_a_second_writer_goes_on_where_the_first_has_published() -> None:
    words = journal()
    JournalWriter(words).append([record(0)])
    # Killed in the midst of the next one: it was claimed, and written in part.
    words[layout.CLAIMED_AT] = 2
    words[layout.record_offset(SLOTS, 1)] = WORD_MAX
    later = JournalWriter(words)
    assert JournalReader(words).read(0, 10).records[0].position == 0 and JournalReader(words).head == 1
    later.append([record(1)])
    assert [one.position for one in JournalReader(words).read(0, 10).records] == [0, 1]


@pytest.mark.parametrize("appended", [SLOTS - 1, SLOTS, SLOTS + 1, 3 * SLOTS + PART + 7])
def test_a_reader_that_is_too_slow_knows_how_many_records_it_has_missed(appended: int) -> None:
    words, made = journal(), 0
    write = JournalWriter(words)
    while made < appended:
        part = min(PART * 2 + 1, appended - made)
        write.append([record(made + index) for index in range(part)])
        made += part
    missed, records = JournalReader(words).read(0, 10 * SLOTS)
    assert missed == max(0, appended - SLOTS) and missed + len(records) == appended
    assert [tuple(one) for one in records] == [(number, *record(number)) for number in range(missed, appended)]


def test_it_is_read_in_pieces() -> None:
    words, got, at = journal(), list[int](), 0
    write = JournalWriter(words)
    for begin in range(0, 5000, 250):
        write.append([record(begin + index) for index in range(250)])
        while (piece := JournalReader(words).read(at, 100)).records:
            got += [one.sequence for one in piece.records]
            at += piece.missed + len(piece.records)
    assert got == list(range(5000)) and JournalReader(words).read(at, 100) == (0, [])


class OverwrittenWhileRead:
    """Words of a journal whose writer goes on while a reader copies: at the ``after``-th load it appends."""

    def __init__(self, words: Words, after: int, count: int) -> None:
        self._words, self._left, self._count = words, after, count

    def __getitem__(self, index: int) -> int:
        self._left -= 1
        if self._left == 0:
            write = JournalWriter(self._words)
            write.append([record(write.sequence + one) for one in range(self._count)])
        return self._words[index]


@pytest.mark.parametrize("count", [1, 5, SLOTS - 1, SLOTS, 2 * SLOTS])
@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 12, 13, 80, 81])
def test_what_is_written_over_while_it_is_copied_is_missed_and_never_believed(after: int, count: int) -> None:
    words = journal()
    JournalWriter(words).append([record(number) for number in range(SLOTS)])
    reader = JournalReader(words)
    reader._words = cast(Any, OverwrittenWhileRead(words, after, count))
    missed, records = reader.read(0, 10)
    assert missed + len(records) >= min(10, count) or not count
    assert [tuple(one) for one in records] == [(one.sequence, *record(one.sequence)) for one in records]
    assert all(one.sequence >= missed for one in records)


@pytest.mark.parametrize(
    ("at", "value", "problem"),
    [
        (layout.MAGIC_AT, 0, "not finished"),
        (layout.LAYOUT_AT, 9, "layout version 9"),
        (layout.SLOTS_AT, 2048, "2048 slots"),
        (layout.BOOT_AT, 1, "the machine went down"),
        (layout.GENERATION_AT, 1, "made anew"),
    ],
)
def test_a_journal_that_does_not_fit_is_not_gone_on_with(at: int, value: int, problem: str) -> None:
    words = journal()
    assert writer.complaint(words, SLOTS, 6, 7) == ""
    words[at] = value
    assert problem in writer.complaint(words, SLOTS, 6, 7)
