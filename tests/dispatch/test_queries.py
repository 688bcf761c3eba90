"""When the dispatcher asks for health and fees: its loop, with a clock and a network of the test's own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import settings as settings_module
from engine.connectors.answers import Fee, Health, Query, Silence
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.loop import Loop, Ports, loop_over
from engine.memory.doorbell import Doorbell
from engine.memory.status import StatusBlock
from engine.processors import DEFAULT, FALLBACK
from engine.routing.fees import ASSUMED_PPM
from engine.routing.queries import ANSWER_MS_MAX, FEE_FIRST_MS
from engine.storage import mapping
from tests.dispatch.ports import NoBell, NoDurability, NoWaker, SetClock

START_MS = 1_000_000
STEP_MS = 10
WINDOW_MS = 5_000  # a processor answers one query for its health in this time, measured where they arrive
Word = Health | Fee | Silence
_NUMBERS = itertools.count()


class Network:
    """In place of the transport: query ``n`` to a processor is on its way for ``ways_ms[n]``, and back at once;
    the last of them holds for those after it. None: it gets lost after it has arrived, and is given up.
    """

    def __init__(self, ways_ms: Sequence[int | None], fee_ppm: int | None = None) -> None:
        self.now_ms = 0
        self.asked: list[tuple[int, int]] = []  # (when, processor)
        self.arrived_ms: list[int] = []  # queries for its health, at default
        self.fees_asked: list[tuple[int, int]] = []
        self._ways_ms = ways_ms
        self._fee_ppm = fee_ppm
        self._words: list[tuple[int, Word]] = []

    def ask_health(self, processor: int) -> None:
        number = sum(other == processor for _, other in self.asked)
        way_ms = self._ways_ms[min(number, len(self._ways_ms) - 1)]
        self.asked.append((self.now_ms, processor))
        if way_ms is None:
            way_ms, heard_ms = ANSWER_MS_MAX - 1, self.now_ms + ANSWER_MS_MAX
            word: Word = Silence(processor, Query.HEALTH)
        else:
            heard_ms, word = self.now_ms + way_ms, Health(processor, True, 100)
        if processor == DEFAULT:
            self.arrived_ms.append(self.now_ms + way_ms)
        self._words.append((heard_ms, word))

    def ask_fee(self, processor: int) -> None:
        self.fees_asked.append((self.now_ms, processor))
        word = Silence(processor, Query.FEE) if self._fee_ppm is None else Fee(processor, self._fee_ppm)
        self._words.append((self.now_ms, word))

    def results(self) -> tuple[list[Any], list[Word]]:
        due = [word for heard_ms, word in self._words if heard_ms <= self.now_ms]
        self._words = [(heard_ms, word) for heard_ms, word in self._words if heard_ms > self.now_ms]
        return [], due

    def kick(self) -> None:
        pass

    def wait_ms(self) -> float | None:
        return None

    def send(self, attempt: Attempt) -> None:
        raise AssertionError("there are no payments")

    def drop(self, attempt: Attempt) -> None:
        raise AssertionError("there are no payments")

    def abandon(self) -> None:
        pass


class Running:
    """Dispatchers, one after the other, on the same memory."""

    def __init__(self, settings: settings_module.Settings) -> None:
        self._settings = settings
        self._loop: Loop | None = None
        self.now_ms = START_MS
        self.network = Network([0])

    def start(self, network: Network) -> Loop:
        """A dispatcher takes up what the last one has left, however that one ended."""
        books, rings = mapping.open_books(self._settings).words, mapping.open_rings(self._settings)
        ports = Ports(SetClock(self._now), network, NoDurability(), NoWaker(), Doorbell(NoBell(), books))
        self._loop = loop = loop_over(self._settings, books, [ring.words for ring in rings], ports)
        self.network, self.shown = network, StatusBlock(books).processor(DEFAULT)
        loop.begin(self._now)
        return loop

    def run(self, seconds: float) -> None:
        """The dispatcher looks every ``STEP_MS``, for so long."""
        assert self._loop
        for _ in range(round(seconds * 1000) // STEP_MS):
            self.network.now_ms = self.now_ms
            self._loop.step(self._now)
            self.now_ms += STEP_MS

    @property
    def _now(self) -> Now:
        return Now(self.now_ms, 1_784_203_200_000 + self.now_ms)


@contextlib.contextmanager
def _running(directory: Path, **environment: str) -> Iterator[Running]:
    settings = settings_module.read(
        {
            "ENGINE_NAME": f"test-queries-{next(_NUMBERS)}-{id(directory)}",
            "ENGINE_RUN_DIR": str(directory),
            "ENGINE_RING_SLOTS": "64",
            "ENGINE_API_PROCESSES": "1",
            **environment,
        }
    )
    try:
        yield Running(settings)
    finally:
        mapping.remove_all(settings)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with _running(tmp_path) as made:
        yield made


def closest_ms(moments_ms: list[int]) -> int:
    return min(after - before for before, after in itertools.pairwise(moments_ms))


@pytest.mark.parametrize("first_ms", [0, 60, 1500, 3900, None])
def test_queries_arrive_no_closer_than_a_processor_allows_though_the_first_was_long_on_its_way(
    first_ms: int | None, running: Running
) -> None:
    network = Network([first_ms, 0])
    running.start(network)
    running.run(40)
    assert len(network.arrived_ms) >= 5
    assert closest_ms(network.arrived_ms) >= WINDOW_MS


def test_there_is_one_query_at_a_time(running: Running) -> None:
    network = Network([None])
    running.start(network)
    running.run(40)
    asked_ms = [at_ms for at_ms, processor in network.asked if processor == DEFAULT]
    assert closest_ms(asked_ms) >= ANSWER_MS_MAX + WINDOW_MS


@pytest.mark.parametrize(("first_ms", "lives_s"), [(0, 1.0), (0, 0.02), (300, 0.1), (3900, 1.0), (None, 3.5)])
def test_a_dispatcher_keeps_the_distance_from_the_last_ones_query(
    first_ms: int | None, lives_s: float, running: Running
) -> None:
    first, second = Network([first_ms]), Network([0])
    running.start(first)
    running.run(lives_s)  # and is killed, perhaps before the answer comes
    running.start(second)
    running.run(20)
    assert len(second.arrived_ms) >= 2
    assert closest_ms(first.arrived_ms + second.arrived_ms) >= WINDOW_MS


def test_a_status_block_with_a_moment_far_away_keeps_nobody_from_asking_for_long(running: Running) -> None:
    running.start(Network([0]))
    running.shown.health_from_ms = (1 << 64) - 1
    network = Network([0])
    running.start(network)
    running.run(12)
    assert network.arrived_ms


def test_the_status_block_has_when_a_processor_said_its_last_word(running: Running) -> None:
    running.start(Network([None, 0]))
    running.run(5)
    assert running.shown.health_ms == 0
    running.run(6)
    assert (running.shown.failing, running.shown.min_response_ms) == (1, 100)
    assert START_MS + 9000 < running.shown.health_ms < START_MS + 9200


def test_nobody_is_asked_for_a_fee_by_default(running: Running) -> None:
    network = Network([0], fee_ppm=20_000)
    loop = running.start(network)
    running.run(30)
    assert network.fees_asked == []
    assert tuple(observed.fee_ppm for observed in loop.router.observed) == ASSUMED_PPM


def test_who_may_ask_asks_until_it_is_told(tmp_path: Path) -> None:
    with _running(tmp_path, ENGINE_FEE_QUERY="1") as running:
        network = Network([0], fee_ppm=20_000)
        loop = running.start(network)
        running.run(30)
        assert sorted(processor for _, processor in network.fees_asked) == [DEFAULT, FALLBACK]
        assert [observed.fee_ppm for observed in loop.router.observed] == [20_000, 20_000]


def test_one_that_does_not_tell_is_asked_ever_more_rarely(tmp_path: Path) -> None:
    with _running(tmp_path, ENGINE_FEE_QUERY="1", ENGINE_FEE_FALLBACK_PPM="90000") as running:
        network = Network([0])
        running.start(network)
        running.run(FEE_FIRST_MS * 40 / 1000)
        assert {processor for _, processor in network.fees_asked} == {DEFAULT}  # the other one's is set
        waits_ms = [after - before for (before, _), (after, _) in itertools.pairwise(network.fees_asked)]
        assert [round(wait_ms / FEE_FIRST_MS) for wait_ms in waits_ms] == [1, 2, 4, 8, 16]
