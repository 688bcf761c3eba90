"""An engine's memory with some of everything in it, and all that can be read of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from engine.books import parked
from engine.books.reader import BooksReader, Totals
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.payment import Payment
from engine.ring.ring import DONE, RingReader, RingWriter
from engine.storage.migration import Memory

NOW_MS = 1_760_000_000_000
CLOCK_MS = 5_000_000
OPEN = (layout.QUEUED, layout.PROCESSING, layout.ALREADY)
Id = tuple[int, int]


class Parked(NamedTuple):
    """A payment parked, without its place."""

    payment: Payment
    refusals: int


@dataclass
class Seen:
    """All that can be read of an engine's memory. Payments have no positions, for these may change."""

    unfinished: dict[Id, Payment]
    done: dict[Id, Payment]
    parked: dict[Id, Parked]
    parked_done: dict[Id, Parked]
    totals: Totals
    counters: list[int]
    accepted: int
    refused: int
    floors: list[tuple[int, int]]
    buckets: dict[tuple[int, int, int], tuple[int, int]]  # level, processor, number of the bucket: count, cents


def fill(memory: Memory, chance: random.Random, payments: int, parked: int = 12) -> None:
    """Payments in every state, in rings, books and parking table, with the counters that belong to them."""
    books = BooksWriter(memory.books, memory.shape, memory.rings)
    rings = [RingWriter(words) for words in memory.rings]
    for number in range(payments):
        index = chance.randrange(len(rings))
        ring = rings[index]
        clock_ms = CLOCK_MS + number * 7 // 3
        origin = clock_ms | chance.choice((0, layout.ORIGIN_SEEN)) | chance.choice((0, 5 << 48))
        if not ring.put(chance.getrandbits(64), number, chance.randint(1, 10**13), NOW_MS + number, origin):
            continue
        position = ring.head - 1
        at, state = ring.offset(position), chance.choice((*OPEN, *OPEN, *DONE))
        if position < payments // (2 * len(rings)) or chance.random() < 0.4:
            state = layout.COMPLETED
        requested_ms, processor = NOW_MS + number + chance.randrange(40_000), chance.randrange(memory.shape.processors)
        cents = memory.rings[index][at + layout.SLOT_CENTS]
        if state == layout.QUEUED and chance.random() < 0.5:
            continue
        books.begin(NOW_MS + 60_000)
        if state == layout.COMPLETED:
            books.settle(processor, requested_ms, cents)
        elif state == layout.FAILED:
            books.fail(cents)
        elif state == layout.CHARGED_BEFORE:
            books.charged_before(cents)
        for field, value in (
            (layout.SLOT_REQUESTED_MS, requested_ms),
            (layout.SLOT_FIRST_MS, requested_ms - chance.randrange(1000)),
            (layout.SLOT_SETTLED, layout.pack_settled(NOW_MS, chance.randrange(3)) if state in DONE else 0),
            (layout.SLOT_PROGRESS, layout.pack_progress(position, state, processor, chance.randrange(1, 99))),
        ):
            books.put(index + 1, at + field, value)
        books.commit()
    _fill_parked(memory, books, chance, parked)
    for words in memory.rings:
        words[layout.RING_REFUSED_AT] += chance.randrange(5)
    memory.books[layout.BOOKS_CLOCK_OFFSET_AT] = 12345
    memory.books[layout.BOOKS_DISCREPANCIES_AT] = 3
    memory.books[layout.BOOKS_FINGERPRINTS_AT] = 0xFEED
    memory.books[layout.STATUS_CLOCK_MS] = CLOCK_MS + 9


def _fill_parked(memory: Memory, books: BooksWriter, chance: random.Random, count: int) -> None:
    for number in range(count):
        dead = chance.choice((layout.REASON_NONE, layout.REASON_CONTRADICTION))
        payment = Payment(
            0, chance.getrandbits(64), 10**6 + number, chance.randint(1, 10**6), NOW_MS - number, chance.choice(OPEN),
            chance.randrange(memory.shape.processors), chance.randrange(99), NOW_MS + number, NOW_MS if dead else 0,
            dead, CLOCK_MS - number, NOW_MS - 1,
        )  # fmt: skip
        books.begin(NOW_MS)
        place = parked.put(books, memory.shape, payment, chance.getrandbits(16))
        if place is not None and number % 3 == 0:
            ended = payment._replace(state=layout.COMPLETED, settled_ms=NOW_MS + number, reason=layout.REASON_NONE)
            parked.change(books, memory.shape, place, ended)
        books.commit()


