"""Each check of the ledger holds when it tells the same as clients and processors, and breaks when it does not."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from engine.lab.chaos import record
from engine.lab.chaos.checks import Check
from engine.lab.chaos.plan import Kill
from engine.lab.chaos.requests import Sent
from engine.lab.ledger.gauge import Behind
from engine.lab.ledger.recorded import Gap, Paid, Recorded, Tried
from engine.lab.services.processor import Charged, Heard
from engine.memory.layout import COMPLETED, PROCESSING

KEYS = [uuid.UUID(int=number).bytes for number in range(9)]
NAMES = [str(uuid.UUID(int=number)) for number in range(9)]
WHEN = "2026-01-01T00:00:00.000Z"
SENT = [Sent(NAMES[1], 0, 202, 0), Sent(NAMES[2], 0, 202, 0), Sent(NAMES[3], 0, 0, 1050), Sent(NAMES[4], 0, 0, 1050)]
CHARGES = {
    "default": [Charged(NAMES[1], 1990, WHEN), Charged(NAMES[3], 1990, WHEN)],
    "fallback": [Charged(NAMES[2], 1990, WHEN)],
}
ROWS = [
    Paid(KEYS[1], 2, COMPLETED, 0, 1990),
    Paid(KEYS[2], 2, COMPLETED, 1, 1990),
    Paid(KEYS[3], 2, COMPLETED, 0, 1990),
]
HEARD = {
    0: [Heard(KEYS[1], 1, False), Heard(KEYS[1], 2, True), Heard(KEYS[3], 3, False)],
    1: [Heard(KEYS[2], 4, False)],
}
TRIED = [
    Tried(KEYS[1], 0, False, 1, None),
    Tried(KEYS[1], 0, True, 1, None),
    Tried(KEYS[3], 0, False, 1, None),
    Tried(KEYS[2], 1, False, 1, None),
]
KILLS = [Kill("dispatcher", 1, 5.0, 6.0), Kill("ledger", 2, 5.0, 6.0)]


def broken(recorded: Recorded, kills: list[Kill] = KILLS, begun: int = 1) -> list[str]:
    account = record.compare(HEARD, recorded.attempts)
    found: list[Check] = record.all_checks(SENT, CHARGES, recorded, account, kills, begun)
    assert len(found) == 6
    return [check.name for check in found if not check.holds]


RIGHT = Recorded(ROWS, TRIED, [], [])


def test_a_ledger_that_tells_the_same_holds() -> None:
    assert broken(RIGHT) == []


@pytest.mark.parametrize(
    ("rows", "promises"),
    [
        (ROWS[:2], {"sums"}),  # 3 saw an error and was charged
        ([ROWS[0], ROWS[2]], {"once", "sums"}),
        ([*ROWS, replace(ROWS[0], era=1)], {"once", "sums"}),
        ([*ROWS, Paid(KEYS[8], 2, COMPLETED, 0, 0)], {"other", "sums"}),
        ([*ROWS, Paid(KEYS[4], 2, PROCESSING, 0, 1990)], {"sums"}),
        ([replace(ROWS[0], processor=1), *ROWS[1:]], {"sums"}),
        ([replace(ROWS[0], cents=1991), *ROWS[1:]], {"sums"}),
    ],
)
def test_a_payment_too_few_too_many_or_wrong_is_told(rows: list[Paid], promises: set[str]) -> None:
    names = {
        "the ledger has every accepted payment once": "once",
        "the ledger has no other payment": "other",
        "the ledger's sums are the processors' own": "sums",
    }
    assert {names[name] for name in broken(replace(RIGHT, payments=rows))} == promises


@pytest.mark.parametrize("left_out", range(4))
def test_a_request_without_an_attempt_must_lie_in_a_gap_that_is_counted(left_out: int) -> None:
    attempts = [one for number, one in enumerate(TRIED) if number != left_out]
    promise = "every request has an attempt or lies in a counted gap"
    assert broken(replace(RIGHT, attempts=attempts)) == [promise]
    assert broken(replace(RIGHT, attempts=attempts, gaps=[Gap("ring 0", 1, ""), Gap("journal", 0, "")])) == [promise]
    assert broken(replace(RIGHT, attempts=attempts, gaps=[Gap("journal", 1, "")])) == []


def test_an_attempt_of_another_kind_or_processor_is_none_for_a_request() -> None:
    for other in (replace(TRIED[0], is_lookup=True), replace(TRIED[0], processor=1), replace(TRIED[0], key=KEYS[2])):
        account = record.compare(HEARD, [other, *TRIED[1:]])
        assert (len(account.missing), len(account.extra)) == (1, 1)


def test_attempts_without_a_request_are_bounded_by_what_kills_of_the_dispatcher_cut_off() -> None:
    promise = "attempts without a request are at most what kills cut off"
    more = replace(RIGHT, attempts=[*TRIED, TRIED[0], TRIED[1]])
    assert broken(more, begun=2) == []
    assert broken(more) == [promise]


def test_a_row_that_was_set_apart_is_told() -> None:
    assert broken(replace(RIGHT, rejected=["attempt: too long"])) == ["no row was set apart"]


def test_a_ledger_that_does_not_catch_up_is_told() -> None:
    lags = [Behind(1.0, 2500, 1, 1, 0, True, False)]
    assert record.carried(0.5, 30, lags).holds and "2.5 s" in record.carried(0.5, 30, lags).detail
    assert not record.carried(None, 30, lags).holds
