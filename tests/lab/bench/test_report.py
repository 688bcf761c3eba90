"""The result has every figure with its spread, tells what went wrong, and can be shown and drawn."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.lab.bench import picture, report, saturation, split
from engine.lab.bench.run import Findings, Wishes, order, planned_s
from engine.lab.machine.limits import of_compose_file
from tests.lab.bench.rounds import ramp_round, saturation_round

LIMITS = of_compose_file()
WISHES = Wishes(rounds=2, ramp_s=30, saturation_s=2, connections=64, limits=LIMITS)


def findings(*problems: str) -> Findings:
    found = Findings()
    found.ramp = {
        "floor": [ramp_round(1.0, cpu_us=40), ramp_round(2.0, cpu_us=50)],
        "engine": [ramp_round(2.5, cpu_us=200), ramp_round(3.0, *problems, cpu_us=300)],
    }
    found.saturation = {
        "floor": [saturation_round(90_000, 1.0)] * 2,
        "engine": [saturation_round(21_000, 8_100), saturation_round(23_000, 8_300)],
    }
    return found


def outcome(*problems: str, why_not: str = "") -> dict[str, Any]:
    return report.result(findings(*problems), WISHES, report.LimitsNote(why_not, LIMITS), {"cores": 2})


def shown(content: dict[str, Any], *, with_targets: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120)
    report.print_tables(content, console, with_targets=with_targets)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_figures_are_medians_with_least_and_most_and_ratios_to_the_floor_of_the_same_round() -> None:
    load = outcome()["contest_load"]
    assert load["engine"]["latency_ms"]["p99"] == {"median": 2.75, "low": 2.5, "high": 3.0}
    assert load["to_floor"]["p99"] == {"median": 2.0, "low": 1.5, "high": 2.5}
    assert load["engine"]["cpu_us"]["dispatcher"] == {"median": 187.5, "low": 150.0, "high": 225.0}
    assert load["engine"]["cpu_us_all"] == {"median": 250.0, "low": 200.0, "high": 300.0}
    saturated = outcome()["saturation"]
    assert saturated["engine"]["accepted_per_s"]["median"] == 22_000
    assert saturated["engine"]["drain_per_s"] == {"median": 8200.0, "low": 8100.0, "high": 8300.0}
    assert int(saturated["variables"]["ENGINE_RING_SLOTS"]) >= 65_536


def test_it_is_json_and_keeps_every_round() -> None:
    content = json.loads(json.dumps(outcome()))
    assert [each["first"] for each in content["contest_load"]["rounds"]] == ["floor", "engine"]
    assert all(each["engine"]["accepted"] == 1000 for each in content["contest_load"]["rounds"])
    assert len(content["contest_load"]["one_in"]) == len(content["contest_load"]["rounds"][0]["floor"]["quantiles_ms"])


def test_a_round_that_went_wrong_fails_the_bench_and_is_named() -> None:
    content = outcome("3 payments are pending")
    assert outcome()["passed"] and not content["passed"]
    assert content["problems"] == ["contest load, round 2, engine: 3 payments are pending"]
    assert "FAILED: contest load, round 2, engine: 3 payments are pending" in shown(content)


def test_targets_are_printed_when_they_are_asked_for_and_do_not_fail_it() -> None:
    content = outcome()
    text = shown(content, with_targets=True)
    assert "met    accepted at saturation: 22,000 /s, at least 20,000 wanted" in text
    assert "MISSED CPU for each settled payment: 250 us, at most 220 wanted" in text
    assert content["passed"] and "MISSED" not in shown(content)


def test_the_report_says_whether_limits_were_applied() -> None:
    assert "limits of docker-compose.yml applied" in shown(outcome())
    assert "no limits were applied: not root" in shown(outcome(why_not="not root"))


def test_a_machine_that_was_used_by_others_is_said_so() -> None:
    found = findings()
    assert "other things to do" not in shown(outcome())
    found.ramp["floor"][0] = replace(found.ramp["floor"][0], others_cores=0.5)
    assert "other things to do" in shown(report.result(found, WISHES, report.LimitsNote("", LIMITS), {}))


def test_one_part_alone_is_a_result_too() -> None:
    found, saturated_only = findings(), Wishes(2, 0, 2, 64, None)
    found.ramp = {"floor": [], "engine": []}
    assert found.has_all(saturated_only) and not found.has_all(WISHES) and findings().has_all(WISHES)
    content = report.result(found, saturated_only, report.LimitsNote("", LIMITS), {})
    assert content["contest_load"] is None and len(content["checks"]) == 2
    assert "Saturation" in shown(content) and "Contest load" not in shown(content)
    assert planned_s(saturated_only) < planned_s(WISHES)


def test_which_side_comes_first_changes_with_each_round() -> None:
    assert [order(number)[0] for number in range(4)] == ["floor", "engine", "floor", "engine"]
    assert {order(0), order(1)} == {("floor", "engine"), ("engine", "floor")}


def test_pictures_are_drawn(tmp_path: Path) -> None:
    candidates = split.candidates(LIMITS)
    tried = split.search(candidates, lambda each: ramp_round(float(each.nginx + each.api)))
    drawn = picture.draw(outcome(), tmp_path)
    drawn += picture.draw_splits(split.result(tried, candidates[0], 20.0), tmp_path)
    assert [path.name for path in drawn] == ["latency.png", "cpu.png", "split.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_rings_hold_what_comes_at_saturation() -> None:
    assert saturation.ring_slots(20, 2) * 2 >= 20 * saturation.PER_S_MAX
    assert saturation.ring_slots(1, 2) == 65_536
    assert saturation.ring_slots(600, 1) == saturation.RING_SLOTS_MAX
