"""Audits: each processor by itself, to the payment and to the cent."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from engine.lab.contest.audit import Answers, Audit, compare
from engine.lab.contest.books import BooksError, Total, Totals, engine_totals, total

DEFAULT, FALLBACK = Total(10, 199_00), Total(5, 99_50)


def audit(engine: Totals | str, default: Total | str = DEFAULT, fallback: Total | str = FALLBACK) -> Audit:
    return compare(10.0, "periodic", ("a", "b"), Answers(engine, {"default": default, "fallback": fallback}))


def test_equal_books_are_ok() -> None:
    seen = audit(Totals(default=DEFAULT, fallback=FALLBACK))
    assert (seen.outcome, seen.payments, seen.cents, seen.reason) == ("ok", 0, 0, "")


def test_two_errors_do_not_cancel_out() -> None:
    seen = audit(Totals(default=Total(11, 218_90), fallback=Total(4, 79_60)))
    assert (seen.outcome, seen.payments, seen.cents) == ("differed", 2, 39_80)
    assert "default: engine 11 payments, 218.90; processor 10, 199.00" in seen.reason


def test_a_single_cent_is_a_difference() -> None:
    seen = audit(Totals(default=Total(10, 199_01), fallback=FALLBACK))
    assert (seen.outcome, seen.payments, seen.cents) == ("differed", 1, 1)


def test_an_engine_that_does_not_answer_an_audit_has_failed_it() -> None:
    seen = audit("timed out")
    assert (seen.outcome, seen.payments, seen.against_the_engine) == ("unanswered", 1, True)


def test_an_audit_without_a_processors_answer_is_not_held_against_the_engine() -> None:
    seen = audit("timed out", fallback="refused")
    assert (seen.outcome, seen.payments, seen.against_the_engine) == ("void", 0, False)
    assert seen.reason == "fallback processor: refused"


def test_any_number_of_processors_is_compared_each_by_itself() -> None:
    charged = Totals(north=Total(1, 100), south=Total(2, 200), east=Total(3, 300))
    engine = Totals(charged) | {"east": Total(1, 100), "south": Total(4, 400)}
    seen = compare(1.0, "periodic", None, Answers(Totals(engine), charged))
    assert (seen.outcome, seen.payments, seen.cents) == ("differed", 4, 400)
    assert (charged.count, charged.cents) == (6, 600)
    content = {name: {"totalRequests": each.count, "totalAmount": 1} for name, each in charged.items()}
    assert engine_totals(content, ("north", "south", "east"))["south"].count == 2
    with pytest.raises(BooksError):
        engine_totals(content, ("north", "south"))


@pytest.mark.parametrize(
    ("amount", "cents"), [("0", 0), ("19.9", 1990), ("398.0000000001", 39_800), ("99999999999.99", 9_999_999_999_999)]
)
def test_totals_are_read_to_the_cent(amount: str, cents: int) -> None:
    content = json.loads(f'{{"totalRequests": 20, "totalAmount": {amount}}}', parse_float=Decimal)
    assert total(content) == Total(20, cents)


@pytest.mark.parametrize(
    "content",
    [
        None, [], {}, {"default": {"totalRequests": 1, "totalAmount": 1}},
        {"default": 1, "fallback": 2},
        {"default": {"totalRequests": -1, "totalAmount": 1}, "fallback": {"totalRequests": 0, "totalAmount": 0}},
        {"default": {"totalRequests": 1, "totalAmount": "x"}, "fallback": {"totalRequests": 0, "totalAmount": 0}},
    ],
)  # fmt: skip
def test_what_is_no_summary_is_not_taken_for_one(content: Any) -> None:
    with pytest.raises(BooksError):
        engine_totals(content)
