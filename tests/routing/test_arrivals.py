"""Whether payments still come is learnt from the pauses between them."""

from __future__ import annotations

import pytest

from engine.routing.arrivals import Arrivals
from engine.routing.policy import STOPPED_LONG_MS, STOPPED_MISSING, STOPPED_MS, STOPPED_PAUSES, STOPPED_WINDOW_MS

T = 1_000_000  # a moment


def coming(pause_ms: int, for_ms: int = 3 * STOPPED_WINDOW_MS) -> tuple[Arrivals, int]:
    """What is learnt from one payment each ``pause_ms``, and when the last one came."""
    arrivals = Arrivals()
    times = range(T, T + for_ms, pause_ms)
    for count, now_ms in enumerate(times, 1):
        arrivals.counted(now_ms, count)
    return arrivals, times[-1]


@pytest.mark.parametrize("pause_ms", [1, 400, 1000])
def test_they_have_stopped_when_the_pause_is_much_longer_than_any_before(pause_ms: int) -> None:
    arrivals, last_ms = coming(pause_ms)
    enough_ms = round(max(STOPPED_MS, STOPPED_PAUSES * pause_ms))
    arrivals.counted(last_ms + enough_ms, 0)  # nothing new: some are not known any more
    assert not arrivals.have_stopped(last_ms + enough_ms)
    assert arrivals.have_stopped(last_ms + enough_ms + 1)


@pytest.mark.parametrize(("pause_ms", "enough_ms"), [(2, STOPPED_MS), (4, 4 * STOPPED_MISSING), (50, STOPPED_LONG_MS)])
def test_fewer_than_before_are_not_taken_for_none(pause_ms: int, enough_ms: int) -> None:
    arrivals, last_ms = coming(pause_ms)
    assert not arrivals.have_stopped(last_ms + enough_ms)
    assert arrivals.have_stopped(last_ms + enough_ms + 1)


def test_before_a_window_was_seen_nobody_can_say() -> None:
    arrivals, last_ms = coming(pause_ms=20, for_ms=STOPPED_WINDOW_MS)
    assert not arrivals.have_stopped(last_ms + 60_000)
    assert not Arrivals().have_stopped(T)


def test_a_pause_that_ended_is_remembered_for_a_window() -> None:
    arrivals, last_ms = coming(pause_ms=10)
    arrivals.counted(last_ms + 900, 100_000)
    assert not arrivals.have_stopped(last_ms + 900 + round(STOPPED_PAUSES * 900))


def test_it_is_known_for_how_long_they_have_been_coming_until_all_is_forgotten() -> None:
    arrivals, last_ms = coming(pause_ms=10)
    assert arrivals.since_ms(last_ms) == last_ms - T
    arrivals.counted(last_ms, 0)
    assert arrivals.since_ms(last_ms + 1000) == 0
    arrivals.counted(last_ms + 2000, 1)
    assert arrivals.since_ms(last_ms + 2500) == 500
