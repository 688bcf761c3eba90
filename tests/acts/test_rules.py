"""Which act is safe for a payment: the whole table, and that what is offered is never what may charge twice."""

from __future__ import annotations

import pytest

from engine.acts import rules
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from engine.memory.layout import ALREADY, CHARGED_BEFORE, COMPLETED, FAILED, PROCESSING, QUEUED
from engine.payment import Payment

NOW_MS = 1_760_000_000_000
LONG_AGO_MS = NOW_MS - rules.UNDER_WAY_MS
ON_PAYMENTS = (Act.ASK, Act.RETRY, Act.CHARGED, Act.CANCEL)
DEAD = (
    layout.REASON_CONTRADICTION,
    layout.REASON_NO_LOOKUP,
    layout.REASON_CLOCK,
    layout.REASON_ERROR,
    layout.REASON_UNKNOWN,
)


def payment(state: int, reason: int = 0, since_ms: int = LONG_AGO_MS) -> Payment:
    return Payment(3, 1, 2, 1990, 5, state, 0, 2, 6, since_ms, reason, is_parked=True)


def results(one: Payment) -> list[Result]:
    return [rules.decide(act, one, NOW_MS) for act in ON_PAYMENTS]


@pytest.mark.parametrize("state", [PROCESSING, ALREADY])
@pytest.mark.parametrize("reason", DEAD)
def test_a_dead_letter_may_be_asked_for_and_declared_and_is_never_sent_again(state: int, reason: int) -> None:
    assert results(payment(state, reason)) == [Result.DONE, Result.MAY_BE_CHARGED, Result.DONE, Result.DONE]
    assert rules.is_dead_letter(payment(state, reason))


@pytest.mark.parametrize("reason", [layout.REASON_TOO_OLD, layout.REASON_REFUSED])
def test_what_has_failed_may_be_asked_for_and_tried_again_and_there_is_nothing_to_declare(reason: int) -> None:
    one = payment(FAILED, reason)
    assert results(one) == [Result.DONE, Result.DONE, Result.NOT_CHARGED, Result.NOT_CHARGED]
    assert rules.is_dead_letter(one)


@pytest.mark.parametrize("state", [QUEUED, PROCESSING, ALREADY])
def test_what_the_engine_works_on_may_only_be_asked_for(state: int) -> None:
    assert results(payment(state)) == [Result.DONE, *[Result.NOT_DEAD] * 3]
    assert not rules.is_dead_letter(payment(state))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (COMPLETED, 0),
        (COMPLETED, layout.REASON_UNCONFIRMED),
        (CHARGED_BEFORE, 0),
        (CHARGED_BEFORE, layout.REASON_DECLARED),
        (FAILED, layout.REASON_CANCELLED),
    ],
)
def test_nothing_is_done_with_what_is_over(state: int, reason: int) -> None:
    assert results(payment(state, reason)) == [Result.OVER] * 4


def test_nothing_is_cancelled_while_a_request_may_still_be_under_way() -> None:
    young = payment(PROCESSING, layout.REASON_CONTRADICTION, LONG_AGO_MS + 1)
    assert rules.decide(Act.CANCEL, young, NOW_MS) is Result.UNDER_WAY
    assert rules.decide(Act.CHARGED, young, NOW_MS) is Result.DONE
    set_back = payment(PROCESSING, layout.REASON_CONTRADICTION, NOW_MS + 1)  # the wall clock was
    assert rules.decide(Act.CANCEL, set_back, NOW_MS) is Result.UNDER_WAY
