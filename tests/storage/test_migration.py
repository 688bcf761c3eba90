"""Memory of other sizes takes over all unfinished payments, and as many finished ones as fit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import pytest

from engine.books import levels, listed
from engine.books.reader import BooksReader
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.memory.words import Words, zeros
from engine.processors import DEFAULT, FALLBACK
from engine.ring.ring import DONE, RingReader, RingWriter
from engine.storage import migration
from engine.storage.migration import Memory, MisfitError
from tests.ring import memory as recorded
from tests.storage.filled import CLOCK_MS, NOW_MS, check_taken_over, fill, see

SEEDS = range(12)
Sizes = tuple[int, int, int, int, int]
PLAIN: Sizes = (2, 128, 30, 1, 64)  # rings, slots, seconds, hours, places parked
NAMES = ("default", "fallback")


def blank(sizes: Sizes, chance: random.Random, names: Sequence[str] = NAMES) -> Memory:
    """New rings, and books that are all 0 but for the names of the processors."""
    rings, slots, seconds, hours, places = sizes
    shape = levels.shape(seconds, hours, places, len(names))
    made = [zeros(layout.ring_words(slots)) for _ in range(rings)]
    for words in made:
        layout.lay_out_ring(words, slots, chance.getrandbits(64) | 1, chance.getrandbits(64) | 1)
    books = zeros(shape.words)
    books[layout.BOOKS_PROCESSORS_AT] = len(names)
    listed.write(names, books)
    return Memory(books, shape, made)


def empty(sizes: Sizes, chance: random.Random, names: Sequence[str] = NAMES) -> Memory:
    """An engine that has accepted nothing."""
    memory = blank(sizes, chance, names)
    levels.lay_out_books(memory.books, memory.shape, chance.getrandbits(64) | 1)
    return memory


def take_over(old: Memory, sizes: Sizes, chance: random.Random, names: Sequence[str] = NAMES) -> Memory:
    new = blank(sizes, chance, names)
    plan = migration.plan(old, sizes[0], sizes[1], new.shape, lambda: chance.getrandbits(64) | 1)
    migration.carry_over(plan, old, new)
    return new


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "sizes",
    [
        (2, 256, 30, 1, 64),
        (2, 64, 30, 1, 64),
        (1, 128, 30, 1, 64),
        (5, 64, 30, 1, 64),
        (2, 128, 300, 1, 64),
        (2, 128, 30, 3, 64),
        (2, 128, 30, 1, 16),
        (2, 128, 30, 1, 256),
        (3, 64, 60, 2, 32),
        PLAIN,
    ],
)
def test_all_that_is_unfinished_is_there_once_and_as_it_was_and_of_the_rest_the_newest(seed: int, sizes: Sizes) -> None:
    chance = random.Random(seed)
    old = empty(PLAIN, chance)
    fill(old, chance, chance.choice((0, 5, 90, 150, 260)))
    before = see(old)
    if len(before.unfinished) > sizes[0] * sizes[1]:
        pytest.skip("it does not fit")
    new = take_over(old, sizes, chance)
    check_taken_over(before, see(new), sizes[0] * sizes[1])
    assert new.books[layout.BOOKS_CLOCK_OFFSET_AT] == old.books[layout.BOOKS_CLOCK_OFFSET_AT]
    back = take_over(new, PLAIN, chance)
    assert see(back).unfinished == before.unfinished
    assert see(back).parked == before.parked
    assert see(back).totals == before.totals
    assert see(old) == before, "the old memory is as it was"


def test_the_oldest_that_is_unfinished_comes_first_and_after_all_that_is_done() -> None:
    chance = random.Random(1)
    old = empty(PLAIN, chance)
    fill(old, chance, 200)
    for words in take_over(old, (3, 128, 30, 1, 64), chance).rings:
        ring = RingReader(words)
        payments = [ring.read(position) for position in range(max(0, ring.head - ring.slots), ring.head)]
        states = [payment.state in DONE for payment in payments if payment is not None]
        assert states == sorted(states, reverse=True)
        clocks = [payment.clock_ms for payment in payments if payment is not None and payment.state not in DONE]
        assert clocks == sorted(clocks)


def test_a_new_ring_gives_away_the_slots_of_what_is_done_and_no_other() -> None:
    chance = random.Random(2)
    old = empty(PLAIN, chance)
    fill(old, chance, 260)
    unfinished = see(old).unfinished
    new = take_over(old, (4, 64, 30, 1, 64), chance)
    accepted = 0
    for number, words in enumerate(new.rings):
        ring = RingWriter(words)
        while ring.put(1 << 63 | number, accepted, 1, NOW_MS, CLOCK_MS):
            accepted += 1
    assert accepted == 4 * 64 - len(unfinished)
    for key, payment in unfinished.items():
        found = [ring.find(*key) for ring in map(RingReader, new.rings)]
        assert [one._replace(position=0) for one in found if one is not None] == [payment]


def test_a_purge_stays_carried_out() -> None:
    chance = random.Random(3)
    old = empty(PLAIN, chance)
    fill(old, chance, 50)
    for words in old.rings:
        words[layout.RING_FORGOTTEN_AT] = words[layout.RING_HEAD_AT]
    books = BooksWriter(old.books, old.shape, old.rings)
    books.begin(NOW_MS)
    books.forget()
    books.commit()
    after = see(take_over(old, (3, 64, 60, 2, 32), chance))
    assert (after.unfinished, after.done, after.parked, after.parked_done, after.accepted) == ({}, {}, {}, {}, 0)
    assert [one.payments for one in after.totals.settled] == [0, 0]


def test_windows_of_new_books_agree_with_those_of_the_old_ones_as_far_as_both_reach() -> None:
    chance = random.Random(4)
    old = empty((2, 64, 60, 1, 64), chance)
    writer = BooksWriter(old.books, old.shape, old.rings)
    for second in range(0, 5000, 7):
        at_ms = NOW_MS + second * 1000 + chance.randrange(1000)
        writer.begin(at_ms)
        writer.settle(chance.choice((DEFAULT, FALLBACK)), at_ms, chance.randrange(1, 10**6))
        writer.commit()
    end_ms = NOW_MS + 5_000_000
    was = BooksReader(old.books, old.shape)
    for seconds, hours in ((30, 1), (60, 1), (600, 1), (60, 5)):
        new = take_over(old, (2, 64, seconds, hours, 64), chance)
        now = BooksReader(new.books, new.shape)
        assert now.totals() == was.totals()
        for _ in range(300):
            exact_ms = min(seconds, 60) * 1000 - 2000
            from_ms = end_ms - chance.randrange(exact_ms)
            to_ms = from_ms + chance.randrange(exact_ms)
            assert now.window(from_ms, to_ms) == was.window(from_ms, to_ms)
            from_ms = (end_ms - chance.randrange(3_500_000)) // 60_000 * 60_000
            assert now.window(from_ms, None) == was.window(from_ms, None)
        # They go on being written.
        writer = BooksWriter(new.books, new.shape, new.rings)
        writer.begin(end_ms + 90_000)
        writer.settle(0, end_ms + 90_000, 5)
        writer.commit()
        assert now.window(end_ms + 80_000, None)[0] == (1, 5)


def test_what_does_not_fit_is_refused_with_its_numbers() -> None:
    chance = random.Random(5)
    old = empty(PLAIN, chance)
    for words in old.rings:
        ring = RingWriter(words)
        for number in range(100):
            assert ring.put(id(words), number, 1, NOW_MS, CLOCK_MS)
    with pytest.raises(MisfitError, match=r"200 payments are unfinished.*room for 3 x 64"):
        take_over(old, (3, 64, 30, 1, 64), chance)
    assert len(see(take_over(old, (4, 64, 30, 1, 64), chance)).unfinished) == 200


def test_payments_parked_that_do_not_fit_are_refused_with_their_number() -> None:
    chance = random.Random(6)
    old = empty(PLAIN, chance)
    fill(old, chance, 10, parked=30)
    kept = len(see(old).parked)
    assert kept > 16
    with pytest.raises(MisfitError, match=f"{kept} payments are parked, and ENGINE_PARKED_SLOTS=16"):
        take_over(old, (2, 128, 30, 1, 16), chance)


def test_a_payment_that_is_damaged_stops_it() -> None:
    chance = random.Random(7)
    old = empty(PLAIN, chance)
    RingWriter(old.rings[1]).put(1, 2, 3, NOW_MS, CLOCK_MS)
    old.rings[1][layout.slot_offset(128, 0) + layout.SLOT_CENTS] += 1
    with pytest.raises(MisfitError, match="ring 1 is damaged at position 0"):
        take_over(old, PLAIN, chance)


def test_the_old_memory_is_only_read() -> None:
    chance = random.Random(8)
    old = empty(PLAIN, chance)
    fill(old, chance, 100)
    stores: list[recorded.Store] = []
    watched = Memory(
        cast(Words, recorded.Recorded(cast("memoryview[int]", old.books), stores)),
        old.shape,
        [cast(Words, recorded.Recorded(cast("memoryview[int]", words), stores, 1)) for words in old.rings],
    )
    take_over(watched, (3, 64, 60, 2, 32), chance)
    assert stores == []
