"""Each check of ``/metrics`` holds when it says the same as the others, and breaks when it does not."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from engine.console.exposition import exposed
from engine.console.scrape import Sample
from engine.lab.chaos import signals
from engine.lab.chaos.plan import Kill
from engine.lab.chaos.signals import Scraped, in_buckets
from engine.lab.contest.books import Total, Totals
from engine.lab.ledger.recorded import Paid, Tried
from engine.lab.services.processor import Summary
from engine.memory.layout import COMPLETED, FAILED
from engine.memory.metrics_layout import VERDICTS

NAMES = ("default", "fallback")
TOLD = Totals(default=Total(2, 3980), fallback=Total(1, 1990))
OWN = {"default": Summary(2, 3980, 199, Decimal("0.05")), "fallback": Summary(1, 1990, 298, Decimal("0.15"))}
ROWS = [Paid(b"1", 0, COMPLETED, 0, 1990), Paid(b"2", 0, COMPLETED, 0, 1990), Paid(b"3", 0, COMPLETED, 1, 1990)]
RIGHT = {
    ("engine_payments_accepted_total", "0"): 2,
    ("engine_payments_accepted_total", "1"): 1,
    ("engine_payments_settled_total", "default"): 2,
    ("engine_payments_settled_total", "fallback"): 1,
    ("engine_settled_cents_total", "default"): 3980,
    ("engine_settled_cents_total", "fallback"): 1990,
    ("engine_fee_cents", "default"): 199,
    ("engine_fee_cents", "fallback"): 298,
    ("engine_net_cents", "default"): 3781,
    ("engine_net_cents", "fallback"): 1692,
    ("engine_payments_pending",): 0,
}


def scraped(values: dict[tuple[str, ...], int]) -> Scraped:
    """As a console would expose them."""
    samples = [Sample(name, value, labels) for (name, *labels_), value in values.items() for labels in [(*labels_,)]]
    return signals.read(exposed(samples, "")[0].decode())


def broken(values: dict[tuple[str, ...], int], rows: list[Paid] = ROWS) -> list[str]:
    checks = signals.payments(scraped(values), TOLD, rows, OWN)
    assert len(checks) == 3
    return [check.name for check in checks if not check.holds]


def test_a_scrape_that_says_the_same_holds() -> None:
    assert broken(RIGHT) == []


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        (("engine_payments_accepted_total", "0"), "payments and cents"),
        (("engine_payments_settled_total", "default"), "payments and cents"),
        (("engine_settled_cents_total", "fallback"), "payments and cents"),
        (("engine_fee_cents", "default"), "fees and net"),
        (("engine_net_cents", "fallback"), "fees and net"),
        (("engine_payments_pending",), "nothing that waits"),
        (("engine_payments_failed_total",), "payments and cents"),
    ],
)
def test_a_payment_or_a_cent_more_is_told(name: tuple[str, ...], promise: str) -> None:
    (found,) = broken(RIGHT | {name: RIGHT.get(name, 0) + 1})
    assert promise in found


def test_a_payment_that_the_ledger_lacks_or_has_as_failed_is_told() -> None:
    assert len(broken(RIGHT, ROWS[:2])) == len(broken(RIGHT, [*ROWS[:2], Paid(b"3", 0, FAILED, None, 1990)])) == 1


def requested(counted: int, attempts: list[Tried], lost_max: int = 0, extra_max: int = 0) -> bool:
    values: dict[tuple[str, ...], int] = {("engine_requests_total", "default", "charged"): counted}
    return signals.requests(scraped(values), NAMES, attempts, lost_max, extra_max).holds


def test_requests_are_those_of_the_ledger_but_for_what_kills_explain() -> None:
    tried = [Tried(bytes([number]), 0, False, 1, None, 1000 * number, 0, 5) for number in range(4)]
    assert requested(4, tried) and not requested(3, tried) and not requested(5, tried)
    assert requested(3, tried, lost_max=1) and requested(5, tried, extra_max=1)
    assert not requested(0, [])
    kills = [Kill("dispatcher", 1, 2.5), Kill("ledger", 2, 9.0)]
    assert signals.lost(tried, kills, begin_epoch_s=0.1) == 2  # at 1000 and 2000 ms, before the kill at 2600


def test_the_ledgers_answers_are_the_requests_that_the_dispatcher_used() -> None:
    tried = [
        Tried(b"1", 0, False, 1, None, 2, VERDICTS.index("charged"), 900),
        Tried(b"2", 0, False, 1, "timeout", 2, VERDICTS.index("unknown"), None),
        Tried(b"3", 0, False, 1, None, 2, 255, 900),
        Tried(b"4", 0, False, 1, None),
        Tried(b"5", 0, True, 1, None, 2, VERDICTS.index("found"), 900),
        Tried(b"6", 1, False, 1, None, 2, VERDICTS.index("charged"), 900),
    ]
    assert signals.recorded_answers(tried, 0) == in_buckets([900, 0])


MS = 1000
SLOW = [100 * MS] * 98 + [900 * MS] * 2


@pytest.mark.parametrize(
    ("shown_us", "holds"),
    [
        (SLOW, True),
        ([us * 1.05 for us in SLOW], True),
        ([us * 1.3 for us in SLOW], False),
        ([us * 0.75 for us in SLOW], False),
        ([100 * MS] * 100, False),  # the last two are missing
        ([100 * MS] * 98, True),  # two that one side lacks may have been anything
        ([100 * MS] * 98 + [900 * MS] * 4, True),
        ([], False),
    ],
)
def test_quantiles_agree_within_a_bucket_but_for_what_one_side_lacks(shown_us: list[float], holds: bool) -> None:
    shown, others = in_buckets(map(round, shown_us)), in_buckets(SLOW)
    assert signals.same_times("they agree", {"a": shown}, {"a": others}, 50 * MS).holds is holds


def test_a_short_time_may_be_longer_elsewhere_and_never_shorter() -> None:
    fast, slow = {"a": in_buckets([2 * MS] * 100)}, {"a": in_buckets([9 * MS] * 100)}
    assert signals.same_times("longer", slow, fast, 50 * MS).holds
    assert not signals.same_times("longer", slow, fast, 0).holds
    assert not signals.same_times("shorter", fast, slow, math.inf).holds


def test_the_buckets_of_a_scrape_are_those_that_were_exposed() -> None:
    buckets = in_buckets([5, 100, 1000, 10**9])
    text = exposed([Sample("engine_answer_seconds", [*buckets, 7], ("default",))], "")[0].decode()
    assert signals.read(text).durations("engine_answer_seconds", processor="default") == buckets
