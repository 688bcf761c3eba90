"""What is promised of payments if the processor's answer needs a proof: 422, other times or amounts, silence."""

from __future__ import annotations

import pytest

from engine.books.reader import Sum
from engine.connectors import answers as outcome
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch import life
from engine.dispatch.attempt import Attempt
from engine.memory import layout
from engine.memory.layout import CHARGED_BEFORE, COMPLETED, PROCESSING, QUEUED
from engine.processors import DEFAULT, FALLBACK

from .world import START_MS, World

NOTHING = Sum(0, 0)


def told(world: World, *, doubted: bool) -> Attempt:
    """Payment 1 is sent to default, which says that it has it: to the first request, or after an unknown outcome."""
    world.accept(1, cents=1234)
    (attempt,) = world.start()
    if doubted:
        world.end([attempt], outcome.UNKNOWN)
        (attempt,) = world.start(later_ms=100)
    world.end([attempt], outcome.ALREADY)
    return attempt


def ask(world: World, answer: Outcome, ms: int = 120_000) -> list[int]:
    """Lets time pass; each lookup ends with ``answer``. Returns when the lookups were made, in ms from now."""
    began_ms, asked = world.mono_ms, []
    while world.mono_ms - began_ms < ms:
        attempts = world.start(later_ms=10)
        assert all(attempt.lookup and attempt.processor == DEFAULT for attempt in attempts)
        asked += [world.mono_ms - began_ms for _ in attempts]
        world.end(attempts, answer, later_ms=0)
    return asked


def test_already_there_is_settled_with_what_the_processor_has_stored_of_ours() -> None:
    world = World()
    attempt = told(world, doubted=False)
    assert world.payment(1).state == layout.ALREADY
    (lookup,) = world.start()
    assert lookup.lookup and lookup.processor == DEFAULT
    world.end([lookup], Outcome(Verdict.FOUND, attempt.requested_ms, 1234))
    assert world.books.window(attempt.requested_ms, attempt.requested_ms) == (Sum(1, 1234), NOTHING)
    assert world.payment(1).state == COMPLETED and world.payment(1).reason == layout.REASON_NONE


def test_another_amount_at_the_processor_is_in_the_books_and_is_counted_and_shown_as_a_discrepancy() -> None:
    world = World()
    attempt = told(world, doubted=True)
    world.end(world.start(), Outcome(Verdict.FOUND, attempt.requested_ms, 777))
    payment = world.payment(1)
    assert (payment.state, payment.cents, payment.reason) == (COMPLETED, 1234, layout.REASON_AMOUNT)
    assert payment.first_ms == 777
    assert world.totals()[0] == Sum(1, 777) and world.word(layout.BOOKS_DISCREPANCIES_AT) == 1


@pytest.mark.parametrize("doubted", [False, True])
def test_a_record_of_another_time_was_charged_before_and_stands_beside_the_books(doubted: bool) -> None:
    world = World()
    attempt = told(world, doubted=doubted)
    world.end(world.start(), Outcome(Verdict.FOUND, attempt.requested_ms - 86_400_000, 1234))
    assert world.payment(1).state == CHARGED_BEFORE
    assert world.books.totals()[:3] == ((NOTHING, NOTHING), NOTHING, Sum(1, 1234))
    assert not world.dispatcher.has_work


@pytest.mark.parametrize("doubted", [False, True])
def test_words_that_contradict_each_other_make_a_dead_letter_that_is_asked_for_now_and_then(doubted: bool) -> None:
    world = World()
    attempt = told(world, doubted=doubted)
    asked = ask(world, outcome.ABSENT)
    assert life.CONTRADICTIONS_MAX < len(asked) < 2 * life.CONTRADICTIONS_MAX
    assert asked[-1] - asked[-2] >= 2 * life.DEAD_FIRST_MS  # rarely, ...
    kept = world.books.parked(1, 1)
    assert kept is not None and kept.reason == layout.REASON_CONTRADICTION
    assert kept.state in (PROCESSING, layout.ALREADY)  # ... and pending: neither failed nor completed
    assert world.books.totals()[:3] == ((NOTHING, NOTHING), NOTHING, NOTHING) and world.word(layout.BOOKS_DEAD_AT) == 1
    assert not world.dispatcher.has_work
    world.restart()
    assert not world.dispatcher.has_work and world.dispatcher.open_payments() == 1
    ask(world, Outcome(Verdict.FOUND, attempt.requested_ms, 1234), ms=life.DEAD_FIRST_MS)
    assert world.totals()[0] == Sum(1, 1234) and world.word(layout.BOOKS_DEAD_AT) == 0


