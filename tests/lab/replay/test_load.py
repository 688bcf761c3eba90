"""The load is that of k6: as many payments, at those times, as in real contests."""

from __future__ import annotations

from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import Load, Ramp
from engine.lab.replay.load import ACCEPTED_US, ITERATION_US, arrivals


def test_the_preview_has_as_many_payments_and_ends_when_real_ones_do() -> None:
    load = arrivals(scenarios.load("preview").load)
    assert 16_724 <= len(load.accepted_us) <= 16_745  # seen with k6 on the development machine
    assert abs(load.end_us - 61_020_000) < 20_000


def test_the_short_contest_has_as_many_payments_as_real_ones() -> None:
    assert 1_543 <= len(arrivals(scenarios.load("short").load).accepted_us) <= 1_549  # seen: 1,545 and 1,546


def test_payments_are_in_order_and_none_begins_after_the_load() -> None:
    for name in scenarios.names():
        plan = scenarios.load(name).load
        load = arrivals(plan)
        assert load.accepted_us == sorted(load.accepted_us)
        assert load.accepted_us[-1] - ACCEPTED_US < plan.duration_s * 1_000_000 < load.end_us


def test_a_user_pays_sleeps_and_pays_again() -> None:
    load = arrivals(Load(1, 1990, 0.5, 1.5, (Ramp(2.0, 1),)))
    period_us = 500_000 + ITERATION_US
    assert load.accepted_us == [ACCEPTED_US + number * period_us for number in range(4)]


def test_users_stop_when_the_ramp_goes_down_and_go_on_when_it_comes_back() -> None:
    plan = Load(10, 1990, 0.1, 1.5, (Ramp(5.0, 0), Ramp(5.0, 10)))
    seconds = [0] * 10
    for accepted_us in arrivals(plan).accepted_us:
        seconds[accepted_us // 1_000_000] += 1
    assert seconds[:5] == sorted(seconds[:5], reverse=True)
    assert seconds[5:] == sorted(seconds[5:])
    assert seconds[4] < 20 < 80 < seconds[0]


def test_a_user_that_comes_back_ends_its_sleep_first() -> None:
    plan = Load(1, 1990, 3.0, 1.5, (Ramp(0.1, 0), Ramp(0.1, 1), Ramp(5.0, 1)))
    assert arrivals(plan).accepted_us == [ACCEPTED_US, ACCEPTED_US + 3_000_000 + ITERATION_US]
