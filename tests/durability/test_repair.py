"""The repair of a ring after a loss of power. Each mixture of old and new is rare, so the tests make it by hand."""

from __future__ import annotations

import random
from typing import cast

import pytest

from engine.books.levels import lay_out_books
from engine.books.writer import BooksWriter, redo_ring
from engine.intake.acceptor import Place
from engine.intake.alarm import Alarm
from engine.intake.committer import Committer
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.memory.words import Words, zeros
from engine.processors import FALLBACK
from engine.ring.repair import check_whole, repair, take_back
from engine.ring.ring import LostError, RingReader, RingWriter
from tests.books.ledger import SHAPE
from tests.durability.disk import SECTOR_WORDS, Disk, File

SLOTS = 8
NOW_MS = 1_700_000_000_000


def make_ring() -> Words:
    words = zeros(layout.ring_words(SLOTS))
    layout.lay_out_ring(words, SLOTS, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
    return words


def fill(words: Words, count: int, first: int = 0) -> RingWriter:
    """``count`` payments, each with a 202; payment ``n`` has the id (n + 1, n + 1)."""
    ring = RingWriter(words, is_synced=True)
    for number in range(first, first + count):
        assert ring.put(number + 1, number + 1, 100 + number, NOW_MS, 0)
    ring.release(first + count)
    return ring


def set_progress(words: Words, position: int, state: int, requested_ms: int = NOW_MS) -> None:
    at = layout.slot_offset(SLOTS, position)
    words[at + layout.SLOT_REQUESTED_MS] = requested_ms
    words[at + layout.SLOT_PROGRESS] = layout.pack_progress(position, state, FALLBACK, 1)


def tear(words: Words, position: int) -> None:
    words[layout.slot_offset(SLOTS, position) + layout.SLOT_SEQUENCE] = 0


def test_a_payment_with_a_202_is_kept_though_ready_is_old_on_disk() -> None:
    words = make_ring()
    fill(words, 3)
    words[layout.RING_READY_AT] = 1
    repair(words)
    ring = RingReader(words)
    assert (ring.head, ring.ready) == (3, 3)
    assert ring.find(3, 3) is not None


def test_what_is_torn_beyond_ready_is_taken_back_with_all_that_follows() -> None:
    words = make_ring()
    fill(words, 5)
    words[layout.RING_READY_AT] = 2
    tear(words, 3)
    repair(words)
    ring = RingReader(words)
    assert (ring.head, ring.ready) == (3, 3)
    assert [ring.find(number, number) is not None for number in (1, 2, 3, 4, 5)] == [True, True, True, False, False]


def test_what_a_killed_process_had_not_published_never_comes_back() -> None:
    words = make_ring()
    fill(words, 3)
    words[layout.RING_HEAD_AT] = words[layout.RING_READY_AT] = 2
    repair(words)
    ring = RingReader(words)
    assert ring.head == 2
    assert ring.find(3, 3) is None


def test_a_slot_of_two_mixed_payments_is_no_payment_even_if_only_high_bits_of_the_amount_differ() -> None:
    words = make_ring()
    fill(words, 1)
    words[layout.RING_READY_AT] = 0
    words[layout.slot_offset(SLOTS, 0) + layout.SLOT_CENTS] += 1 << 24
    repair(words)
    assert RingReader(words).head == 0


def test_a_payment_that_is_damaged_and_was_not_done_is_refused() -> None:
    words = make_ring()
    fill(words, 3)
    tear(words, 1)
    with pytest.raises(SegmentError, match="position 1 is damaged"):
        repair(words)


def test_a_slot_that_a_transaction_gave_away_may_be_torn_once_the_log_is_done() -> None:
    words, books = make_ring(), zeros(SHAPE.words)
    lay_out_books(books, SHAPE, 1)
    fill(words, SLOTS)
    set_progress(words, 0, layout.PROCESSING)
    at = layout.slot_offset(SLOTS, 0) + layout.SLOT_PROGRESS
    on_disk = words[at]

    class LostError(Exception):
        pass

    syncs = 0

    def sync() -> None:
        nonlocal syncs
        syncs += 1
        if syncs == 2:  # the words are applied, and not all of them are on disk
            words[at] = on_disk
            raise LostError

    writer = BooksWriter(books, SHAPE, [words], sync)
    writer.put(1, at, layout.pack_progress(0, layout.COMPLETED, FALLBACK, 1))
    with pytest.raises(LostError):
        writer.commit()
    tear(words, 0)  # by the payment that was given the slot
    with pytest.raises(SegmentError):
        repair(words)
    redo_ring(books, 0, words)
    repair(words)
    assert RingReader(words).head == SLOTS


def test_a_slot_that_was_given_away_may_have_its_next_payment_on_the_way() -> None:
    words = make_ring()
    ring = fill(words, SLOTS)
    set_progress(words, 0, layout.COMPLETED)
    assert ring.put(99, 99, 1, NOW_MS, 0)
    ring.release(SLOTS + 1)
    set_progress(words, SLOTS, layout.PROCESSING)
    words[layout.RING_READY_AT] = SLOTS  # its store had not arrived
    repair(words)
    payment = RingReader(words).find(99, 99)
    assert payment is not None
    assert payment.state == layout.PROCESSING
    assert RingReader(words).ready == SLOTS + 1


def test_an_attempt_that_was_marked_with_the_time_of_an_older_payment_gets_a_time_of_its_own() -> None:
    words = make_ring()
    fill(words, 1)
    set_progress(words, 0, layout.PROCESSING, requested_ms=0)
    repair(words)
    payment = RingReader(words).read(0)
    assert payment is not None
    assert payment.requested_ms == NOW_MS


def test_a_purge_is_not_done_again_because_its_request_is_older_on_disk_than_its_answer() -> None:
    words = make_ring()
    words[layout.RING_PURGE_ASKED_AT], words[layout.RING_PURGE_DONE_AT] = 4, 5
    repair(words)
    assert words[layout.RING_PURGE_ASKED_AT] == 5


def test_a_repair_that_was_cut_short_may_be_done_again() -> None:
    words = make_ring()
    fill(words, 5)
    words[layout.RING_READY_AT] = 2
    tear(words, 3)
    repair(words)
    once = [words[at] for at in range(len(words))]
    repair(words)
    assert [words[at] for at in range(len(words))] == once


def test_what_was_not_released_and_is_not_whole_is_taken_back_though_the_machine_went_on() -> None:
    words = make_ring()
    fill(words, 6)
    words[layout.RING_READY_AT] = 2
    tear(words, 3)
    assert take_back(words) == 3
    ring = RingReader(words)
    assert (ring.head, ring.ready) == (3, 2)
    assert [ring.find(number, number) is not None for number in (1, 2, 3, 4, 5, 6)] == [True] * 3 + [False] * 3
    fill(words, 3, first=3)  # the slots can be used again, and what is put in is found
    assert all(ring.find(number, number) for number in range(1, 7))
    assert take_back(words) == 0


def test_nothing_beyond_an_old_head_comes_back() -> None:
    words = make_ring()
    fill(words, 6)
    words[layout.RING_HEAD_AT] = words[layout.RING_READY_AT] = 2
    assert take_back(words) == 0
    fill(words, 3, first=2)
    ring = RingReader(words)
    assert [ring.find(number, number) is not None for number in (1, 2, 3, 4, 5, 6)] == [True] * 5 + [False]


def test_a_payment_that_cannot_be_found_any_more_is_taken_back() -> None:
    words = make_ring()
    fill(words, 3)
    words[layout.RING_READY_AT] = 2
    words[RingReader(words).bucket(3, 3)] = 0
    assert take_back(words) == 1


def test_a_payment_with_a_202_is_kept_though_its_chain_leads_through_what_the_disk_has_lost() -> None:
    words = make_ring()
    fill(words, 3)
    first = RingReader(words).bucket(2, 2)
    same = next(number for number in range(4, 999) if RingReader(words).bucket(number, number) == first)
    for number in (50, same):  # not on disk, but for the bucket
        RingWriter(words, is_synced=True).put(number, number, 1, NOW_MS, 0)
    words[layout.RING_HEAD_AT], words[layout.RING_READY_AT] = 3, 1  # both are older on disk
    tear(words, 3)
    tear(words, 4)
    ring = RingReader(words)
    with pytest.raises(LostError):  # "it is not here" would let another process accept it again
        ring.find(2, 2)
    assert take_back(words) == 0
    assert all(ring.find(number, number) for number in (1, 2, 3))


@pytest.mark.parametrize("word", [layout.SLOT_SEQUENCE, layout.SLOT_CHECK])
def test_nobody_is_told_that_a_payment_is_not_here_while_its_chain_leads_through_what_is_lost(word: int) -> None:
    words = make_ring()
    fill(words, 3)
    same = next(
        number for number in range(4, 999) if len({RingReader(words).bucket(one, one) for one in (2, number)}) == 1
    )
    RingWriter(words, is_synced=True).put(same, same, 1, NOW_MS, 0)
    words[layout.slot_offset(SLOTS, 3) + word] = words[layout.slot_offset(SLOTS, 3) + layout.SLOT_LINK] = 0
    with pytest.raises(LostError):
        RingReader(words).find(2, 2)
    assert take_back(words) == 1
    assert RingReader(words).find(2, 2) is not None


def test_who_waits_for_a_payment_that_is_taken_back_has_no_202() -> None:
    words = make_ring()
    assert fill(words, 1).put(2, 2, 1, NOW_MS, 0)
    place = Place(RingReader(words), 1, 2, 2)
    assert not place.is_kept()
    tear(words, 1)
    with pytest.raises(LostError):
        place.is_kept()
    take_back(words)
    with pytest.raises(LostError):
        place.is_kept()
    another = RingWriter(words, is_synced=True)
    assert another.put(3, 3, 1, NOW_MS, 0)  # at the same position
    another.release(2)
    with pytest.raises(LostError):
        place.is_kept()


def test_who_waits_for_a_payment_has_its_202_when_it_is_released_and_when_its_slot_is_given_away() -> None:
    words = make_ring()
    fill(words, 1)
    place = Place(RingReader(words), 0, 1, 1)
    assert place.is_kept()
    set_progress(words, 0, layout.COMPLETED)
    fill(words, SLOTS, first=1)
    assert RingReader(words).read(0) is None
    assert place.is_kept()


def test_the_first_sync_of_a_process_writes_all_that_it_may_have_lost_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = 256
    disk = Disk(random.Random(0))
    segment = disk.create("ring", layout.ring_words(slots))
    layout.lay_out_ring(segment.words, slots, 1, 1)
    segment.sync()
    written: list[set[int]] = []
    monkeypatch.setattr(File, "synced", lambda file: written.append(set(file.versions)))
    Committer(RingWriter(segment.words, is_synced=True), segment, lambda _: cast(Alarm, None), lambda: None).start()
    assert written == [set(range(-(-layout.ring_words(slots) // SECTOR_WORDS)))]


def test_a_ring_in_which_each_payment_had_its_202_is_refused_when_one_is_not_whole() -> None:
    words = make_ring()
    fill(words, 3)
    check_whole(words)
    tear(words, 1)
    with pytest.raises(SegmentError, match="position 1 is damaged: the disk has lost a page"):
        check_whole(words)
    set_progress(words, 1, layout.COMPLETED)  # it was over, and its slot had been given away
    check_whole(words)


def test_a_head_that_is_older_than_the_slots_is_refused_and_one_payment_beyond_it_is_a_killed_writers() -> None:
    words = make_ring()
    fill(words, 3)
    words[layout.RING_HEAD_AT] = words[layout.RING_READY_AT] = 2
    check_whole(words)
    words[layout.RING_HEAD_AT] = words[layout.RING_READY_AT] = 1
    with pytest.raises(SegmentError, match="beyond its head"):
        check_whole(words)


@pytest.mark.parametrize(
    ("requested_ms", "older_done_ms", "expected_ms"),
    [
        (NOW_MS - 3, NOW_MS - 10, NOW_MS - 3),  # a pass has sent what was accepted after its own moment
        (NOW_MS - 3, NOW_MS - 3, NOW_MS - 3),  # in the very pass that made the older payment done
        (NOW_MS - 11, NOW_MS - 10, NOW_MS),  # the older payment's time
        (NOW_MS - 3, 0, NOW_MS - 3),  # there was no older payment
        (0, 0, NOW_MS),
    ],
)
def test_an_attempt_gets_a_time_of_its_own_only_if_it_has_an_older_payments(
    requested_ms: int, older_done_ms: int, expected_ms: int
) -> None:
    words = make_ring()
    fill(words, 1)
    words[layout.slot_offset(SLOTS, 0) + layout.SLOT_SETTLED] = layout.pack_settled(
        older_done_ms, layout.REASON_REFUSED
    )
    set_progress(words, 0, layout.PROCESSING, requested_ms)
    repair(words)
    payment = RingReader(words).read(0)
    assert payment is not None and payment.requested_ms == expected_ms