@pytest.mark.parametrize("answer", [outcome.FAILED, outcome.REFUSED, outcome.REJECTED, outcome.UNKNOWN])
def test_already_there_after_an_unknown_outcome_is_settled_unconfirmed_when_no_lookup_can_be_had(
    answer: Outcome,
) -> None:
    world = World()
    attempt = told(world, doubted=True)
    asked = ask(world, answer)
    assert len(asked) == life.LOOKUPS_MAX and asked[-1] > 3000
    assert world.books.window(attempt.requested_ms, attempt.requested_ms) == (Sum(1, 1234), NOTHING)
    assert world.payment(1).reason == layout.REASON_UNCONFIRMED
    assert world.word(layout.BOOKS_UNCONFIRMED_AT) == 1
    assert not world.router.observed[DEFAULT].is_open


def test_already_there_to_the_first_request_without_a_lookup_is_a_dead_letter_also_through_a_crash() -> None:
    for crash in (False, True):
        world = World()
        told(world, doubted=False)
        if crash:
            world.restart()
        ask(world, outcome.UNKNOWN)
        kept = world.books.parked(1, 1)
        assert kept is not None and (kept.state, kept.reason) == (layout.ALREADY, layout.REASON_NO_LOOKUP)
        assert world.books.totals()[:3] == ((NOTHING, NOTHING), NOTHING, NOTHING)


def test_lookups_are_not_held_up_by_payments_that_wait_for_room() -> None:
    world = World(in_flight_max=1)
    world.accept(1)
    world.end(world.start(), outcome.UNKNOWN)
    (again,) = world.start(later_ms=100)
    world.end([again], outcome.ALREADY)
    world.accept(2)
    sent = world.start()
    assert sorted(attempt.lookup for attempt in sent) == [False, True]


# --- ids that were here before ---------------------------------------------------------------------------------------


def test_an_id_that_may_have_been_here_before_is_looked_up_everywhere_before_anything_is_sent() -> None:
    world = World()
    world.accept(1, seen=True)
    assert world.start() == []
    lookups = world.start()
    assert [(one.lookup, one.processor) for one in lookups] == [(True, DEFAULT), (True, FALLBACK)]
    assert world.payment(1).state == QUEUED
    world.end(lookups, outcome.ABSENT)
    (attempt,) = world.start()
    assert not attempt.lookup and attempt.processor == DEFAULT
    world.end([attempt], outcome.CHARGED)
    assert world.totals()[0] == Sum(1, 1990) and not world.dispatcher.has_work


@pytest.mark.parametrize("processor", [DEFAULT, FALLBACK])
def test_one_that_a_processor_has_is_charged_before_and_never_sent(processor: int) -> None:
    world = World()
    world.accept(1, cents=500, seen=True)
    world.start()
    lookups = world.start()
    world.end(lookups[1 - processor : 2 - processor], outcome.ABSENT)
    world.end(lookups[processor : processor + 1], Outcome(Verdict.FOUND, START_MS - 5000, 500))
    payment = world.payment(1)
    assert (payment.state, payment.processor) == (CHARGED_BEFORE, processor)
    assert world.books.totals()[:3] == ((NOTHING, NOTHING), NOTHING, Sum(1, 500))
    assert not world.dispatcher.has_work and world.start(later_ms=5000) == []


def test_a_lookup_that_cannot_be_had_holds_the_payment_back_and_the_others_go_on() -> None:
    world = World(slots=64)
    world.accept(1, seen=True)
    sent = []
    for number in range(2, 40):
        world.accept(number)
        for attempt in world.start(later_ms=1000):
            if attempt.id_low != 1:
                world.end([attempt], outcome.CHARGED)
                continue
            assert attempt.lookup
            sent.append(attempt)
            world.end([attempt], outcome.UNKNOWN if attempt.processor == FALLBACK else outcome.ABSENT)
    assert 5 < len(sent) < 30
    kept = world.books.parked(1, 1)
    assert kept is not None and kept.state == QUEUED and kept.is_seen
    world.restart()
    lookups = [attempt for attempt in world.start() if attempt.id_low == 1]
    assert [one.processor for one in lookups] == [DEFAULT, FALLBACK]
    world.end(lookups, outcome.ABSENT)
    (attempt,) = world.start()
    assert attempt.id_low == 1 and not attempt.lookup


