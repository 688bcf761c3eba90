"""Where payments go."""

from __future__ import annotations

from engine.memory.layout import DEFAULT, FALLBACK
from engine.routing.router import Router, RouterLimits

LIMITS = RouterLimits(in_flight_max=10, breaker_failures=3, trial_interval_ms=100, slower_ms=300)


def _fail(router: Router, processor: int, now_ms: int, times: int = 3) -> None:
    for ticket in range(times):
        router.lanes[processor].began(now_ms, ticket)
        router.lanes[processor].ended(now_ms, ticket, answered=False)


def _answer(router: Router, processor: int, now_ms: int, took_ms: int, times: int = 20) -> None:
    for ticket in range(times):
        router.lanes[processor].began(now_ms - took_ms, ticket)
        router.lanes[processor].ended(now_ms, ticket, answered=True)


def test_default_is_taken_while_it_is_fit() -> None:
    assert Router(LIMITS).choose(0, 0) == DEFAULT


def test_failures_in_a_row_turn_payments_to_fallback() -> None:
    router = Router(LIMITS)
    _fail(router, DEFAULT, 1000, times=2)
    assert router.choose(1000, 0) == DEFAULT
    _fail(router, DEFAULT, 1000, times=1)
    assert router.choose(1000, 0) == FALLBACK


def test_a_success_in_between_starts_the_count_anew() -> None:
    router = Router(LIMITS)
    _fail(router, DEFAULT, 1000, times=2)
    _answer(router, DEFAULT, 1000, took_ms=1, times=1)
    _fail(router, DEFAULT, 1000, times=2)
    assert router.choose(1000, 0) == DEFAULT


def test_nothing_is_sent_while_neither_is_fit_but_one_trial_at_a_time() -> None:
    router = Router(LIMITS)
    _fail(router, DEFAULT, 1000)
    _fail(router, FALLBACK, 1000)
    assert router.choose(1099, 5) is None
    assert router.wake_ms(1099) == 1100
    assert router.choose(1100, 5) == DEFAULT
    router.lanes[DEFAULT].began(1100, 1)
    assert router.choose(1100, 5) == FALLBACK
    router.lanes[FALLBACK].began(1100, 2)
    assert router.choose(1101, 5) is None


def test_one_successful_trial_closes_the_breaker() -> None:
    router = Router(LIMITS)
    _fail(router, DEFAULT, 1000)
    router.lanes[DEFAULT].began(1100, 1)
    router.lanes[DEFAULT].ended(1103, 1, answered=True)
    assert [router.choose(1103, 5) for _ in range(3)] == [DEFAULT] * 3


def test_a_trial_without_an_answer_does_not_keep_the_next_one_waiting_for_long() -> None:
    router = Router(LIMITS)
    _fail(router, DEFAULT, 1000)
    router.lanes[DEFAULT].began(1100, 1)
    assert not router.allows(2099, DEFAULT)
    assert router.allows(2100, DEFAULT)


def test_health_answers_open_and_close_a_breaker() -> None:
    router = Router(LIMITS)
    router.lanes[DEFAULT].health(1000, failing=True, min_response_ms=0)
    assert router.choose(1000, 0) == FALLBACK
    router.lanes[DEFAULT].health(6000, failing=False, min_response_ms=5)
    assert router.choose(6000, 0) == DEFAULT


def test_a_default_that_is_much_slower_is_left_for_fallback_but_tried_with_one_payment() -> None:
    router = Router(LIMITS)
    _answer(router, DEFAULT, 1000, took_ms=900)
    assert router.choose(1000, 0) == DEFAULT
    router.lanes[DEFAULT].began(1000, 1)
    assert router.choose(1000, 0) == FALLBACK


def test_a_default_a_little_slower_is_kept() -> None:
    router = Router(LIMITS)
    _answer(router, DEFAULT, 1000, took_ms=200)
    router.lanes[DEFAULT].began(1000, 1)
    assert router.choose(1000, 0) == DEFAULT


def test_slowness_is_noticed_from_requests_that_are_still_unanswered() -> None:
    router = Router(LIMITS)
    _answer(router, DEFAULT, 1000, took_ms=2)
    router.lanes[DEFAULT].began(1000, 1)
    assert router.choose(1100, 0) == DEFAULT
    assert router.choose(1400, 0) == FALLBACK


def test_the_limit_of_requests_in_flight_holds_for_each_processor() -> None:
    router = Router(LIMITS)
    for ticket in range(10):
        router.lanes[DEFAULT].began(1000, ticket)
    assert not router.allows(1000, DEFAULT) and router.allows(1000, FALLBACK)
    assert router.choose(1000, 0) is None


def test_too_many_at_once_is_no_failure_but_a_short_rest() -> None:
    router = Router(LIMITS)
    for ticket in range(5):
        router.lanes[DEFAULT].began(1000, ticket)
        router.lanes[DEFAULT].rejected(1000, ticket)
    assert not router.lanes[DEFAULT].breaker.is_open
    assert router.choose(1050, 0) is None
    assert router.wake_ms(1050) == 1100
    assert router.choose(1100, 0) == DEFAULT
