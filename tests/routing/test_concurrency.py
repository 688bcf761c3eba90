"""How many requests a processor is given at once, against models of processors."""

from __future__ import annotations

import heapq

from engine.routing.concurrency import Concurrency
from engine.routing.policy import LIMIT_START, QUEUED_MANY


def drive(
    control: Concurrency, milliseconds: int, *, delay_ms: int, per_ms: float = 1e9, begin_ms: int = 0
) -> list[int]:
    """A processor that takes ``delay_ms`` and no more than ``per_ms`` a millisecond, always given all that is allowed;
    the limits over time.
    """
    flight: list[tuple[float, int]] = []
    free_ms = float(begin_ms)
    limits = []
    for now_ms in range(begin_ms, begin_ms + milliseconds):
        while flight and flight[0][0] <= now_ms:
            _, begun_ms = heapq.heappop(flight)
            control.answered(now_ms, begun_ms, len(flight) + 1)
        while len(flight) < control.limit:
            free_ms = max(free_ms, now_ms) + 1 / per_ms
            heapq.heappush(flight, (free_ms + delay_ms, now_ms))
        limits.append(control.limit)
    return limits


def test_without_a_queue_it_doubles_up_to_the_bound() -> None:
    limits = drive(Concurrency(16, 800), 200, delay_ms=20)
    assert limits[0] == LIMIT_START
    assert limits[-1] == 800
    assert limits[70] >= 400


def test_a_processor_that_is_the_bottleneck_is_not_given_more_than_keeps_it_busy() -> None:
    control = Concurrency(16, 800)
    limits = drive(control, 5000, delay_ms=20, per_ms=5)  # 100 in flight keep it busy
    settled = limits[3000:]
    assert min(settled) >= 100
    assert max(settled) <= 100 + 5 * 20 + 2 * QUEUED_MANY


def test_a_queue_that_always_stands_is_not_taken_for_the_processor_itself() -> None:
    for delay_ms, per_ms in ((2, 9.0), (20, 5.0)):
        limits = drive(Concurrency(16, 800), 60_000, delay_ms=delay_ms, per_ms=per_ms)
        assert max(limits[30_000:]) <= per_ms * (delay_ms + 20) + 4 * QUEUED_MANY
        assert sum(limit < delay_ms * per_ms for limit in limits[30_000:]) <= 1500  # the moments of the probes


def test_a_processor_that_takes_longer_by_itself_is_not_taken_for_one_with_a_queue() -> None:
    control = Concurrency(16, 800)
    drive(control, 500, delay_ms=10)
    control.changed(500, 1000)
    limits = drive(control, 4000, delay_ms=1000, begin_ms=500)
    assert min(limits[1000:]) >= 800


def test_one_that_recovers_and_takes_longer_than_before_is_not_taken_for_one_with_a_queue() -> None:
    control = Concurrency(16, 800)
    drive(control, 500, delay_ms=1)
    control.recovered()
    limits = drive(control, 500, delay_ms=50, begin_ms=500)
    assert limits[0] == LIMIT_START
    assert limits[-1] == 800


def test_how_many_it_lets_through_follows_from_its_growth() -> None:
    control = Concurrency(16, 800)
    assert control.passes(99, 100) == 0
    assert control.passes(300, 100) == LIMIT_START + 2 * LIMIT_START + 4 * LIMIT_START
    assert control.passes(1000, 100) == LIMIT_START + 2 * LIMIT_START + 4 * LIMIT_START + 8 * LIMIT_START + 6 * 800
    control.rejected(LIMIT_START)
    assert control.passes(1000, 100) == 10 * control.limit < 10 * LIMIT_START


def test_a_rejection_shrinks_it_but_never_below_its_bound() -> None:
    control = Concurrency(16, 800)
    drive(control, 500, delay_ms=10)
    control.rejected(400)
    assert control.limit == 300
    for _ in range(50):
        control.rejected(control.limit)
    assert control.limit == 16


def test_a_limit_that_is_not_used_up_stays() -> None:
    control = Concurrency(16, 800)
    for now_ms in range(0, 1000, 10):
        control.answered(now_ms + 5, now_ms, 3)
    assert control.limit == LIMIT_START