# --- clocks ----------------------------------------------------------------------------------------------------------


def test_a_wall_clock_set_forward_by_a_day_ages_nothing() -> None:
    world = World()
    world.accept(1)
    world.end(world.start(), outcome.FAILED)
    world.wall_ahead_ms += 90_000_000
    world.end(world.start(later_ms=100), outcome.CHARGED)
    assert world.totals()[0].payments == 1 and world.totals()[2].payments == 0


def test_a_payment_is_given_up_by_the_engines_clock_though_the_wall_clock_stands() -> None:
    world = World()
    world.accept(1)
    world.end(world.start(), outcome.FAILED)
    world.wall_ahead_ms -= 60_000
    world.start(later_ms=60_000)
    assert world.totals()[2].payments == 1


def test_a_record_from_a_time_that_came_twice_is_for_a_person() -> None:
    world = World()
    world.accept(1)
    (first,) = world.start()
    world.end([first], outcome.FAILED)
    world.wall_ahead_ms -= 5000
    sent = world.start(later_ms=50)
    while not sent:
        sent = world.start(later_ms=50)
    world.end(sent, outcome.UNKNOWN)
    _, (lookup,) = world.start_all()
    world.end([lookup], Outcome(Verdict.FOUND, first.requested_ms - 1000, 1990))
    kept = world.books.parked(1, 1)
    assert kept is not None and kept.reason == layout.REASON_CLOCK
    assert world.books.totals()[:3] == ((NOTHING, NOTHING), NOTHING, NOTHING)


# --- unforeseen cases ------------------------------------------------------------------------------------------------


def test_a_payment_that_makes_deciding_raise_is_a_dead_letter_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    after_lookup = life.after_lookup

    def broken(course: life.Course, ended: Outcome, payment: object, spans: object) -> life.Decision:
        if ended.cents == 13:
            raise OverflowError("int too large")
        return after_lookup(course, ended, payment, spans)  # type: ignore[arg-type]

    monkeypatch.setattr(life, "after_lookup", broken)
    world = World()
    for number in (1, 2):
        world.accept(number)
    attempts = world.start()
    world.end(attempts, outcome.UNKNOWN)
    _, lookups = world.start_all()
    world.end([lookups[0]], Outcome(Verdict.FOUND, attempts[0].requested_ms, 13))
    world.end([lookups[1]], Outcome(Verdict.FOUND, attempts[1].requested_ms, 1990))
    kept = world.books.parked(1, 1)
    assert kept is not None and (kept.state, kept.reason) == (PROCESSING, layout.REASON_ERROR)
    assert world.dispatcher.errors == 1 and world.totals()[0].payments == 1


def test_a_dead_letter_has_no_request_under_way_that_would_settle_it_at_another_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> life.Decision:
        raise OverflowError("int too large")

    world = World()
    world.accept(1)
    world.end(world.start(), outcome.UNKNOWN)
    _, (lookup,) = world.start_all()
    (again,) = world.start(later_ms=100)
    with monkeypatch.context() as context:
        context.setattr(life, "after_lookup", broken)
        world.end([lookup], outcome.ABSENT)
    assert world.dispatcher.take_dropped() == [again]
    world.end([again], outcome.CHARGED)
    assert world.dispatcher.open_payments() == 1 and world.totals()[0].payments == 0
    world.end(world.start(later_ms=life.DEAD_FIRST_MS), Outcome(Verdict.FOUND, again.requested_ms, 1990))
    assert world.dispatcher.open_payments() == 0 and world.totals()[0].payments == 1
    assert world.word(layout.BOOKS_PARKED_KEPT_AT) == 0


def test_sums_beyond_64_bits_are_exact() -> None:
    world = World(give_up_ms=86_400_000)
    cents = 2**62 - 1  # far beyond what intake takes
    for number in range(9):
        world.accept(number, cents=cents)
        world.end(world.start(later_ms=61_000), outcome.CHARGED)
    assert world.totals()[0] == Sum(9, 9 * cents)
    assert world.books.window(None, None)[0] == Sum(9, 9 * cents)
