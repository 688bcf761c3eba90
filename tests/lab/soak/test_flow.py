"""The payer never hands in more than the rings can hold, and yet keeps the engine busy."""

from __future__ import annotations

import random

import pytest

from engine.lab.soak.flow import CATCH_UP_S, HORIZON_S, Pace, rate_per_s

BACKLOG_MAX = 10_000
STEP_S = 0.2


@pytest.mark.parametrize("seed", range(20))
def test_the_backlog_never_reaches_its_bound_whatever_is_settled(seed: int) -> None:
    chance = random.Random(seed)
    pending = 0.0
    for _ in range(500):
        settled_per_s = chance.choice((0, 0, 100, 7000, 50_000))
        step_s = chance.uniform(0.01, HORIZON_S)
        paid = rate_per_s(int(pending), BACKLOG_MAX, 1e9) * step_s
        pending = max(pending + paid - settled_per_s * step_s, 0.0)
        assert pending <= BACKLOG_MAX + 1


@pytest.mark.parametrize("settled_per_s", [100, 1000, 4000])
def test_the_rate_comes_to_rest_at_what_is_settled(settled_per_s: int) -> None:
    pending = 0.0
    for _ in range(200):
        rate = rate_per_s(int(pending), BACKLOG_MAX, 1e9)
        pending = max(pending + (rate - settled_per_s) * STEP_S, 0.0)
    assert rate == pytest.approx(settled_per_s, rel=0.05)
    assert pending > 0


def test_it_is_never_faster_than_asked() -> None:
    assert rate_per_s(0, BACKLOG_MAX, 70.0) == 70.0
    assert rate_per_s(BACKLOG_MAX + 1, BACKLOG_MAX, 70.0) == 0.0


def test_as_many_payments_are_begun_as_the_rate_says() -> None:
    pace = Pace(0.0)
    pace.set(500.0, 0.0)
    begun = sum(pace.take(100, number / 1000) for number in range(10_001))
    assert begun == pytest.approx(5000, abs=2)


def test_what_was_missed_does_not_come_as_a_wave() -> None:
    pace = Pace(0.0)
    pace.set(10_000.0, 0.0)
    assert pace.take(10**6, 60.0) == 10_000 * CATCH_UP_S


def test_it_knows_when_the_next_payment_is_due() -> None:
    pace = Pace(0.0)
    assert pace.wait_s() == float("inf")
    pace.set(10.0, 0.0)
    assert pace.take(1, 0.05) == 0
    assert pace.wait_s() == pytest.approx(0.05)
    assert pace.take(1, 0.1001) == 1
