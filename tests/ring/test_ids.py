"""What the id memory promises: it knows what was here, hardly takes anything else for known, and never grows."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.books import levels, parked
from engine.memory import layout
from engine.memory.hashing import mix
from engine.memory.words import WORD_MAX
from engine.ring.ids import IdMemory, ids_buckets, ids_words, lay_out_ids, stripe
from engine.ring.ring import RingReader
from tests.ring.memory import Recorded, Store, apply, blank, copy
from tests.ring.test_ring import SPREAD, make_ring

LEAST = layout.IDS_BUCKET_MEAN * layout.STRIPES  # ids of the smallest memory
PLACES = layout.IDS_BUCKET_LANES
Id = tuple[int, int]


def make_ids(ids: int = LEAST, seeds: tuple[int, int] = SPREAD, number: int = 1) -> memoryview[int]:
    buckets = ids_buckets(ids)
    words = blank(ids_words(buckets))
    lay_out_ids(words, buckets, make_ring(seeds=seeds), number)  # type: ignore[arg-type]
    return words


def memory(ids: int = LEAST, seeds: tuple[int, int] = SPREAD) -> IdMemory:
    return IdMemory(make_ids(ids, seeds))  # type: ignore[arg-type]


def random_ids(seed: int) -> Iterator[Id]:
    chance = random.Random(seed)
    while True:
        yield chance.getrandbits(64), chance.getrandbits(64)


def of_one_bucket(made: IdMemory, count: int) -> list[Id]:
    """Ids that share the first one's bucket: found by trying, for they cannot be made."""
    ids = random_ids(1)
    at = made._place(*next(ids))[0]
    return list(islice((one for one in ids if made._place(*one)[0] == at), count))


# --- what is known ---------------------------------------------------------------------------------------------------


def test_what_was_remembered_is_known_and_what_was_not_is_not() -> None:
    made = memory()
    assert not made.contains(1, 2)
    assert not made.remember(1, 2)
    assert made.contains(1, 2)
    assert made.remember(1, 2)
    assert not made.contains(2, 1)


def test_the_nil_id_is_an_id_like_any_other() -> None:
    made = memory()
    assert not made.contains(0, 0)
    made.remember(0, 0)
    assert made.contains(0, 0)


def test_of_a_bucket_the_youngest_255_are_known_and_seeing_one_again_makes_it_young() -> None:
    made = memory(seeds=SPREAD)
    ids = of_one_bucket(made, PLACES + 2)
    for one in ids[:PLACES]:
        made.remember(*one)
    assert all(made.contains(*one) for one in ids[:PLACES])
    assert made.remember(*ids[0])  # in the place of the oldest, which was its own
    made.remember(*ids[PLACES])
    assert not made.contains(*ids[1])
    assert all(made.contains(*one) for one in (ids[0], *ids[2 : PLACES + 1]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=900))
def test_a_bucket_is_a_queue_of_255_fingerprints(numbers: list[int]) -> None:
    made = memory()
    model: list[int] = []
    at = layout.IDS_HEADER_WORDS
    for number in numbers:
        fingerprint = PLACES + number * 256 % 65_281  # many of them, put together, look like another one
        expected = fingerprint in model
        assert made._has(at, fingerprint) is expected
        made._insert(at, fingerprint)
        model = [*model[-PLACES + 1 :], fingerprint]


def test_halves_of_two_neighbours_are_not_taken_for_a_fingerprint() -> None:
    made = memory()
    at = layout.IDS_HEADER_WORDS
    for fingerprint in (0x1234, 0x5678, 0x9ABC, 0xDEF0):
        made._insert(at, fingerprint)
    assert not any(made._has(at, fingerprint) for fingerprint in (0x7812, 0xBC56, 0xF09A, 0x00DE))
    assert all(made._has(at, fingerprint) for fingerprint in (0x1234, 0x5678, 0x9ABC, 0xDEF0))


