"""What an operator chooses, and what a dry run says of it."""

from __future__ import annotations

import pytest

from engine.acts import rules
from engine.ledger.acts import ITEMS_MAX
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from engine.operate import text
from engine.operate.selection import FAILED, REASONS, UNKNOWN, Selection, dead_letters, plan
from engine.payment import Payment

NOW_MS = 1_760_000_000_000
OLD_MS = NOW_MS - rules.UNDER_WAY_MS
NAMES = ("default", "a-processor-with-a-long-name")


def payment(number: int, state: int, reason: int = 0, *, since_ms: int = OLD_MS, cents: int = 100) -> Payment:
    return Payment(number, number, number, cents, 5, state, number % 2, 2, 6, since_ms, reason, is_parked=True)


KNOWN = [
    payment(1, layout.PROCESSING, layout.REASON_UNKNOWN, cents=100),
    payment(2, layout.ALREADY, layout.REASON_CONTRADICTION, since_ms=NOW_MS - 1000, cents=10**12),
    payment(3, layout.FAILED, layout.REASON_TOO_OLD, since_ms=NOW_MS - 5000, cents=300),
    payment(4, layout.FAILED, layout.REASON_CANCELLED),
    payment(5, layout.PROCESSING),
    payment(6, layout.COMPLETED),
    payment(7, layout.CHARGED_BEFORE, layout.REASON_DECLARED),
]


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(), [1, 3, 2]),  # the oldest first
        (Selection(state=UNKNOWN), [1, 2]),
        (Selection(state=FAILED), [3]),
        (Selection(processor=1), [1, 3]),
        (Selection(reason=layout.REASON_TOO_OLD), [3]),
        (Selection(before_ms=NOW_MS - 2000), [1, 3]),
        (Selection(cents=(300, 10**12)), [3, 2]),
        (Selection(ids=frozenset({(2, 2), (9, 9)})), [2]),
        (Selection(state=UNKNOWN, processor=0), [2]),
        (Selection(state=FAILED, processor=0), []),
    ],
)
def test_dead_letters_are_chosen_by_all_that_is_asked_for(selection: Selection, chosen: list[int]) -> None:
    assert [one.id_low for one in dead_letters(KNOWN, selection)] == chosen


def test_a_dry_run_says_how_many_how_much_and_why_not() -> None:
    found = plan(Act.CANCEL, KNOWN, Selection(), NOW_MS)
    assert [one.id_low for one in found.eligible] == [1] and found.cents == 100
    assert found.reasons() == {Result.NOT_CHARGED: 1, Result.UNDER_WAY: 1}
    assert text.dry_run(found)[0] == "cancel: 1 payment, 1.00 in all"


def test_named_payments_are_told_of_in_whatever_state_they_are() -> None:
    found = plan(Act.RETRY, KNOWN, Selection(ids=frozenset((number, number) for number in range(1, 10))), NOW_MS)
    assert [one.id_low for one in found.eligible] == [3]
    assert found.reasons() == {
        Result.MAY_BE_CHARGED: 2, Result.OVER: 3, Result.NOT_DEAD: 1, Result.NOT_FOUND: 2,
    }  # fmt: skip


def test_an_action_is_bounded_and_says_that_there_are_more() -> None:
    many = [payment(number, layout.FAILED, layout.REASON_TOO_OLD) for number in range(ITEMS_MAX + 5)]
    found = plan(Act.RETRY, many, Selection(), NOW_MS)
    assert len(found.eligible) == ITEMS_MAX and found.is_cut


def test_the_table_has_80_columns_whatever_is_in_it() -> None:
    letters = dead_letters(KNOWN, Selection())
    letters += [payment(9, layout.PROCESSING, reason, since_ms=0) for reason in REASONS]
    lines = text.table(letters, NAMES, NOW_MS)
    assert {len(line) for line in lines} == {80}
    assert {len(line) for line in text.table(letters[:1], NAMES, NOW_MS)} == {77}


def test_what_a_person_wrote_does_nothing_to_a_terminal() -> None:
    assert text.printable("a\x1b[31m\nb") == "a?[31m?b" and len(text.printable("x" * 500)) == text.TEXT_MAX
