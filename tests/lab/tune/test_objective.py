"""What is better is better for the right reason: no figure makes up for payments that suffered."""

from __future__ import annotations

from typing import Any

import pytest

from engine.lab.contest import report, scenario
from engine.lab.contest.recording import Recording
from engine.lab.tune.objective import (
    BROKEN,
    KEPT,
    LOST,
    MEASURES,
    NOTHING,
    OBJECTIVES,
    Run,
    measures,
    rank,
    spread,
    tier,
)
from tests.lab.contest.test_report import run as recorded
from tests.lab.tune.plans import brought

P99, SCORE = OBJECTIVES["p99"], OBJECTIVES["score"]
CPU_NS = {"api": 8_000_000, "dispatcher": 10_000_000, "nginx": 4_000_000, "supervisor": 1_000_000}


def test_measures_are_taken_from_a_contest() -> None:
    recording = recorded(refused=3, timed_out=2)
    found = measures(report.result(recording), CPU_NS)
    assert found["accepted"] == found["settled"] == 100
    assert (found["requested"], found["lost"], found["lag"]) == (105, 5, 0)
    assert found["p50_ms"] == found["p99_ms"] == found["p999_ms"] == 1.0
    assert (found["cpu_us"], found["cpu_us_api"], found["cpu_us_dispatcher"]) == (230, 80, 100)
    assert found["score"] > found["net"] > 0
    assert set(found) <= set(MEASURES)


def test_what_was_not_seen_is_not_there() -> None:
    nothing = Recording(scenario.load("short"), scenario.load("short").fees.by_name)
    found = measures(report.result(nothing), CPU_NS)
    assert not {"p99_ms", "cpu_us", "memory_mb", "settled"} & set(found)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_one_of_the_measures(name: str) -> None:
    assert OBJECTIVES[name].measure in MEASURES


def test_the_spread_is_of_the_runs_that_have_a_value() -> None:
    seen = spread([brought(3), brought(1), Run({}, "did not start"), brought(2)], "p99_ms")
    assert seen is not None
    assert (seen.median, seen.low, seen.high) == (2, 1, 3)
    assert spread([Run({}, "did not start")], "p99_ms") is None


def test_lower_is_better_for_times_and_higher_for_money() -> None:
    times = {0: [brought(3)], 1: [brought(1)], 2: [brought(2)]}
    assert rank(P99, times) == [1, 2, 0]
    money = {point: [brought(1, score=value)] for point, value in enumerate((10.0, 30.0, 20.0))}
    assert rank(SCORE, money) == [1, 2, 0]
    assert rank(P99, {0: [brought(1)], 1: [brought(1)]}) == [0, 1], "equals stay in order"


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([brought(1), brought(1)], KEPT),
        ([brought(1), brought(1, broken="charged twice")], BROKEN),
        ([brought(1, lost=1), brought(1, lost=1)], KEPT),
        ([brought(1, lost=500), brought(1), brought(1)], KEPT),
        ([brought(1, lost=500), brought(1, lost=2), brought(1)], LOST),
        ([Run({}, "did not start"), brought(1)], BROKEN),
        ([Run({}, "did not start")], NOTHING),
    ],
)
def test_a_point_is_taken_as_seriously_as_its_runs_allow(runs: list[Run], expected: int) -> None:
    assert tier(P99, runs) == expected


def test_refused_payments_are_in_the_score_already() -> None:
    assert tier(SCORE, [brought(1, lost=500, score=5.0)]) == KEPT


def test_no_figure_makes_up_for_payments_that_suffered() -> None:
    runs: dict[int, list[Run]] = {
        0: [Run({}, "did not start")],
        1: [brought(0.1, broken="charged twice")],
        2: [brought(0.2, lost=500)],
        3: [brought(99)],
    }
    assert rank(P99, runs) == [3, 2, 1, 0]


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (1.23456, "1.235"), (12345.6, "12,346"), (0.0, "0")])
def test_values_are_told_with_the_digits_that_mean_something(value: Any, text: str) -> None:
    assert P99.text(value) == text
