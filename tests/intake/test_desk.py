"""What the desk promises: a correlationId is accepted once, wherever it comes in."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from engine.books import aside
from engine.intake.desk import Desk, Usage, Verdict
from engine.memory import layout, locks, mapping
from engine.ring.ring import RingReader, RingWriter
from tests.intake.engine import Engine, engine

NOW_MS = 1_784_203_200_000  # by the wall clock; CLOCK_MS: by the engine's
CLOCK_MS = 5000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Engine]:
    with engine(str(tmp_path)) as made:
        yield made


def make_desk(world: Engine, index: int) -> Desk:
    own = RingWriter(world.segments[index].words)
    rings = [own if number == index else ring for number, ring in enumerate(world.rings)]
    return Desk(rings, own, world.reader, world.books.lock_path)


def test_a_payment_is_accepted_and_found(world: Engine) -> None:
    desk = make_desk(world, 0)
    assert desk.accept(1, 2, 1990, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    found = desk.find(1, 2)
    assert found is not None
    assert (found.cents, found.accepted_ms, found.state) == (1990, NOW_MS, layout.QUEUED)
    assert desk.find(2, 1) is None
    desk.close()


def test_the_same_payment_again_changes_nothing_and_another_amount_is_a_conflict(world: Engine) -> None:
    desk = make_desk(world, 0)
    desk.accept(1, 2, 1990, NOW_MS, CLOCK_MS)
    assert desk.accept(1, 2, 1990, NOW_MS + 1, CLOCK_MS) is Verdict.SAME
    assert desk.accept(1, 2, 1991, NOW_MS + 1, CLOCK_MS) is Verdict.CONFLICT
    assert world.rings[0].head == 1
    desk.close()


def test_an_id_in_another_processs_ring_is_known(world: Engine) -> None:
    first, second = make_desk(world, 0), make_desk(world, 1)
    first.accept(1, 2, 1990, NOW_MS, CLOCK_MS)
    assert second.accept(1, 2, 1990, NOW_MS, CLOCK_MS) is Verdict.SAME
    assert second.accept(1, 2, 1, NOW_MS, CLOCK_MS) is Verdict.CONFLICT
    assert second.find(1, 2) == first.find(1, 2)
    assert world.rings[1].head == 0
    first.close()
    second.close()


def test_a_full_ring_refuses_what_is_new_and_still_knows_what_is_old(world: Engine) -> None:
    desk = make_desk(world, 0)
    for number in range(64):
        assert desk.accept(0, number, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    assert desk.usage()[0] == Usage(accepted=64, refused=0, full=True)
    assert desk.accept(0, 64, 100, NOW_MS, CLOCK_MS) is Verdict.FULL
    assert desk.accept(0, 0, 100, NOW_MS, CLOCK_MS) is Verdict.SAME
    assert desk.usage() == [Usage(64, 1, True), Usage(0, 0, False)]
    world.settle(0, 0)
    assert desk.accept(0, 64, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    desk.close()


def put_aside(world: Engine, position: int) -> None:
    """What the dispatcher does with a payment of ring 0 whose processor does not answer."""
    reader = world.rings[0]
    at = reader.offset(position) + layout.SLOT_PROGRESS
    reader.words[at] = layout.pack_progress(position, layout.PROCESSING, layout.FALLBACK, 3)
    payment = reader.read(position)
    assert payment is not None
    world.writer.begin(NOW_MS)
    aside.put(world.writer, mapping.books_shape(world.settings), payment)
    world.writer.put(1, at, layout.pack_progress(position, layout.ASIDE, layout.FALLBACK, 3))
    world.writer.commit()


def test_a_payment_put_aside_is_known_before_and_after_its_slot_is_given_away(world: Engine) -> None:
    desk = make_desk(world, 1)
    filler = make_desk(world, 0)
    filler.accept(7, 7, 1990, NOW_MS, CLOCK_MS)
    put_aside(world, 0)
    for _ in range(2):
        found = desk.find(7, 7)
        assert found is not None
        assert (found.state, found.processor, found.attempts, found.cents) == (layout.PROCESSING, 1, 3, 1990)
        assert desk.accept(7, 7, 1990, NOW_MS, CLOCK_MS) is Verdict.SAME
        assert desk.accept(7, 7, 5, NOW_MS, CLOCK_MS) is Verdict.CONFLICT
        for number in range(64):
            filler.accept(0, number, 1, NOW_MS, CLOCK_MS)
    assert world.rings[0].find(7, 7) is None
    desk.close()
    filler.close()


def hand_in_all(environment: dict[str, str], index: int, barrier: Barrier, count: int) -> None:
    """One of two processes that accept the same ids at the same time."""
    world = Engine(environment)
    desk = make_desk(world, index)
    barrier.wait()
    for number in range(count):
        assert desk.accept(0, number, 100, NOW_MS, CLOCK_MS) in (Verdict.ACCEPTED, Verdict.SAME)


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
    elsewhere = Engine(world.environment | {"ENGINE_RUN_DIR": str(tmp_path / "elsewhere")})
    first, second = make_desk(world, 0), make_desk(elsewhere, 1)
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
        def put(self, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int) -> bool:
            os._exit(9)

    def die() -> None:
        own = DyingRing(world.segments[0].words)
        rings: list[RingReader] = [own, world.rings[1]]
        Desk(rings, own, world.reader, world.books.lock_path).accept(1, 2, 100, NOW_MS, CLOCK_MS)

    process = context.Process(target=die)
    process.start()
    process.join(10)
    assert process.exitcode == 9
    desk = make_desk(world, 1)
    assert desk.accept(1, 2, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    desk.close()
