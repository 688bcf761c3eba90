"""What many rounds are made into is what a reader thinks it is."""

from __future__ import annotations

import pytest

from engine.lab.bench import targets
from engine.lab.bench.figures import QUANTILES, Spread, Throttled, per_payment_us, quantiles_ms, rates, ratios, spreads
from engine.lab.bench.figures import spread as spread_of
from tests.lab.bench.rounds import ramp_round, saturation_round


def test_a_spread_is_median_least_and_most() -> None:
    assert spread_of([5, 1, 3]) == Spread(3, 1, 5)
    assert spread_of([4, 2]) == Spread(3, 2, 4)
    with pytest.raises(ValueError, match="no rounds"):
        spread_of([])


def test_only_what_every_round_has_is_spread() -> None:
    assert spreads([{"b": 1, "a": 2, "c": 9}, {"a": 4, "b": 3}]) == {"b": Spread(2, 1, 3), "a": Spread(3, 2, 4)}
    assert spreads([]) == {}


def test_a_ratio_is_that_of_one_round_not_of_two_medians() -> None:
    assert ratios([2, 30, 6], [1, 10, 3]) == Spread(2, 2, 3)
    with pytest.raises(ValueError):
        ratios([1, 2], [1])


def test_quantiles_go_from_the_median_far_into_the_tail() -> None:
    assert QUANTILES[0] == 0.5 and 0.9998 < QUANTILES[-1] < 1 and list(QUANTILES) == sorted(QUANTILES)
    assert quantiles_ms([]) == []
    assert quantiles_ms([1.0] * 10)[0] == 1.0 and quantiles_ms(list(range(101)))[0] == 50


def test_cpu_of_a_payment() -> None:
    assert per_payment_us({"api 0": 2_000_000, "nginx": 500_000}, 10) == {"api 0": 200.0, "nginx": 50.0}
    with pytest.raises(ValueError, match="no payments"):
        per_payment_us({"api 0": 1}, 0)


def test_throttled_in_per_cent_of_the_periods_in_which_it_ran() -> None:
    assert Throttled(200, 3, 1.0).percent == 1.5
    assert Throttled(0, 0, 0.0).percent == 0.0
    assert ramp_round(1.0, throttled=4).throttled_percent_max == 2.0


def test_rates_are_over_whole_windows_so_that_a_short_look_is_no_peak() -> None:
    seen = [(0.0, 0), (0.5, 100), (1.0, 1000), (1.01, 1100), (2.0, 2000)]
    assert rates(seen, 1.0) == pytest.approx([1000.0, 1100 / 1.01, 1000.0])
    assert rates(seen[:2], 1.0) == [] and rates([], 1.0) == []


def test_targets_are_judged_by_medians_and_say_which_way_is_good() -> None:
    floor = [ramp_round(1.0), ramp_round(2.0), ramp_round(1.0)]
    engine = [ramp_round(2.9, cpu_us=219), ramp_round(6.1, cpu_us=300), ramp_round(2.5, cpu_us=100, throttled=9)]
    met = {check.what: check.met for check in targets.of_ramp(floor, engine)}
    assert met == {
        "p99 of accepting": True,
        "p99.9 of accepting": True,
        "CPU for each settled payment": True,
        "periods throttled, worst service": True,
    }
    slow = targets.of_ramp(floor, [ramp_round(9.0, cpu_us=221, throttled=2)] * 3)
    assert [check.met for check in slow] == [False, False, False, True]
    saturated = [saturation_round(20_000, 7_999), saturation_round(30_000, 1), saturation_round(1, 9_000)]
    assert [(check.value, check.met) for check in targets.of_saturation(saturated)] == [(20_000, True), (7_999, False)]
