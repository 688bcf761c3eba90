"""Soaks with and without a ledger are compared round by round, and what is not known is not made up."""

from __future__ import annotations

import json
from typing import Any

from engine.lab.soak.compare import compare, table


def soak(kind: str, number: int, per_s: float | None, **ledger: Any) -> dict[str, Any]:
    told = {"lag_s_last_minute": 1.5, "caught_up_s": 0.5, "bytes_per_payment": 300.0, "missing": {}} | ledger
    return {
        "kind": kind, "round": number, "settled_per_s": per_s, "p99_ms": 4.0, "passed": per_s is not None,
        "growth_mb_per_minute": {"dispatcher": 0.1, "api 0": -0.2}, "ledger": None if kind == "off" else told,
    }  # fmt: skip


def test_shares_are_of_the_same_round_and_what_is_small_is_the_largest_seen() -> None:
    outcomes = [
        soak("off", 1, 10_000), soak("sqlite", 1, 8_000, caught_up_s=3.0, missing={"ring 0": 7}),
        soak("off", 2, 20_000), soak("sqlite", 2, 15_000, lag_s_last_minute=4.5, bytes_per_payment=310.0),
    ]  # fmt: skip
    compared = json.loads(json.dumps(compare(outcomes)))
    sqlite = compared["kinds"]["sqlite"]
    assert compared["passed"] and sqlite["share"] == (0.8 + 0.75) / 2
    assert (sqlite["lag_s_last_minute"], sqlite["caught_up_s"], sqlite["bytes_per_payment"]) == (4.5, 3.0, 305.0)
    assert (sqlite["missing"], sqlite["growth_mb_per_minute"]) == (7, 0.1)
    off, on = table(compared).splitlines()[2:]
    assert off == "| off | 2 | 15,000 | 100% | 4.0 | - | - | - | +0.10 | 0 | 2 of 2 |"
    assert on == "| sqlite | 2 | 11,500 | 78% | 4.0 | 4.5 s | 3.0 s | 305 | +0.10 | 7 | 2 of 2 |"


def test_less_than_seven_tenths_is_too_little() -> None:
    assert compare([soak("off", 1, 10_000), soak("sqlite", 1, 7_000)])["passed"]
    assert not compare([soak("off", 1, 10_000), soak("sqlite", 1, 6_999)])["passed"]


def test_a_soak_that_was_not_settled_or_did_not_catch_up_has_no_figure() -> None:
    compared = compare([soak("off", 1, None), soak("postgresql", 1, 5_000, caught_up_s=None)])
    assert compared["kinds"]["postgresql"]["share"] is None
    assert table(compared).splitlines()[2].startswith("| off | 1 | - | - |")
    assert " | 1.5 s | - | " in table(compared).splitlines()[3]
    alone = compare([soak("postgresql", 1, 5_000)])
    assert alone["passed"] and alone["kinds"]["postgresql"]["share"] is None
