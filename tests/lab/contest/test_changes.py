"""Processors that fail and recover: what belongs to the run, what is held against the engine, and the medians."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest

from engine.lab.contest import scenario as scenarios
from engine.lab.contest.changes import JudgedRecovery, Medians, during_load, medians
from engine.lab.contest.scenario import BEFORE_FIRST_STAGE
from engine.lab.simulate.changes import Onset

FEES = {"default": Decimal("0.05"), "fallback": Decimal("0.15")}
DEARER_DEFAULT = {"default": Decimal("0.15"), "fallback": Decimal("0.05")}
NOW_S = 60.0


def onset(at_s: float, caught: int = 0, soon: int = 0, later: int = 0) -> dict[str, Any]:
    counts = {"caught": caught, "sent_soon": soon, "sent_later": later}
    return {"kind": "onset", "ago_ms": (NOW_S - at_s) * 1000, **counts}


def recovery(at_s: float, first_ms: float | None) -> dict[str, Any]:
    return {"kind": "recovery", "ago_ms": (NOW_S - at_s) * 1000, "first_ms": first_ms}


def test_changes_of_both_are_in_order_and_none_is_from_before_the_load() -> None:
    default = [onset(-3), recovery(-1, 5.0), onset(10, 1, 2, 3), recovery(20, 250.0)]
    assert during_load({"default": default, "fallback": [onset(15, 4, 5, 6)]}, FEES, NOW_S) == [
        Onset("default", 10.0, 1, 2, 3),
        Onset("fallback", 15.0, 4, 5, 6),
        JudgedRecovery("default", 20.0, 250.0, due=True),
    ]


@pytest.mark.parametrize(
    ("default", "due"),
    [
        ([], False),
        ([onset(10)], True),
        ([onset(-5)], True),
        ([onset(10), recovery(30.999, 1.0)], False),  # the cheaper one is soon healthy, too
        ([onset(10), recovery(31, 1.0)], True),
        ([onset(10), recovery(20, 1.0)], False),
        ([onset(10), recovery(20, 1.0), onset(30), recovery(40, 1.0)], True),
        ([onset(30.1), recovery(40, 1.0)], False),
    ],
)
def test_payments_are_due_at_the_dearer_processor_while_the_cheaper_one_fails(
    default: list[dict[str, Any]], due: bool
) -> None:
    changes = during_load({"default": default, "fallback": [onset(25), recovery(30, None)]}, FEES, NOW_S)
    assert JudgedRecovery("fallback", 30.0, None, due=due) in changes


def test_which_one_is_cheaper_is_known_by_the_fees() -> None:
    listing = [onset(25), recovery(30, None)]
    dues = [
        [
            change.due
            for change in during_load({"default": listing, "fallback": []}, fees, NOW_S)
            if isinstance(change, JudgedRecovery)
        ]
        for fees in (FEES, DEARER_DEFAULT)
    ]
    assert dues == [[True], [False]]


def test_of_three_processors_the_dearest_is_due_while_all_cheaper_ones_fail() -> None:
    fees = {"dear": Decimal("0.2"), "cheap": Decimal("0.1"), "middle": Decimal("0.15")}
    listings = {
        "dear": [onset(1), recovery(20, 1.0), onset(30), recovery(40, 1.0)],
        "cheap": [onset(10)],
        "middle": [onset(5), recovery(35, 1.0)],
    }
    found = {(c.processor, c.at_s): c.due for c in during_load(listings, fees, NOW_S) if isinstance(c, JudgedRecovery)}
    assert found == {("dear", 20.0): True, ("dear", 40.0): False, ("middle", 35.0): True}


def test_medians_leave_out_recoveries_that_were_not_due_and_count_silence_as_the_longest() -> None:
    due = [
        JudgedRecovery("default", at_s, first_ms, due=True) for at_s, first_ms in ((1, 100.0), (2, None), (3, 300.0))
    ]
    idle = [JudgedRecovery("fallback", 4, None, due=False), JudgedRecovery("fallback", 5, 9_000.0, due=False)]
    onsets = [Onset("default", 6, 1, 2, 0), Onset("default", 7, 10, 4, 1), Onset("fallback", 8, 0, 0, 2)]
    assert medians([*due, *idle, *onsets]) == Medians(300.0, 3, 2, 3.0, 1.0, 2.0, 1.0, 3)


def test_where_most_recoveries_brought_no_payment_there_is_no_median() -> None:
    silent = [JudgedRecovery("default", at_s, None, due=True) for at_s in (1, 2)]
    assert medians([*silent, JudgedRecovery("default", 3, 10.0, due=True)]).first_ms is None
    assert medians([]) == Medians(None, 0, 0, None, None, None, None, 0)


def test_the_scenario_of_changes_has_enough_of_each_kind() -> None:
    scenario = scenarios.load("changes")
    stages = (BEFORE_FIRST_STAGE, *scenario.stages)
    pairs = list(itertools.pairwise(stages))
    default = [after.default for before, after in pairs if before.default.failing != after.default.failing]
    assert sum(condition.failing for condition in default) >= 5
    assert sum(not condition.failing for condition in default) >= 5
    slow = [condition for condition in default if condition.delay_ms >= 1000]
    assert 1 <= len(slow) <= 2
    assert all(condition.failing for condition in slow)
    apart = [
        after
        for before, after in pairs
        if before.default.failing and before.fallback.failing and after.default.failing != after.fallback.failing
    ]
    assert len(apart) >= 2, "both fail, and one recovers before the other"
    assert {after.default.failing for after in apart} == {True, False}
