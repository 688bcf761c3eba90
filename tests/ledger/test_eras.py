"""Which era a payment belongs to, when the journal tells of purges late, in parts, or not at all."""

from __future__ import annotations

from engine.journal.reader import JournalReader, Record
from engine.journal.writer import JournalWriter, lay_out_journal
from engine.ledger.eras import Eras, read_whole
from engine.ledger.rows import Cursor, RingCursor
from engine.ledger.view import Moment
from engine.memory import journal_layout
from engine.memory.journal_layout import Kind
from engine.memory.words import zeros

SLOTS = 1024
GENERATION = 77
NOW_MS = 5000


def eras(begin: int = 0, purges: int = 0) -> Eras:
    """In memory with two rings, of which SQL has era 1, that begins at ``begin`` in each."""
    rings = tuple(RingCursor(ring, begin, begin, (), begin) for ring in (0, 1))
    cursor = Cursor(bytes(16), GENERATION, 1, 0, 0, rings, 1, purges)
    made = Eras(cursor, GENERATION)
    made.begin(cursor, (), Moment(purges, (begin, begin), 0), NOW_MS)
    return made


def purged(ring: int, position: int, purges: int) -> Record:
    """The journal's record of a purge, for one ring."""
    return Record(0, Kind.PURGED, 0, 0, 1 + ring, 0, 0, NOW_MS, 0, 0, purges, position, 0)


def test_a_purge_of_which_the_journal_has_told_for_one_ring_has_ended_the_era_in_all_rings() -> None:
    one = eras()
    one.take(purged(0, 4, 1))  # the record for the other ring is in the next batch
    one.look(Moment(1, (4, 6), 0), NOW_MS)
    assert [one.of_slot(1, 5), one.of_slot(1, 6), one.of_slot(0, 3), one.of_slot(0, 4)] == [1, 2, 1, 2]
    one.take(purged(1, 6, 1))
    one.look(Moment(1, (4, 6), 0), NOW_MS)
    assert one.current == 2 and one.gaps == [] and [row.number for row in one.rows] == [1, 2]


def test_a_purge_whose_record_was_written_over_before_another_is_counted() -> None:
    one = eras()
    one.take(purged(0, 9, 2))
    one.look(Moment(2, (9, 9), 0), NOW_MS)
    assert one.current == 2 and [(gap.source, gap.missing) for gap in one.gaps] == [("era", 1)]
    assert [one.of_purges(purges) for purges in (0, 1, 2, 3)] == [1, 1, 2, None]


def test_a_purge_that_is_told_for_each_ring_has_an_era_though_another_has_come() -> None:
    one = eras()
    one.take(purged(0, 4, 1))
    one.take(purged(1, 6, 1))
    one.look(Moment(2, (7, 9), 0), NOW_MS)
    assert one.current == 3 and one.gaps == []
    assert [one.of_slot(1, position) for position in (5, 6, 8, 9)] == [1, 2, 2, 3]


def test_a_purge_that_is_not_told_for_each_ring_before_another_is_counted_and_changes_no_era_of_what_was_seen() -> None:
    one = eras()
    one.take(purged(0, 4, 1))
    one.look(Moment(2, (7, 9), 0), NOW_MS)
    assert one.current == 2 and [(gap.source, gap.missing) for gap in one.gaps] == [("era", 1)]
    assert [one.of_slot(1, 5), one.of_slot(1, 8), one.of_slot(1, 9), one.of_slot(0, 5)] == [1, 1, 2, 1]
    one.take(purged(1, 6, 1))
    assert one.of_slot(1, 8) == 1


def test_the_records_of_a_purge_are_read_together() -> None:
    words = zeros(journal_layout.journal_words(SLOTS))
    lay_out_journal(words, SLOTS, 1, 1, GENERATION)
    kinds = (Kind.STATE, Kind.PURGED, Kind.PURGED, Kind.PURGED, Kind.STATE)
    firsts = (0, 1, 1, 2, 0)
    journal = JournalWriter(words)
    journal.append(
        [(kind, 0, 0, 1, 0, 0, NOW_MS, 0, 0, first, 0, 0) for kind, first in zip(kinds, firsts, strict=True)]
    )
    assert [len(read_whole(JournalReader(words), 0, most, 2).records) for most in (1, 2, 3, 4, 5)] == [1, 3, 3, 4, 5]


def test_purges_that_no_record_tells_leave_no_era_of_the_books_without_one_of_the_ledger() -> None:
    one = eras()
    one.look(Moment(3, (9, 9), 0), NOW_MS)
    assert one.current == 2 and [gap.missing for gap in one.gaps] == [2]
    assert [one.of_purges(purges) for purges in range(4)] == [1, 1, 1, 2]


def test_what_the_era_before_has_left_unseen_is_of_that_era_for_a_new_process_too() -> None:
    rings = (RingCursor(0, 5, 5, (), 5), RingCursor(1, 2, 2, (), 7))
    cursor = Cursor(bytes(16), GENERATION, 3, 0, 0, rings, 1, 2)
    one = Eras(cursor, GENERATION)
    one.begin(cursor, (), Moment(3, (8, 9), 0), NOW_MS)  # a purge that is not told yet
    assert [one.of_slot(1, 6), one.of_slot(1, 7)] == [2, 3]


def test_what_two_eras_have_left_unseen_is_of_its_own_era_for_a_new_process_too() -> None:
    one = eras()
    for purges, position in ((1, 5), (2, 8)):
        one.take(purged(0, position, purges))
        one.look(Moment(purges, (position, 0), 0), NOW_MS)
    ring = one.cursor(RingCursor(0, 3, 3, (), 8))
    assert ring.earlier == ((5, 2),)
    cursor = Cursor(bytes(16), GENERATION, 3, 0, 0, (ring, RingCursor(1, 0, 0)), 1, 2)
    again = Eras(cursor, GENERATION)
    again.begin(cursor, (), Moment(2, (8, 0), 0), NOW_MS)
    assert [again.of_slot(0, position) for position in (4, 5, 7, 8)] == [1, 2, 2, 3]
    assert again.cursor(RingCursor(0, 6, 6, (), 8)).earlier == (), "all of the first era is there"
