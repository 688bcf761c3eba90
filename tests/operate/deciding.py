"""All acts on all dead letters of a real engine, and what must hold of them."""

from __future__ import annotations

from collections import Counter

from engine.books.reader import Sum
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from tests.operate.letters import (
    ACTS,
    CHARGED,
    CONTRADICTION,
    NOT_CHARGED,
    REFUSED,
    TOO_OLD,
    WAIT_S,
    Letters,
    answer_lookups,
    name_of,
)
from tests.system.client import wait_until


def decide(made: Letters) -> None:
    """Everything that is unsafe is refused, whatever is put; then everything that is safe is done, and once.

    Dry run and result agree. Nothing that may be charged is sent again, and what is sent is charged once.
    """
    refuse(made)
    failed, there = made.of(TOO_OLD, REFUSED), made.of(CHARGED)
    declared, asked, left = there[::2], there[1::2], made.of(NOT_CHARGED, CONTRADICTION)
    cents = made.cents(declared)
    before = made.totals()[1].declared
    do(made, "retry", failed, "--state", "failed")
    do(made, "charged", declared, *declared)
    do(made, "ask", [*asked, *left], "--state", "unknown")  # nobody finds them yet
    answer_lookups(made, asked)
    told = made.command("ask", *asked)
    assert {*told.results} <= {Result.DONE, Result.OVER}, told  # the engine asks by itself too, now and then
    wait_until(lambda: {*map(name_of, made.known())} == {*left}, WAIT_S, "what was asked for is found")
    told = made.command("cancel", *left)
    assert (told.eligible, told.refused) == (0, Counter({Result.UNDER_WAY: len(left)}))
    refuse(made)
    assert not made.eligible(Act.RETRY, failed) and not made.eligible(Act.CHARGED, declared)
    wait_until(
        lambda: all(count == 1 for count in map(made.sent().get, failed)), WAIT_S, "what was tried again is sent"
    )
    wait_until(lambda: all(made.charged()[name] for name in failed), WAIT_S, "what was tried again is charged")
    assert made.sent() == Counter(failed)
    assert set(made.charged().values()) == {1}
    assert made.totals()[1].declared == Sum(before.payments + len(declared), before.cents + cents)
    assert made.totals()[1].failed == Sum(0, 0)


def check_conservation(made: Letters) -> None:
    """When the load is over: what was accepted is settled, has failed, was declared or is a dead letter."""

    def is_conserved() -> bool:
        accepted, totals = made.totals()
        unknown = sum(one.state != layout.FAILED for one in made.known())
        return accepted == totals.payments + unknown

    wait_until(is_conserved, WAIT_S, "all that was accepted is accounted for")


def cancel(made: Letters) -> None:
    """What is not charged for certain, after its time: it is ended, once."""
    left = made.of(NOT_CHARGED, CONTRADICTION)
    do(made, "cancel", left, *left)
    assert made.known() == []
    assert made.command("cancel", *left).refused == Counter({Result.OVER: len(left)})


def do(made: Letters, act: str, expected: list[str], *choice: str) -> None:
    """An act that is safe for all of ``expected`` is for them, and is done for each."""
    cents = made.cents(expected)
    told = made.command(act, *choice)
    assert (told.eligible, told.cents) == (len(expected), cents), (act, told)
    assert told.results == Counter({Result.DONE: len(expected)}), (act, told)


def refuse(made: Letters) -> None:
    """Each act that is unsafe for a letter comes to the reason that the dry run says, and to nothing else."""
    letters = made.known()
    failed = sum(one.state == layout.FAILED for one in letters)
    unknown = len(letters) - failed
    expected = {
        Act.ASK: {},
        Act.RETRY: {Result.MAY_BE_CHARGED: unknown},
        Act.CHARGED: {Result.NOT_CHARGED: failed},
        Act.CANCEL: {Result.NOT_CHARGED: failed, Result.UNDER_WAY: unknown},
    }
    for act in ACTS:
        said, became = made.forced(act)
        wanted = Counter({result: count for result, count in expected[act].items() if count})
        assert said == became == wanted, (act, said, became, wanted)
