"""What the acceptor promises: a correlationId is accepted once, wherever it comes in."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from engine.books import parked
from engine.books.reader import BooksReader
from engine.intake.acceptor import Acceptor, FileLock, Usage, Verdict
from engine.memory import layout
from engine.memory.hashing import mix
from engine.memory.words import Words
from engine.processors import FALLBACK
from engine.ring.ids import IdMemory, stripe
from engine.ring.ring import RingReader, RingWriter
from engine.storage import locks, mapping
from tests.intake.engine import Engine, engine
from tests.ring.memory import Recorded, Store, apply, copy
from tests.ring.test_ids import LEAST, Id, make_ids, of_one_bucket
from tests.ring.test_ring import SLOTS, SPREAD, finish
from tests.ring.test_ring_crash import USED, used_ring

NOW_MS = 1_784_203_200_000  # by the wall clock; CLOCK_MS: by the engine's
CLOCK_MS = 5000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Engine]:
    with engine(str(tmp_path)) as made:
        yield made


def make_acceptor(world: Engine, index: int) -> Acceptor:
    own = RingWriter(world.segments[index].words)
    rings = [own if number == index else ring for number, ring in enumerate(world.rings)]
    return Acceptor(rings, own, world.reader, FileLock(world.books.lock_path))


def test_a_payment_is_accepted_and_found(world: Engine) -> None:
    acceptor = make_acceptor(world, 0)
    assert acceptor.accept(1, 2, 1990, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    found = acceptor.find(1, 2)
    assert found is not None
    assert (found.cents, found.accepted_ms, found.state) == (1990, NOW_MS, layout.QUEUED)
    assert acceptor.find(2, 1) is None
    acceptor.close()


def test_the_same_payment_again_changes_nothing_and_another_amount_is_a_conflict(world: Engine) -> None:
    acceptor = make_acceptor(world, 0)
    acceptor.accept(1, 2, 1990, NOW_MS, CLOCK_MS)
    assert acceptor.accept(1, 2, 1990, NOW_MS + 1, CLOCK_MS) is Verdict.SAME
    assert acceptor.accept(1, 2, 1991, NOW_MS + 1, CLOCK_MS) is Verdict.CONFLICT
    assert world.rings[0].head == 1
    acceptor.close()


def test_an_id_in_another_processs_ring_is_known(world: Engine) -> None:
    first, second = make_acceptor(world, 0), make_acceptor(world, 1)
    first.accept(1, 2, 1990, NOW_MS, CLOCK_MS)
    assert second.accept(1, 2, 1990, NOW_MS, CLOCK_MS) is Verdict.SAME
    assert second.accept(1, 2, 1, NOW_MS, CLOCK_MS) is Verdict.CONFLICT
    assert second.find(1, 2) == first.find(1, 2)
    assert world.rings[1].head == 0
    first.close()
    second.close()


def test_a_full_ring_refuses_what_is_new_and_still_knows_what_is_old(world: Engine) -> None:
    acceptor = make_acceptor(world, 0)
    for number in range(64):
        assert acceptor.accept(0, number, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    assert acceptor.usage()[0] == Usage(accepted=64, refused=0, full=True)
    assert acceptor.accept(0, 64, 100, NOW_MS, CLOCK_MS) is Verdict.FULL
    assert acceptor.accept(0, 0, 100, NOW_MS, CLOCK_MS) is Verdict.SAME
    assert acceptor.usage() == [Usage(64, 1, True), Usage(0, 0, False)]
    world.settle(0, 0)
    assert acceptor.accept(0, 64, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    acceptor.close()


def lock_file(directory: Path) -> str:
    """A file whose bytes can be locked."""
    path = directory / "lock"
    path.touch()
    return str(path)


def park(world: Engine, position: int) -> None:
    """What the dispatcher does with a payment of ring 0 whose processor does not answer."""
    reader = world.rings[0]
    at = reader.offset(position) + layout.SLOT_PROGRESS
    reader.words[at] = layout.pack_progress(position, layout.PROCESSING, FALLBACK, 3)
    payment = reader.read(position)
    assert payment is not None
    world.writer.begin(NOW_MS)
    parked.put(world.writer, mapping.books_shape(world.settings), payment)
    world.writer.put(1, at, layout.pack_progress(position, layout.PARKED, FALLBACK, 3))
    world.writer.commit()


def test_a_payment_that_was_parked_is_known_before_and_after_its_slot_is_given_away(world: Engine) -> None:
    acceptor = make_acceptor(world, 1)
    filler = make_acceptor(world, 0)
    filler.accept(7, 7, 1990, NOW_MS, CLOCK_MS)
    park(world, 0)
    for _ in range(2):
        found = acceptor.find(7, 7)
        assert found is not None
        assert (found.state, found.processor, found.attempts, found.cents) == (layout.PROCESSING, 1, 3, 1990)
        assert acceptor.accept(7, 7, 1990, NOW_MS, CLOCK_MS) is Verdict.SAME
        assert acceptor.accept(7, 7, 5, NOW_MS, CLOCK_MS) is Verdict.CONFLICT
        for number in range(64):
            filler.accept(0, number, 1, NOW_MS, CLOCK_MS)
    assert world.rings[0].find(7, 7) is None
    acceptor.close()
    filler.close()


def hand_in_all(environment: dict[str, str], index: int, barrier: Barrier, count: int) -> None:
    """One of two processes that accept the same ids at the same time."""
    world = Engine(environment)
    acceptor = make_acceptor(world, index)
    barrier.wait()
    for number in range(count):
        assert acceptor.accept(0, number, 100, NOW_MS, CLOCK_MS) in (Verdict.ACCEPTED, Verdict.SAME)


def test_an_id_that_comes_in_at_two_processes_at_once_is_accepted_by_one(tmp_path: Path) -> None:
    count = 2000
    with engine(str(tmp_path), ENGINE_RING_SLOTS="2048") as world:
        spawn = multiprocessing.get_context("fork")
        barrier = spawn.Barrier(2)
        processes = [
            spawn.Process(target=hand_in_all, args=(world.environment, index, barrier, count)) for index in (0, 1)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(20)
            assert process.exitcode == 0
        accepted = [ring.read(position) for ring in world.rings for position in range(ring.head)]
        ids = sorted(payment.id_low for payment in accepted if payment is not None)
        assert ids == list(range(count))


def test_processes_share_the_locks_of_ids_whatever_becomes_of_their_run_directories(
    world: Engine, tmp_path: Path
) -> None:
    elsewhere = Engine(world.environment | {"ENGINE_RUN_DIR": str(tmp_path / "b")})
    first, second = make_acceptor(world, 0), make_acceptor(elsewhere, 1)
    assert os.listdir(tmp_path) == [], "there is nothing that anybody could remove"
    assert locks.take(first.lock_descriptor, 3)
    assert not locks.take(second.lock_descriptor, 3, wait=False)
    first.close()
    assert locks.take(second.lock_descriptor, 3, wait=False)
    second.close()
    for segment in (*elsewhere.segments, elsewhere.books):
        segment.close()


def test_a_process_that_dies_while_it_accepts_leaves_no_lock_behind(world: Engine) -> None:
    context = multiprocessing.get_context("fork")

    class DyingRing(RingWriter):
        def fill(self, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int) -> None:
            os._exit(9)

    def die() -> None:
        own = DyingRing(world.segments[0].words)
        rings: list[RingReader] = [own, world.rings[1]]
        Acceptor(rings, own, world.reader, FileLock(world.books.lock_path)).accept(1, 2, 100, NOW_MS, CLOCK_MS)

    process = context.Process(target=die)
    process.start()
    process.join(10)
    assert process.exitcode == 9
    acceptor = make_acceptor(world, 1)
    assert acceptor.accept(1, 2, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    acceptor.close()


# --- the id memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remembered", [0, 2, 300])
@pytest.mark.parametrize("puts", USED)
def test_wherever_a_process_is_killed_what_it_accepted_is_remembered(
    tmp_path: Path, world: Engine, puts: int, remembered: int
) -> None:
    memory, ids = used_ring(puts, SPREAD), make_ids()
    *older, new, other = of_one_bucket(IdMemory(ids), remembered + 2)  # type: ignore[arg-type]
    for one in older:
        IdMemory(ids).remember(*one)  # type: ignore[arg-type]
    stores: list[Store] = []
    accept_alone(tmp_path, world.reader, Recorded(copy(memory), stores), Recorded(copy(ids), stores, 1), new)
    for count in range(len(stores) + 1):
        segments = [copy(memory), copy(ids)]
        for store in stores[:count]:
            apply(segments, store)
        ring, known = RingWriter(segments[0]), IdMemory(segments[1])  # type: ignore[arg-type]
        assert known.contains(*new) or ring.head == puts
        # The next process carries on, with an id of the same bucket.
        if ring.head > puts:
            finish(segments[0], puts)  # type: ignore[arg-type]
        accept_alone(tmp_path, world.reader, segments[0], segments[1], other)  # type: ignore[arg-type]
        assert known.contains(*other)
        assert known.contains(*new) or ring.head == puts + 1
        assert all(known.contains(*one) for one in older[-200:])


def accept_alone(directory: Path, books: BooksReader, ring: Words, ids: Words, one: Id) -> None:
    own = RingWriter(ring)
    acceptor = Acceptor([own], own, books, FileLock(lock_file(directory)), IdMemory(ids))
    assert acceptor.accept(*one, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    acceptor.close()


def test_an_id_that_the_ring_has_forgotten_is_marked_and_one_that_a_purge_has_is_too(
    tmp_path: Path, world: Engine
) -> None:
    memory = used_ring(0, SPREAD)
    words: Words = memory  # type: ignore[assignment]
    own = RingWriter(words)
    acceptor = Acceptor([own], own, world.reader, FileLock(lock_file(tmp_path)), IdMemory(make_ids()))  # type: ignore[arg-type]

    def accept(number: int) -> bool:
        """Whether the payment is marked."""
        assert acceptor.accept(7, number, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
        payment = own.read(own.head - 1)
        assert payment is not None and payment.clock_ms == CLOCK_MS
        finish(words, payment.position)
        return payment.is_seen

    assert not any(accept(number) for number in range(SLOTS + 1))
    assert acceptor.accept(7, SLOTS, 100, NOW_MS, CLOCK_MS) is Verdict.SAME
    assert accept(0)
    words[layout.RING_FORGOTTEN_AT] = own.head
    assert accept(SLOTS)
    assert not accept(SLOTS + 1)
    acceptor.close()


def remember_all(environment: dict[str, str], index: int, barrier: Barrier, ids: list[Id]) -> None:
    """One of several processes whose ids meet in the same few buckets."""
    world = Engine(environment)
    segment = mapping.open_ids(world.settings, world.segments[0])
    assert segment is not None
    own = RingWriter(world.segments[index].words)
    rings = [own if number == index else ring for number, ring in enumerate(world.rings)]
    acceptor = Acceptor(rings, own, world.reader, FileLock(world.books.lock_path), IdMemory(segment.words))
    barrier.wait()
    for one in ids:
        assert acceptor.accept(*one, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED


def test_processes_that_write_the_same_buckets_at_once_lose_none_of_each_others_ids(tmp_path: Path) -> None:
    processes, each = 3, 600
    environment = {"ENGINE_ID_MEMORY": str(LEAST), "ENGINE_RING_SLOTS": "1024", "ENGINE_API_PROCESSES": str(processes)}
    with engine(str(tmp_path), **environment) as world:
        segment = mapping.open_ids(world.settings, world.segments[0])
        assert segment is not None
        memory, chance = IdMemory(segment.words), random.Random(11)
        ids: list[Id] = []
        while len(ids) < processes * each:  # 200 for each of nine buckets
            one = chance.getrandbits(64), chance.getrandbits(64)
            if stripe(mix(*one, *memory.seeds)) < 9:
                ids.append(one)
        context = multiprocessing.get_context("fork")
        barrier = context.Barrier(processes)
        running = [
            context.Process(target=remember_all, args=(world.environment, index, barrier, ids[index::processes]))
            for index in range(processes)
        ]
        for process in running:
            process.start()
        for process in running:
            process.join(30)
            assert process.exitcode == 0
        assert all(memory.contains(*one) for one in ids)
        cursors = range(layout.IDS_HEADER_WORDS, len(segment.words), layout.IDS_BUCKET_WORDS)
        assert sum(segment.words[at] & 0xFFFF for at in cursors) == len(ids)
        segment.close()
