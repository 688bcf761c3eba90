"""Contests with and without a ledger are compared round by round: latency by ratio, CPU for a payment by difference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.lab.contest.compare import compare, table


def contest(kind: str, number: int, p99_ms: float | None, engine_s: float, **own_s: float) -> dict[str, Any]:
    roles = {"dispatcher": {"cpu_s": 1.0}} | ({"ledger": {"cpu_s": own_s["ledger"]}} if "ledger" in own_s else {})
    resources = {"engine": {"cpu_s": engine_s, "roles": roles}, "contest": {"cpu_s": 9.0, "roles": {}}}
    if "database" in own_s:
        resources["database"] = {"cpu_s": own_s["database"], "roles": {}}
    return {"kind": kind, "round": number, "passed": True, "accepted": 10_000, "p99_ms": p99_ms, "resources": resources}


def test_rounds_are_compared_with_the_one_without_of_their_own() -> None:
    compared = json.loads(
        json.dumps(
            compare([
                contest("off", 1, 2.0, 2.0), contest("sqlite", 1, 2.2, 2.5, ledger=0.4),
                contest("off", 2, 4.0, 3.0), contest("sqlite", 2, 4.0, 3.3, ledger=0.2),
                contest("off", 3, 3.0, 2.0), contest("sqlite", 3, 3.3, 2.4, ledger=0.3),
            ])
        )
    )  # fmt: skip
    sqlite = compared["kinds"]["sqlite"]
    assert sqlite["p99_ratio"] == pytest.approx([1.1, 1.0, 1.1])
    assert sqlite["cpu_us_more"] == pytest.approx([40, 30, 50])
    assert sqlite["ledger_us"] == pytest.approx([30, 20, 40])
    assert compared["passed"]
    rows = table(compared).splitlines()[2:]
    assert rows[1] == (
        "| sqlite | 3 | 3.30 (2.20 to 4.00) | 1.10 (1.00 to 1.10) | 250 (240 to 330) | 40 (30 to 50) | "
        "30 (20 to 40) | 3 of 3 |"
    )


def test_the_server_of_the_database_counts() -> None:
    compared = compare([contest("off", 1, 2.0, 2.0), contest("postgresql", 1, 2.0, 2.3, ledger=0.3, database=0.4)])
    each = compared["kinds"]["postgresql"]
    assert each["cpu_us_more"][0] == pytest.approx(70) and each["ledger_us"][0] == pytest.approx(70)
    assert not compared["passed"]


@pytest.mark.parametrize(("p99_ms", "engine_s", "passed"), [(2.3, 2.6, True), (2.31, 2.0, False), (2.0, 2.61, False)])
def test_a_dearer_ledger_fails(p99_ms: float, engine_s: float, passed: bool) -> None:
    outcomes = [contest("off", 1, 2.0, 2.0), contest("sqlite", 1, p99_ms, engine_s)]
    assert compare(outcomes)["passed"] is passed


def test_without_a_contest_to_compare_with_nothing_is_judged() -> None:
    compared = compare([contest("sqlite", 1, None, 2.0)])
    assert compared["passed"]
    assert table(compared).splitlines()[2] == "| sqlite | 1 | - | - | 200 (200 to 200) | - | 0 (0 to 0) | 1 of 1 |"
