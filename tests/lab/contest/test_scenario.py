"""Scenarios: what comes with the engine can be used, and a mistake is named with file and key."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest

from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import BEFORE_FIRST_STAGE, Condition, Flaky, ScenarioError, Stage

GOOD = """
title = "T"
[fees]
default = 0.07
fallback = 0.10
[load]
start_vus = 1
amount = 19.90
sleep_s = 1
timeout_s = 1.5
ramps = [{ duration_s = 10, target = 101 }, { duration_s = 5, target = 1 }]
[audit]
every_s = 4
from_s = 15
to_s = 1.5
[[stages]]
at_s = 1
default = { delay_ms = 100, failing = false }
fallback = { delay_ms = 0, failing = true }
[[stages]]
at_s = 2.5
default = { delay_ms = 0, failing = false }
fallback = { delay_ms = 0, failing = false }
"""


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_that_comes_with_the_engine_can_be_used(name: str) -> None:
    scenario = scenarios.load(name)
    assert scenario.name == name
    assert scenario.audit_times_s()


def test_preview_is_the_one_of_the_contest() -> None:
    preview = scenarios.load("preview")
    assert (preview.load.start_vus, preview.load.amount_cents, preview.load.duration_s) == (1, 1990, 60.0)
    assert preview.load.vus_at(60) == 550
    assert (preview.fees.default, preview.fees.fallback) == (Decimal("0.05"), Decimal("0.15"))
    assert [(s.at_s, *dataclasses.astuple(s.default), *dataclasses.astuple(s.fallback)) for s in preview.stages] == [
        (1, 0, False, 0, False),
        (10, 100, False, 0, False),
        (20, 100, True, 0, False),
        (30, 2000, True, 1000, True),
        (40, 20, False, 20, False),
        (50, 0, False, 5000, False),
    ]
    assert preview.audit_times_s() == (10, 20, 30, 40, 50, 60)


def test_short_has_every_kind_of_stage() -> None:
    stages = scenarios.load("short").stages
    kinds = {(stage.default.failing, stage.fallback.failing) for stage in stages}
    assert {(False, False), (True, False), (True, True)} <= kinds
    assert any(stage.default.delay_ms and not stage.default.failing for stage in stages)


def test_users_and_stages_are_known_at_any_time() -> None:
    scenario = scenarios.parse(GOOD, "good", "good.toml")
    assert [scenario.load.vus_at(time_s) for time_s in (-1, 0, 5, 10, 12.5, 15, 15.1)] == [0, 1, 51, 101, 51, 1, 0]
    assert scenario.stage_at(0.9) == BEFORE_FIRST_STAGE
    assert scenario.stage_at(1) == Stage(1.0, Condition(100, False), Condition(0, True))
    assert scenario.stage_at(99).at_s == 2.5
    assert scenario.audit_times_s() == (4, 8, 12)
    assert scenario.stages[0].describe() == "default 100 ms, fallback failing"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("title", "titel", "x.toml: title is missing"),
        ("sleep_s = 1", "sleep_s = 1\nsleeps = 2", "x.toml: load: unknown key sleeps"),
        ("19.90", "19.905", "x.toml: load: amount: must be an amount like 19.90, not 19.905"),
        ("19.90", "nan", "x.toml: load: amount: must be an amount like 19.90, not NaN"),
        ("19.90", '"19.90"', "x.toml: load: amount: must be an amount like 19.90, not '19.90'"),
        ("start_vus = 1", "start_vus = -1", "x.toml: load: start_vus: must be a whole number from 0 to 5000, not -1"),
        ("start_vus = 1", "start_vus = true", "x.toml: load: start_vus: must be a whole number"),
        ("target = 101", "target = 1.5", "x.toml: load: ramps[0]: target: must be a whole number"),
        ("duration_s = 5", "duration_s = 0", "x.toml: load: ramps[1]: duration_s: must be a number from 0.1"),
        ("duration_s = 5", "duration_s = 3599", "x.toml: load: ramps: together longer than 3600 s"),
        ("delay_ms = 100", "delay_ms = 99999", "x.toml: stages[0]: default: delay_ms: must be a whole number"),
        ("failing = true", 'failing = "yes"', "x.toml: stages[0]: fallback: failing: must be true or false, not 'yes'"),
        ("at_s = 2.5", "at_s = 1", "x.toml: stages[1]: at_s must be later than the stage before it"),
        ("at_s = 2.5", "at_s = 15", "x.toml: stages: the last begins after the load has ended"),
        ("from_s = 15", "from_s = 1.5", "x.toml: audit: from_s must be longer ago than to_s"),
        ("default = 0.07", "default = 7", "x.toml: fees: default: must be a number from 0 to 1, not 7"),
        ("default = 0.07", "default = 0.07\nthird = 0.1", "x.toml: fees: a scenario is for default and fallback alone"),
        ("[audit]", "audit = 3\n[audits]", "x.toml: load: unknown key audit"),
        ("[[stages]]", "[stages]", "x.toml: not TOML"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError) as caught:
        scenarios.parse(GOOD.replace(old, new, 1), "x", "x.toml")
    assert str(caught.value).startswith(says)


def test_a_scenario_may_be_any_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert scenarios.load(str(file)).name == "mine"


def test_an_unknown_scenario_is_answered_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no scenario 'nope'; there are .*preview.*short"):
        scenarios.load("nope")
    with pytest.raises(ScenarioError, match=r"missing\.toml: cannot be read"):
        scenarios.load(str(tmp_path / "missing.toml"))


def test_a_stretched_scenario_does_the_same_in_another_time() -> None:
    plan = scenarios.load("preview")
    half = plan.stretched(plan.load.duration_s / 2)
    assert half.load.duration_s == plan.load.duration_s / 2
    assert [stage.at_s * 2 for stage in half.stages] == [stage.at_s for stage in plan.stages]
    assert all(half.load.vus_at(second / 2) == plan.load.vus_at(second) for second in range(60))
    assert half.audit == plan.audit


def test_a_processor_may_fail_at_random() -> None:
    text = GOOD.replace("delay_ms = 100, failing = false", "delay_ms = 100, failing = false, failing_share = 0.4")
    default = scenarios.parse(text, "t", "t.toml").stages[0].default
    assert default == Flaky(100, False, Decimal("0.4"))
    assert default.describe() == "100 ms, fails 40 %"
    with pytest.raises(ScenarioError, match="failing_share: must be a number from 0 to 1"):
        scenarios.parse(text.replace("0.4 }", "1.4 }"), "t", "t.toml")