def see(memory: Memory) -> Seen:
    """What is there. Fails when a payment is there twice, or cannot be found by its id."""
    unfinished: dict[Id, Payment] = {}
    done: dict[Id, Payment] = {}
    accepted = refused = 0
    for words in memory.rings:
        ring = RingReader(words)
        accepted += ring.head - ring.forgotten_below
        refused += words[layout.RING_REFUSED_AT]
        assert ring.ready == ring.head
        for position in range(max(0, ring.head - ring.slots, ring.forgotten_below), ring.head):
            payment = ring.read(position)
            if payment is None:
                assert ring.is_done(position)
                continue
            assert ring.is_whole(position)
            key = payment.id_high, payment.id_low
            assert ring.find(*key) == payment
            assert key not in unfinished and key not in done
            (done if payment.state in DONE else unfinished)[key] = payment._replace(position=0)
    get = memory.books.__getitem__
    kept: dict[Id, Parked] = {}
    parked_done: dict[Id, Parked] = {}
    for place in range(memory.shape.parked_slots):
        payment = parked.read(get, memory.shape, place)
        if payment is not None:
            key = payment.id_high, payment.id_low
            assert parked.find(get, memory.shape, *key) == payment
            assert key not in kept and key not in parked_done
            one = Parked(payment._replace(position=0), parked.refusals(get, memory.shape, place))
            (kept if payment.state in OPEN else parked_done)[key] = one
    assert memory.books[layout.BOOKS_PARKED_KEPT_AT] == len(kept)
    floors = [(memory.books[level.floor_at], memory.books[level.head_at]) for level in memory.shape.levels]
    totals = BooksReader(memory.books, memory.shape).totals()
    return Seen(
        unfinished, done, kept, parked_done, totals, _counters(get), accepted, refused, floors, _buckets(memory)
    )


def _counters(get: Callable[[int], int]) -> list[int]:
    """Every word of the header that a person may be told of, and when the engine's clock was last seen."""
    places = [
        *range(layout.BOOKS_PARKED_KEPT_AT, layout.BOOKS_NAMES_AT),
        *range(layout.BOOKS_TOTALS_AT, layout.STATUS_AT),
        layout.STATUS_CLOCK_MS,
    ]
    own = (*layout.BOOKS_ANCESTORS_AT, *range(layout.BOOKS_LEDGER_AT, layout.BOOKS_NAMES_AT))  # of this memory alone
    return [get(at) for at in places if at not in own]


def _buckets(memory: Memory) -> dict[tuple[int, int, int], tuple[int, int]]:
    found = {}
    for index, level in enumerate(memory.shape.levels):
        floor, head = memory.books[level.floor_at], memory.books[level.head_at]
        for processor in range(memory.shape.processors):
            counts, cents = level.counts_at[processor], level.cents_at[processor]
            for number in range(floor, head + 1):
                bucket = number % level.buckets
                count = memory.books[counts + bucket]
                if count:
                    found[index, processor, number] = count, memory.books[cents + bucket]
    return found


def check_taken_over(before: Seen, after: Seen, room: int) -> None:
    """What a start with other sizes promises; ``room``: slots of all rings."""
    assert after.unfinished == before.unfinished
    assert after.parked == before.parked
    assert after.totals == before.totals
    assert after.counters == before.counters
    assert (after.accepted, after.refused) == (before.accepted, before.refused)
    newest = sorted(before.done.values(), key=lambda one: one.clock_ms, reverse=True)
    count = min(len(newest), room - len(before.unfinished))
    assert len(after.done) == count
    assert sorted(one.clock_ms for one in after.done.values()) == sorted(one.clock_ms for one in newest[:count])
    assert after.done.items() <= before.done.items()
    assert after.parked_done.items() <= before.parked_done.items()
    assert after.buckets == {key: value for key, value in before.buckets.items() if key[2] >= after.floors[key[0]][0]}
