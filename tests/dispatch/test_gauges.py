"""The dispatcher shows what waits, and what is unknown: how many cents, and since when."""

from __future__ import annotations

from engine.connectors import answers as outcome
from engine.dispatch.gauges import Gauges
from engine.memory import metrics_layout as layout
from engine.memory.words import zeros
from tests.dispatch.world import World


class Shown:
    """The words that the dispatcher of a world shows now."""

    def __init__(self, world: World) -> None:
        self._words = zeros(layout.METRICS_WORDS)
        Gauges(self._words, world.dispatcher.work).show(world.now)

    def __getitem__(self, at: int) -> int:
        return self._words[layout.DISPATCHER_AT + at]

    def of(self, processor: int, at: int) -> int:
        return self[layout.DISPATCHER_SHOWN + processor * layout.SHOWN_WORDS + at]


def test_the_backlog_is_shown_with_the_moment_at_which_its_oldest_came() -> None:
    world = World(in_flight_max=1)
    assert (Shown(world)[layout.DISPATCHER_WAITING], Shown(world)[layout.DISPATCHER_OLDEST_MS]) == (0, 0)
    for number in range(1, 4):
        world.mono_ms += 10
        world.accept(number)
    shown = Shown(world)
    assert (shown[layout.DISPATCHER_WAITING], shown[layout.DISPATCHER_OLDEST_MS]) == (3, 1010)


def test_unknown_payments_are_shown_in_cents_and_age_at_their_processor_until_they_are_over() -> None:
    world = World()
    world.accept(1, 1990)
    world.mono_ms += 100
    world.accept(2, 10)
    attempts = world.start()
    processor = attempts[0].processor
    world.end(attempts, outcome.UNKNOWN)
    shown = Shown(world)
    assert shown.of(processor, layout.SHOWN_UNKNOWN_CENTS) == 2000
    assert shown.of(processor, layout.SHOWN_UNKNOWN_OLDEST_MS) == 1000
    again = world.start(5000)
    assert len(again) == 2
    world.end([attempt for attempt in again if attempt.cents == 1990], outcome.CHARGED)
    shown = Shown(world)
    assert shown.of(processor, layout.SHOWN_UNKNOWN_CENTS) == 10
    assert shown.of(processor, layout.SHOWN_UNKNOWN_OLDEST_MS) == 1100
    world.end([attempt for attempt in again if attempt.cents == 10], outcome.CHARGED)
    shown = Shown(world)
    assert shown.of(processor, layout.SHOWN_UNKNOWN_CENTS) == shown.of(processor, layout.SHOWN_UNKNOWN_OLDEST_MS) == 0


def test_what_an_earlier_dispatcher_had_sent_is_unknown_with_its_cents() -> None:
    world = World()
    world.accept(1, 700)
    processor = world.start()[0].processor
    world.restart()
    assert Shown(world).of(processor, layout.SHOWN_UNKNOWN_CENTS) == 700


def test_capacity_is_what_is_in_flight_and_what_more_may_be() -> None:
    world = World(in_flight_max=4)
    for number in range(1, 4):
        world.accept(number)
    processor = world.start()[0].processor
    assert Shown(world).of(processor, layout.SHOWN_CAPACITY) == 4
