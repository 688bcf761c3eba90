"""What an API process says of a purge that it has asked for."""

from __future__ import annotations

import time

import pytest

from engine.intake import problem, purging
from engine.intake.purging import PURGE_SECONDS, WITHDRAWN_SECONDS
from engine.memory import layout
from engine.memory.words import Words
from tests.ring.test_ring import make_ring


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


@pytest.fixture
def words() -> Words:
    made: Words = make_ring()  # type: ignore[assignment]
    made[layout.RING_PURGE_ASKED_AT] = made[layout.RING_PURGE_DONE_AT] = 4
    return made


def decide(words: Words, number: int, *, purged: bool) -> None:
    if purged:
        words[layout.RING_PURGED_AT] = number
    words[layout.RING_PURGE_DONE_AT] = number


@pytest.mark.parametrize("purged", [True, False])
def test_the_dispatcher_says_what_has_become_of_it(clock: Clock, words: Words, purged: bool) -> None:
    done = purging.ask(words, is_withdrawn=True)
    assert words[layout.RING_PURGE_ASKED_AT] == 5 and done() is None
    decide(words, 5, purged=purged)
    assert done() == (problem.PURGED if purged else problem.PURGE_REFUSED)


def test_each_of_two_that_ask_is_told_the_truth(clock: Clock, words: Words) -> None:
    first = purging.ask(words, is_withdrawn=True)
    decide(words, 5, purged=True)
    second = purging.ask(words, is_withdrawn=True)
    decide(words, 6, purged=False)
    assert (first(), second()) == (problem.PURGED, problem.PURGE_REFUSED)
    third, fourth = (purging.ask(words, is_withdrawn=True) for _ in range(2))
    decide(words, 7, purged=False)
    decide(words, 8, purged=True)  # after both had asked
    assert (third(), fourth()) == (problem.PURGED, problem.PURGED)


def test_where_the_ledger_is_required_a_purge_without_a_dispatcher_is_called_off(clock: Clock, words: Words) -> None:
    done = purging.ask(words, is_withdrawn=True)
    clock.now += PURGE_SECONDS + 0.01
    assert done() is None and words[layout.RING_PURGE_WITHDRAWN_AT] == 5
    clock.now += WITHDRAWN_SECONDS
    assert done() == problem.PURGE_WITHDRAWN
    late = purging.ask(words, is_withdrawn=True)
    clock.now += PURGE_SECONDS + 0.01
    assert late() is None
    decide(words, 6, purged=True)  # the dispatcher was just at it
    assert late() == problem.PURGED


def test_elsewhere_it_stays_asked_for_until_a_dispatcher_comes(clock: Clock, words: Words) -> None:
    done = purging.ask(words, is_withdrawn=False)
    clock.now += PURGE_SECONDS + 0.01
    assert done() == problem.NOT_YET_PURGED and words[layout.RING_PURGE_WITHDRAWN_AT] == 0