def test_when_full_at_most_half_a_per_cent_of_new_ids_is_taken_for_known() -> None:
    made = memory()
    ids = random_ids(2)
    for one in islice(ids, PLACES * layout.STRIPES * 3 // 2):
        made.remember(*one)
    count = 60_000
    share = sum(made.contains(*one) for one in islice(ids, count)) / count
    assert 0.003 < share <= 0.005


def poisson_share(mean: float) -> float:
    """The chance that no more than 254 come where ``mean`` are expected."""
    return sum(math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in range(PLACES))


@pytest.mark.parametrize(("part", "least"), [(0.9, 0.9999), (1.0, 0.994)])
def test_it_reaches_as_far_back_as_it_is_asked_to(part: float, least: float) -> None:
    assert poisson_share(layout.IDS_BUCKET_MEAN * part) > least
    made = memory(LEAST)
    window = 8000  # ids of about the age
    older = list(islice(random_ids(3), window))
    for one in islice(random_ids(4), LEAST // 2):
        made.remember(*one)
    for one in older:
        made.remember(*one)
    for one in islice(random_ids(5), int(LEAST * part) - window // 2):
        made.remember(*one)
    share = sum(made.contains(*one) for one in older) / window
    assert share > least - 0.002
    assert abs(share - poisson_share(layout.IDS_BUCKET_MEAN * part)) < 0.003


def test_the_size_is_2_37_bytes_an_id_and_a_day_of_the_contest_takes_57_megabytes() -> None:
    ids = 279 * 86_400
    size = ids_words(ids_buckets(ids)) * 8
    assert size == 57_147_904
    assert 2.37 <= size / ids < 2.372
    assert ids_buckets(1) == layout.STRIPES and ids_buckets(LEAST + 1) == 2 * layout.STRIPES


# --- ids that somebody chooses ---------------------------------------------------------------------------------------

COUNT = 1 << 16
CHOSEN: dict[str, Callable[[int], Id]] = {
    "one after the other": lambda number: (0, number),
    "counted in the high half": lambda number: (number, 0),
    "both halves equal": lambda number: (number, number),
    "high halves of a word": lambda number: (number << 48, 0),
    "a sum of one half and three of the other": lambda number: (number, 0x0123456789ABCDEF - 3 * number & WORD_MAX),
    "the top byte of each half": lambda number: ((number & 0xFF) << 56, (number >> 8) << 56),
    "the complement": lambda number: (number, number ^ WORD_MAX),
    "version 7": lambda number: (0x199 << 52 | number // 64 << 16 | 0x7000 | number % 64, 2 << 62 | number * 0x10001),
}  # fmt: skip


@pytest.mark.parametrize("seeds", [(1, 1), SPREAD])
@pytest.mark.parametrize("kind", CHOSEN)
def test_ids_cannot_be_aimed_at_one_bucket_or_at_one_lock(kind: str, seeds: tuple[int, int]) -> None:
    made = memory(64 * LEAST, seeds)
    ids = [CHOSEN[kind](number) for number in range(COUNT)]
    assert len(set(ids)) == COUNT
    places = [made._place(*one) for one in ids]
    buckets = Counter(at for at, _ in places)
    stripes = Counter(stripe(mix(*one, *seeds)) for one in ids)
    # 65,536 ids: one for each bucket, and 64 for each lock, on average.
    assert max(buckets.values()) <= 12
    assert min(stripes.values()) > 20 and max(stripes.values()) < 120
    assert max(Counter(fingerprint for _, fingerprint in places).values()) <= 24
    # Buckets as many as chance leaves empty: 1/e of them.
    assert 0.62 < len(buckets) / COUNT < 0.645


@pytest.mark.parametrize("seeds", [(1, 1), SPREAD])
@pytest.mark.parametrize("kind", CHOSEN)
def test_ids_cannot_be_aimed_at_one_bucket_of_a_ring_or_of_the_parking_table(kind: str, seeds: tuple[int, int]) -> None:
    slots, shape = COUNT, levels.shape(30, 1, COUNT * layout.PARKED_WAYS, 2)
    ring = RingReader(make_ring(slots, seeds))  # type: ignore[arg-type]
    ids = [CHOSEN[kind](number) for number in range(COUNT)]
    for buckets in (
        Counter(ring.bucket(*one) for one in ids),
        Counter(parked.bucket(lambda _: seeds[1], shape, *one).start for one in ids),
    ):
        assert max(buckets.values()) <= 12
        assert 0.62 < len(buckets) / COUNT < 0.645


def test_every_bit_of_an_id_changes_every_bit_of_its_mix() -> None:
    chance, changed = random.Random(6), Counter[tuple[int, int]]()
    rounds = 300
    for _ in range(rounds):
        high, low = chance.getrandbits(64), chance.getrandbits(64)
        before = mix(high, low, *SPREAD)
        for bit in range(128):
            other = mix(high ^ (1 << bit >> 64), low ^ (1 << bit & WORD_MAX), *SPREAD) ^ before
            for place in range(64):
                changed[bit, place] += other >> place & 1
    shares = [changed[bit, place] / rounds for bit in range(128) for place in range(64)]
    assert min(shares) > 0.3 and max(shares) < 0.7


# --- writing together ---------------------------------------------------------------------------------------------


def test_ids_of_one_bucket_have_one_lock() -> None:
    made = memory(5 * LEAST)
    locks: dict[int, set[int]] = {}
    for one in islice(random_ids(7), 50_000):
        locks.setdefault(made._place(*one)[0], set()).add(stripe(mix(*one, *SPREAD)))
    assert all(len(stripes) == 1 for stripes in locks.values())


def test_a_kill_between_two_stores_loses_no_id_that_was_remembered_before() -> None:
    words = make_ids()
    made = IdMemory(words)  # type: ignore[arg-type]
    ids = of_one_bucket(made, 2 * PLACES)
    for number, one in enumerate(ids[:-1]):
        stores: list[Store] = []
        IdMemory(Recorded(copy(words), stores)).remember(*one)
        assert len(stores) == 2
        left = copy(words)
        apply([left], stores[0])  # and then the kill
        young = ids[max(0, number - PLACES + 1) : number]
        after = IdMemory(left)  # type: ignore[arg-type]
        assert all(after.contains(*other) for other in young)
        after.remember(*ids[-1])
        assert all(after.contains(*other) for other in young[1:])
        assert after.contains(*ids[-1])
        made.remember(*one)
