"""What a killed dispatcher has left is taken up in passes: what was in flight first, and nothing twice or never."""

from __future__ import annotations

import random

import pytest

from engine.books.reader import Sum
from engine.connectors import answers as outcome
from engine.dispatch import backlog
from engine.dispatch import scan as module
from engine.dispatch.drain import Drain
from engine.memory import layout
from engine.ring.ring import RingReader
from engine.ring.unfinished import unfinished
from tests.dispatch.world import World

NOTHING = Sum(0, 0)


def _filled(settled: int, in_flight: int, waiting: int, *, slots: int, look: int) -> World:
    """Payments 0, 1 and so on, in this order: settled, in flight, and waiting ones."""
    world = World(slots=slots, in_flight_max=max(in_flight, 16), look=look)
    for number in range(settled):
        world.accept(number)
    while world.dispatcher.has_work:
        world.end(world.start(later_ms=20), outcome.CHARGED)
    for number in range(settled, settled + in_flight):
        world.accept(number)
    assert len(world.start(later_ms=20)) == in_flight
    for number in range(settled + in_flight, settled + in_flight + waiting):
        world.accept(number)
    return world


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RingReader, int]]:
    """What the scans look at, one position after the other."""
    looks: list[tuple[RingReader, int]] = []

    def watched(ring: RingReader, positions: range) -> tuple[list[range], list[int]]:
        looks.extend((ring, position) for position in positions)
        return unfinished(ring, positions)

    monkeypatch.setattr(module, "unfinished", watched)
    return looks


@pytest.mark.parametrize("waiting", [0, 900])
def test_a_pass_looks_at_no_more_than_its_limit_and_the_first_finds_what_was_in_flight(
    waiting: int, looked_at: list[tuple[RingReader, int]]
) -> None:
    world = _filled(1000, 10, waiting, slots=2048, look=64)
    looked_at.clear()
    world.restart()
    assert len(looked_at) <= 64
    _, questions = world.start_all()
    assert [question.id_low for question in questions] == list(range(1000, 1010))
    assert len(looked_at) <= 2 * 64


def test_while_old_payments_are_looked_for_new_ones_are_sent_at_once() -> None:
    world = _filled(1000, 0, 0, slots=2048, look=64)
    world.restart()
    world.accept(5000)
    assert [attempt.id_low for attempt in world.start()] == [5000]
    assert not world.dispatcher.work.scan.is_over and world.dispatcher.wake_ms(world.mono_ms) == world.mono_ms


@pytest.mark.parametrize("look", [1, 2, 7, 64])
@pytest.mark.parametrize("taken_max", [0, 3, 256])
def test_each_position_is_looked_at_once_and_all_are_settled_though_it_is_killed_again_and_again(
    look: int, taken_max: int, looked_at: list[tuple[RingReader, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "TAKEN_MAX", taken_max)
    chance = random.Random(look)
    world = World(rings=2, slots=512, in_flight_max=64, look=look)
    accepted = 0
    for _ in range(6):
        for _ in range(chance.randint(20, 60)):
            accepted += 1
            world.accept(accepted, ring=accepted % 2)
        for _ in range(2):
            for attempt in world.start(later_ms=5):
                answer = chance.choice((outcome.CHARGED, outcome.CHARGED, outcome.FAILED, outcome.UNKNOWN, None))
                if answer is not None:
                    world.end([attempt], answer, later_ms=0)
        world.restart()
        for _ in range(chance.randint(0, 3)):  # the scan is not over when it is killed again
            world.start(later_ms=1)
        looked_at.clear()
        world.restart()
    while world.dispatcher.has_work:
        world.end(world.start(later_ms=100), outcome.CHARGED)
    assert len(looked_at) == len(set(looked_at))
    charged = sum(total.payments for total in world.totals()[:2])
    assert (charged, world.totals()[2]) == (accepted, NOTHING)
    assert all(world.payment(number, number % 2).state == layout.COMPLETED for number in range(accepted - 50, accepted))


def test_a_payment_that_was_sent_keeps_its_slot_until_it_is_found_though_the_ring_is_filled_meanwhile() -> None:
    world = _filled(0, 1, 40, slots=64, look=1)
    world.end(world.start(later_ms=20), outcome.CHARGED)
    world.restart()
    number = 100
    while not world.dispatcher.work.scan.is_over:
        if world.writers[0].has_room():
            world.accept(number)
            number += 1
        world.end(world.start(later_ms=20), outcome.CHARGED)
    while world.dispatcher.has_work:
        world.end(world.start(later_ms=100), outcome.CHARGED)
    assert sum(total.payments for total in world.totals()) == 41 + number - 100


def test_a_drain_goes_on_until_everything_was_looked_at_or_its_time_is_over() -> None:
    world = _filled(0, 0, 0, slots=64, look=1)
    for number in range(16):
        world.accept(number)
    world.end([attempt for attempt in world.start() if attempt.id_low], outcome.CHARGED)
    world.restart()
    drain = Drain(5000)
    drain.ask(world.mono_ms)
    asked = []
    while not drain.is_over(world.mono_ms, world.dispatcher.in_flight, world.dispatcher.has_work):
        attempts = world.start(later_ms=1)
        asked += attempts
        world.end(attempts, outcome.CHARGED)
    assert [attempt.id_low for attempt in asked] == [0] and world.dispatcher.work.scan.is_over
    world.restart()
    assert world.dispatcher.has_work
    assert drain.is_over(world.mono_ms + 5000, 0, world.dispatcher.has_work)


def test_a_purge_ends_the_scan_and_nothing_from_before_it_is_sent() -> None:
    world = _filled(0, 8, 40, slots=64, look=1)
    world.restart()
    world.writers[0].words[layout.RING_PURGE_ASKED_AT] += 1
    assert world.dispatcher.purge_if_asked(world.now)
    world.accept(100)
    assert [attempt.id_low for attempt in world.start()] == [100]
    assert world.dispatcher.work.scan.is_over and world.dispatcher.waiting == 0


def test_the_number_of_open_payments_is_right_at_any_time_of_the_scan() -> None:
    world = _filled(100, 5, 17, slots=256, look=4)
    world.restart()
    while not world.dispatcher.work.scan.is_over:
        assert world.dispatcher.open_payments() == 22
        world.dispatcher.work.look_through(world.now)
    assert world.dispatcher.open_payments() == 22
