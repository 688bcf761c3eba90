"""The first screen's document: exact money, and rates of what happened between looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.console.overview import MONEY_S, Look, Overview
from engine.console.scrape import Sample
from engine.ledger.report_text import amount
from engine.memory import metrics_layout
from engine.metrics import times

NAMES = ("cheap", "dear")
Values = Mapping[tuple[str, ...], float | list[int]]


def look(at_s: float, values: Values) -> Look:
    return Look(
        at_s, int(1000 * at_s), [Sample(name, value, tuple(labels)) for (name, *labels), value in values.items()]
    )


def settled(accepted: int, cheap: int, dear: int, cents: int = 1990) -> dict[tuple[str, ...], float | list[int]]:
    values: dict[tuple[str, ...], float | list[int]] = {
        ("engine_up",): 1, ("engine_payments_accepted_total", "0"): accepted - 1,
        ("engine_payments_accepted_total", "1"): 1,
    }  # fmt: skip
    for name, count, fee in zip(NAMES, (cheap, dear), (5, 15), strict=True):
        values |= {
            ("engine_payments_settled_total", name): count,
            ("engine_settled_cents_total", name): count * cents,
            ("engine_fee_cents", name): count * cents * fee // 100,
            ("engine_net_cents", name): count * cents * (100 - fee) // 100,
        }
    return values


def made(one: Overview, at_s: float, values: Values) -> dict[str, Any]:
    return one.document(look(at_s, values), "payments go to cheap", 0b10, {"isOn": False})


def test_money_is_text_that_no_float_has_touched() -> None:
    assert [amount(cents) for cents in (0, 5, 1990, -7, 10**18 + 1)] == [
        "0.00", "0.05", "19.90", "-0.07", "10000000000000000.01"
    ]  # fmt: skip
    found = made(Overview(NAMES), 1.0, settled(3, 2, 1))
    assert found["money"]["settled"] == "59.70" and found["payments"]["accepted"] == 3
    assert [one["amount"] for one in found["processors"]] == ["39.80", "19.90"]
    assert [one["isPaused"] for one in found["processors"]] == [False, True]


def test_rates_and_the_last_minute_come_from_earlier_looks_and_are_null_without() -> None:
    one = Overview(NAMES)
    first = made(one, 100.0, settled(10, 5, 5))
    assert first["payments"]["acceptedPerSecond"] is first["money"]["netLastMinute"] is None
    for second in range(1, 5):
        made(one, 100.0 + second, settled(10 + 10 * second, 5 + 8 * second, 5))
    found = made(one, 105.0, settled(60, 45, 5))
    assert found["payments"]["acceptedPerSecond"] == 10.0
    assert found["processors"][0]["settledPerSecond"] == 8.0 and found["processors"][1]["settledPerSecond"] == 0
    assert found["money"]["netLastMinute"] == amount(40 * 1990 * 95 // 100)


def test_what_was_long_ago_and_looks_in_quick_succession_do_not_count() -> None:
    one = Overview(NAMES)
    made(one, 0.0, settled(1, 1, 0))
    found = made(one, 10.0 * MONEY_S, settled(1001, 1001, 0))
    assert found["payments"]["acceptedPerSecond"] is None  # nothing is known of the last seconds
    for number in range(500):
        found = made(one, 10.0 * MONEY_S + 1 + number / 1000, settled(1001 + number, 1001, 0))
    assert len(one._looks) < 5
    assert found["payments"]["acceptedPerSecond"] is not None


def test_after_a_purge_no_rate_is_below_zero() -> None:
    one = Overview(NAMES)
    made(one, 0.0, settled(100, 100, 0))
    found = made(one, 5.0, settled(5, 5, 0))
    assert found["payments"]["settledPerSecond"] == 1.0


def test_percentiles_are_of_the_last_seconds_and_null_when_nothing_ended() -> None:
    one = Overview(NAMES)

    def with_times(us: int, count: int) -> Values:
        buckets = [0] * (metrics_layout.TIMES_SUM + 1)
        buckets[times.bucket(us)] = count
        return {("engine_accepting_seconds",): buckets, ("engine_settling_seconds", "cheap"): buckets}

    made(one, 0.0, with_times(100, 50))
    found = made(one, 1.0, with_times(100, 50))["times"]
    assert found["accepting"] == {"count": 0, "p50Ms": None, "p99Ms": None}
    found = made(one, 2.0, with_times(100, 60))["times"]
    assert found["accepting"]["count"] == 10 and 0.1 < found["accepting"]["p99Ms"] <= 0.1 * 9 / 8 + 0.01
    assert found["settling"] == found["accepting"]
