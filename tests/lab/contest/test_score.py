"""The score is the contest's: net x (1 + bonus - fine)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.lab.contest.books import Total, Totals
from engine.lab.contest.score import bonus, net, score

FEES = {"default": Decimal("0.05"), "fallback": Decimal("0.15")}
SETTLED = Totals(default=Total(900, 900_00), fallback=Total(100, 100_00))


def test_net_is_what_is_left_after_each_processors_own_fee() -> None:
    assert net(SETTLED, FEES) == Decimal("940.00")


@pytest.mark.parametrize(("p99_ms", "expected"), [(None, 0.0), (1.0, 0.2), (10.5, 0.01), (11.0, 0.0), (500.0, 0.0)])
def test_each_ms_below_11_is_worth_2_percent(p99_ms: float | None, expected: float) -> None:
    assert bonus(p99_ms) == pytest.approx(expected)


def test_a_run_without_a_fault_earns_net_and_bonus() -> None:
    assert score(SETTLED, FEES, 1.0, audits_differed=0, requested=1000).score == pytest.approx(940 * 1.2)


@pytest.mark.parametrize("differed", [1, 6])
def test_audits_that_differed_cost_35_percent_once(differed: int) -> None:
    marks = score(SETTLED, FEES, 1.0, audits_differed=differed, requested=1000)
    assert marks.score == pytest.approx(940 * (1 + 0.2 - 0.35))


def test_more_settled_than_requested_disqualifies() -> None:
    marks = score(SETTLED, FEES, 1.0, audits_differed=0, requested=999)
    assert marks.disqualified
    assert marks.score == 0
