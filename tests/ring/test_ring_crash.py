"""What the ring promises if its writer is killed between any two stores, also to processes that read meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.memory import layout
from engine.payment import Payment
from engine.ring.ring import RingReader, RingWriter
from tests.ring.memory import Recorded, Store, Watched, apply, copy
from tests.ring.test_ring import ONE_BUCKET, SLOTS, SPREAD, finish, make_ring

NEW = 77
OTHER_HIGH = 4


def used_ring(puts: int, seeds: tuple[int, int]) -> memoryview[int]:
    """A ring after ``puts`` payments with the ids 0, 1, ..., all done."""
    words = make_ring(seeds=seeds)
    writer = RingWriter(words)  # type: ignore[arg-type]
    for number in range(puts):
        assert writer.put(0, number, 100 + number, 1, 0)
        finish(words, number)  # type: ignore[arg-type]
    return words


def stores_of_a_put(words: memoryview[int], identity: int = NEW) -> list[Store]:
    stores: list[Store] = []
    assert RingWriter(Recorded(copy(words), stores)).put(0, identity, 100 + identity, 1, 0)
    return stores


def crashes(puts: int, seeds: tuple[int, int]) -> Iterator[tuple[memoryview[int], bool]]:
    """The memory that a kill leaves at each store of a put, and whether the payment was published."""
    words = used_ring(puts, seeds)
    stores = stores_of_a_put(words)
    for store in stores:
        yield copy(words), words[layout.RING_HEAD_AT] > puts
        apply([words], store)
    yield words, True


USED = [0, 3, SLOTS, SLOTS + 1, 3 * SLOTS]


def expect_whole(payment: Payment | None, number: int) -> None:
    assert payment is not None
    assert (payment.id_high, payment.id_low, payment.cents) == (0, number, 100 + number)


@pytest.mark.parametrize("seeds", [ONE_BUCKET, SPREAD])
@pytest.mark.parametrize("puts", USED)
def test_a_payment_is_there_whole_or_not_at_all_wherever_its_writer_is_killed(
    puts: int, seeds: tuple[int, int]
) -> None:
    for words, is_published in crashes(puts, seeds):
        for reader in (RingReader(copy(words)), RingWriter(copy(words))):  # type: ignore[arg-type]
            found = reader.find(0, NEW)
            assert (found is not None) is is_published
            if found:
                expect_whole(found, NEW)
            assert reader.head == puts + is_published
            # The slot that is being written held the oldest payment, which was done.
            for number in range(max(0, puts - SLOTS + 1), puts):
                expect_whole(reader.find(0, number), number)


@pytest.mark.parametrize("seeds", [ONE_BUCKET, SPREAD])
@pytest.mark.parametrize("puts", USED)
def test_after_a_kill_the_next_writer_carries_on(puts: int, seeds: tuple[int, int]) -> None:
    for words, is_published in crashes(puts, seeds):
        writer = RingWriter(words)  # type: ignore[arg-type]
        head = puts + is_published
        if is_published:
            finish(words, puts)  # type: ignore[arg-type]
        for number in range(100, 100 + 2 * SLOTS):
            assert writer.put(0, number, 100 + number, 1, 0)
            finish(words, head + number - 100)  # type: ignore[arg-type]
            expect_whole(writer.find(0, number), number)
        for number in range(100 + SLOTS, 100 + 2 * SLOTS):
            expect_whole(writer.find(0, number), number)
        assert writer.find(0, 100) is None


@pytest.mark.parametrize("puts", USED)
def test_a_kill_while_taking_back_what_a_kill_left_does_no_harm(puts: int) -> None:
    for words, is_published in crashes(puts, ONE_BUCKET):
        stores: list[Store] = []
        RingWriter(Recorded(copy(words), stores))
        for count in range(len(stores) + 1):
            left = copy(words)
            for store in stores[:count]:
                apply([left], store)
            writer = RingWriter(left)  # type: ignore[arg-type]
            assert (writer.find(0, NEW) is not None) is is_published
            assert writer.put(0, 50, 150, 1, 0)
            expect_whole(writer.find(0, 50), 50)
            for number in range(max(0, puts - SLOTS + 2), puts):
                expect_whole(writer.find(0, number), number)


@pytest.mark.parametrize("other_bucket", [False, True])
@pytest.mark.parametrize("puts", [3, SLOTS + 3])
def test_a_remembered_payment_is_found_whatever_the_writer_does_meanwhile(puts: int, other_bucket: bool) -> None:
    """A writer puts, is killed at any store, its successor starts and puts; a reader looks at any pace."""
    newest = puts - 1
    high = OTHER_HIGH if other_bucket else 0  # with ONE_BUCKET's seeds the high half chooses the bucket
    for words, _ in crashes(puts, ONE_BUCKET):
        stores: list[Store] = []
        after = copy(words)
        successor = RingWriter(Recorded(after, stores))
        assert (successor.bucket(high, 60) != successor.bucket(0, 60)) is other_bucket
        for identity in (60, 61):
            assert successor.put(high, identity, 1, 1, 0)
        for begin in range(len(stores) + 1):
            for pause in range(8):
                for step in range(1, len(stores) - begin + 1):
                    assert finds(copy(words), stores, newest, begin, pause, step)


def finds(memory: memoryview[int], stores: list[Store], identity: int, begin: int, pause: int, step: int) -> bool:
    """Looks when ``begin`` stores have happened; at load number ``pause``, ``step`` more happen at once."""
    for store in stores[:begin]:
        apply([memory], store)
    loads = 0

    def before_load() -> None:
        nonlocal loads
        if loads == pause:
            for store in stores[begin : begin + step]:
                apply([memory], store)
        loads += 1

    reader = RingReader(memory)  # type: ignore[arg-type]
    reader.words = Watched(memory, before_load)
    found = reader.find(0, identity)
    return found is not None and found.cents == 100 + identity


def test_looking_up_ends_even_if_the_chain_is_a_circle() -> None:
    words = used_ring(3, ONE_BUCKET)
    reader = RingReader(words)  # type: ignore[arg-type]
    words[reader.offset(0) + layout.SLOT_LINK] = 3
    assert reader.find(0, 99) is None
