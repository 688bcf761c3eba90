"""Failing at random is a rate, and an outage is a row that is no chance."""

from __future__ import annotations

import random

import pytest

from engine.routing.failures import NOBODY, Failures
from engine.routing.policy import (
    FAILURE_ASSUMED,
    FAILURE_FADE_MS,
    FAILURE_HALF_LIFE_MS,
    FAILURE_MEMORY,
    ROW_CHANCE,
    ROW_CHANCE_MS,
    ROW_MAX,
)

T = 1_000_000


class Told:
    """Failures that are told of answers in the order of time, 4 ms from one to the next."""

    def __init__(self, row_min: int = 3) -> None:
        self.failures = Failures(row_min)
        self.now_ms = T
        self.outages = 0
        self._key = 0

    def fails(self, times: int = 1, key: int | None = None) -> bool:
        """So many fail, of different payments or all of ``key``; whether it is an outage then."""
        is_outage = False
        for _ in range(times):
            self._key += 1
            self.now_ms += 4
            is_outage = self.failures.failed(self.now_ms, self._key if key is None else key, is_refusal=False)
        return is_outage

    def refuses(self, times: int = 1, key: int | None = None) -> bool:
        """The same with refusals."""
        is_outage = False
        for _ in range(times):
            self._key += 1
            is_outage = self.failures.failed(self.now_ms, self._key if key is None else key, is_refusal=True)
        return is_outage

    def succeeds(self, times: int = 1) -> bool:
        """So many are answered; whether the row that the first of them ended was chance."""
        self.now_ms += 4
        self.failures.successes += times
        return bool(self.failures.row) and self.failures.end_row(self.now_ms)

    def draws(self, share: float, times: int, seed: int = 1) -> None:
        """So many answers, of which a share fails at random; an outage is over with the next success."""
        chance = random.Random(seed)
        was_outage = False
        for _ in range(times):
            if chance.random() < share:
                is_outage = self.fails()
                self.outages += is_outage and not was_outage
                was_outage = is_outage
            else:
                self.succeeds()
                was_outage = False


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6])
def test_a_rate_is_found_and_does_not_open_the_breaker_by_chance(share: float) -> None:
    told = Told()
    told.draws(share, 200)  # until it is known
    learning, told.outages = told.outages, 0
    rates = []
    for seed in range(100):
        told.draws(share, 50, seed)
        rates.append(told.failures.rate)
    assert sum(rates) / len(rates) == pytest.approx(
        share * FAILURE_MEMORY / (FAILURE_MEMORY + FAILURE_ASSUMED), abs=0.05
    )
    assert learning <= 10
    assert told.outages <= 3  # of 5,000 answers; with "three in a row" it is one in 26 at 40 %


def test_an_outage_is_seen_at_once_where_nothing_failed_before_and_a_little_later_where_it_did() -> None:
    told = Told()
    told.succeeds(1000)
    assert [told.fails() for _ in range(3)] == [False, False, True]
    flaky = Told()
    flaky.draws(0.4, 400)
    flaky.succeeds()
    needed = next(count for count in range(1, 100) if flaky.fails())
    assert 3 < needed <= ROW_MAX
    assert 0.45**needed <= 10 * ROW_CHANCE


def test_nothing_but_the_settings_makes_a_row_of_an_outage_longer_than_the_limit() -> None:
    flaky = Told()
    flaky.draws(0.9, 5000)
    flaky.succeeds()
    assert flaky.fails(ROW_MAX)
    patient = Told(row_min=100)
    assert not patient.fails(99)
    assert patient.fails()


def test_what_failed_in_an_outage_is_in_no_rate() -> None:
    told = Told()
    told.succeeds(50)
    assert told.fails(30)
    told.now_ms += ROW_CHANCE_MS
    assert not told.succeeds()
    assert told.failures.rate == 0
    assert told.failures.row == 0


def test_a_row_that_ends_at_once_was_chance_though_it_looked_like_an_outage() -> None:
    told = Told()
    told.succeeds(50)
    assert told.fails(3)
    assert told.succeeds()
    assert 0 < told.failures.rate < 0.1


def test_its_own_word_that_it_fails_is_no_chance() -> None:
    told = Told()
    told.failures.told(told.now_ms)
    assert told.fails()
    assert not told.succeeds()
    assert told.failures.rate == 0


def test_one_payment_that_fails_again_and_again_is_one_in_the_row_and_nobodys_always_count() -> None:
    told = Told()
    assert not told.fails(100, key=7)
    assert not told.fails(1, key=8)
    assert told.fails(1, key=9)
    nobodys = Told()
    assert nobodys.fails(3, key=NOBODY)


def test_keys_that_are_kept_are_fewer_than_what_opens_the_breaker() -> None:
    told = Told(row_min=5)
    told.fails(1000)
    assert len(told.failures._keys) <= 5
    told.succeeds()
    assert not told.failures._keys


def test_refusals_of_different_payments_count_in_the_row_and_not_in_the_rate() -> None:
    told = Told()
    assert not told.refuses(50, key=7)
    assert not told.refuses(1)
    assert told.succeeds()
    assert told.failures.rate == 0
    told.fails(1)
    assert not told.refuses(1)
    assert told.refuses(1)


def test_a_first_failure_is_no_certainty() -> None:
    told = Told()
    told.fails()
    told.succeeds()
    assert told.failures.rate == pytest.approx(1 / (2 + FAILURE_ASSUMED), abs=0.01)
    assert told.failures.answers == 2


def test_the_number_of_answers_that_it_rests_on_is_bounded() -> None:
    told = Told()
    assert told.failures.answers == 0
    told.succeeds(5)
    assert told.failures.answers == 5
    told.succeeds(1_000_000)
    assert told.failures.answers == FAILURE_MEMORY


def test_when_it_has_ceased_to_fail_that_is_forgotten_by_answers_and_by_time() -> None:
    by_answers, by_time = Told(), Told()
    for told in (by_answers, by_time):
        told.draws(0.4, 500)
        assert told.failures.rate > 0.25
    by_answers.succeeds(5 * FAILURE_MEMORY)
    assert by_answers.failures.rate < 0.01
    before = by_time.failures.rate
    by_time.failures.fade(by_time.now_ms)
    for _ in range(10 * FAILURE_HALF_LIFE_MS // FAILURE_FADE_MS):
        by_time.now_ms += FAILURE_FADE_MS
        by_time.failures.fade(by_time.now_ms)
    assert by_time.failures.rate < before / 10
    assert by_time.failures.answers == 0


def test_after_ever_so_many_successes_an_outage_is_seen_at_once_again() -> None:
    told = Told()
    told.draws(0.4, 500)
    told.succeeds(2)
    told.succeeds(10_000_000)
    assert told.fails(3)


def test_nothing_is_left_of_it_in_the_end() -> None:
    told = Told()
    told.draws(0.4, 500)
    told.succeeds(2)
    told.succeeds(10_000)
    told.failures.fade(told.now_ms + FAILURE_FADE_MS)
    assert told.failures.weight == 0
    assert told.failures.rate == 0
