"""The dispatcher's waker, which waits for sockets and for the doorbell, with a real pipe."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from engine.dispatch.world import EpollWaker, RealClock
from engine.memory import layout
from engine.memory.doorbell import Doorbell, Pipe
from engine.memory.status import StatusBlock
from engine.memory.words import zeros

LONG_MS = 5000
SOON_S = 1.0


class Sockets:
    """In the place of the transport: there are none."""

    def act(self, events: Sequence[tuple[int, int]]) -> None:
        assert not events


class Place:
    """A dispatcher's waker, and the API processes' end of its doorbell."""

    def __init__(self, directory: Path) -> None:
        books = zeros(layout.REDO_AT)
        path = str(directory / "doorbell")
        self.status = StatusBlock(books)
        self.clock = RealClock(books)
        self.pipe, self.theirs_pipe = Pipe(path), Pipe(path)
        self.doorbell, self.theirs = Doorbell(self.pipe, books), Doorbell(self.theirs_pipe, books)
        self.epoll = select.epoll()
        self.waker = EpollWaker(self.epoll, self.doorbell, cast(Any, Sockets()), self.clock)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.doorbell.close()
    made.theirs.close()
    made.epoll.close()


def test_the_bell_is_heard_again_after_its_pipe_was_removed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "doorbell").unlink()
    assert [place.theirs_pipe.renew(), place.pipe.renew()] == [True, True]
    place.waker.hear_doorbell()
    assert [place.theirs_pipe.renew(), place.pipe.renew()] == [False, False]
    test_the_bell_ends_a_sleep(place)


def test_a_bell_whose_directory_is_gone_stays_as_it_is_until_there_is_one(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    pipe = Pipe(str(directory / "doorbell"))
    (directory / "doorbell").unlink()
    directory.rmdir()
    assert not pipe.renew()
    pipe.ring()
    directory.mkdir()
    assert pipe.renew()
    assert (directory / "doorbell").is_fifo()
    pipe.close()


def test_the_bell_ends_a_sleep(place: Place) -> None:
    def fall_asleep() -> bool:
        place.doorbell.fall_asleep()
        place.theirs.ring_if_asleep()
        return True

    begin = time.monotonic()
    place.waker.sleep(0, place.clock.now().mono_ms + LONG_MS, fall_asleep)
    assert time.monotonic() - begin < SOON_S
    assert not place.status.asleep


def test_what_the_last_look_has_found_is_not_slept_over(place: Place) -> None:
    begin = time.monotonic()
    place.waker.sleep(0, place.clock.now().mono_ms + LONG_MS, lambda: False)
    assert time.monotonic() - begin < SOON_S


def test_a_sleep_ends_when_the_next_thing_is_due_and_a_pause_before_it_counts(place: Place) -> None:
    begin_ms = place.clock.now().mono_ms
    place.waker.sleep(20, begin_ms + 60, lambda: True)
    assert place.clock.now().mono_ms >= begin_ms + 60
    begin_ms = place.clock.now().mono_ms
    place.waker.sleep(20, begin_ms, lambda: True)
    assert place.clock.now().mono_ms >= begin_ms + 19  # both moments are rounded


def test_a_late_ring_ends_one_wait_and_not_every_one(place: Place) -> None:
    place.status.asleep = 1
    place.theirs.ring_if_asleep()
    place.status.asleep = 0
    place.waker.listen(LONG_MS)
    begin = time.monotonic()
    place.waker.listen(50)
    assert time.monotonic() - begin >= 0.05


def test_nobody_rings_while_the_dispatcher_is_awake(place: Place) -> None:
    place.theirs.ring_if_asleep()
    assert place.epoll.poll(0) == []
