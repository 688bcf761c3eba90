"""What is promised of operators' acts: only what is safe is done, once, and it is counted where it belongs."""

from __future__ import annotations

import pytest

from engine.acts import rules
from engine.books.reader import Sum
from engine.connectors import answers as outcome
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch.attempt import Attempt
from engine.memory import acts_layout, layout
from engine.memory.acts_layout import Act, Carried, Result
from engine.memory.layout import CHARGED_BEFORE, COMPLETED, FAILED, PARKED, PROCESSING, QUEUED
from engine.processors import DEFAULT, FALLBACK
from engine.situation import Flow

from .world import World

NOTHING = Sum(0, 0)


def unknown(world: World, number: int = 1, cents: int = 1234) -> Attempt:
    """Payment ``number`` is sent to default, and its outcome is not known."""
    world.accept(number, cents=cents)
    (attempt,) = world.start()
    world.end([attempt], outcome.UNKNOWN)
    return attempt


def live(world: World, ms: int, step_ms: int = 1000) -> list[Attempt]:
    """Lets time pass; whatever is sent ends unknown, lookups find nothing. What was sent, lookups left out."""
    sent = []
    for _ in range(ms // step_ms):
        attempts = world.start(later_ms=step_ms)
        sent += [one for one in attempts if not one.lookup]
        for one in attempts:
            world.end([one], outcome.ABSENT if one.lookup else outcome.UNKNOWN, later_ms=0)
    return sent


def dead(world: World, number: int = 1, cents: int = 1234) -> Attempt:
    """Payment ``number`` becomes a dead letter: unknown for too long."""
    attempt = unknown(world, number, cents)
    live(world, 130_000)
    assert world.parked(number).reason == layout.REASON_UNKNOWN
    return attempt


def failed(world: World, number: int = 1, cents: int = 1234) -> None:
    """Payment ``number`` is given up, because no processor could take it in time."""
    world.accept(number, cents=cents)
    world.start(later_ms=0)  # it is in flight: it comes back, not charged
    world.end(list(world.dispatcher.work.in_flight.values()), outcome.FAILED)
    world.start(later_ms=70_000)
    assert world.payment(number).state == FAILED


@pytest.fixture
def world() -> World:
    return World(dead_letter_ms=120_000)


# --- dead letters by time --------------------------------------------------------------------------------------------


def test_what_is_unknown_for_too_long_is_a_dead_letter_which_is_only_looked_up(world: World) -> None:
    unknown(world)
    assert live(world, 110_000) and world.word(layout.BOOKS_DEAD_AT) == 0
    live(world, 20_000)
    assert world.word(layout.BOOKS_DEAD_AT) == 1 and world.parked(1).state == PROCESSING
    assert live(world, 3_600_000, step_ms=10_000) == []
    assert not world.dispatcher.has_work
    world.restart()
    assert live(world, 600_000, step_ms=10_000) == [] and world.word(layout.BOOKS_DEAD_AT) == 1


def test_a_payment_that_waited_for_long_is_no_dead_letter_when_it_is_sent() -> None:
    world = World(dead_letter_ms=120_000, give_up_ms=86_400_000)
    world.accept(1)
    world.mono_ms += 600_000
    (attempt,) = world.start()
    world.end([attempt], outcome.UNKNOWN)
    assert live(world, 60_000) and world.word(layout.BOOKS_DEAD_AT) == 0


def test_a_wall_clock_that_is_set_forward_makes_no_dead_letter(world: World) -> None:
    unknown(world)
    world.wall_ahead_ms += 86_400_000
    assert live(world, 60_000) and world.word(layout.BOOKS_DEAD_AT) == 0


def test_a_dead_letter_that_is_found_later_is_settled(world: World) -> None:
    attempt = dead(world)
    for _ in range(400):
        for one in world.start(later_ms=10_000):
            world.end([one], Outcome(Verdict.FOUND, attempt.requested_ms, 1234), later_ms=0)
    assert world.totals()[0] == Sum(1, 1234) and world.word(layout.BOOKS_DEAD_AT) == 0


# --- declaring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "state", "reason"),
    [
        (Act.CHARGED, CHARGED_BEFORE, layout.REASON_DECLARED),
        (Act.CANCEL, FAILED, layout.REASON_CANCELLED),
    ],
)
def test_what_a_person_declares_stands_beside_the_books(world: World, act: Act, state: int, reason: int) -> None:
    dead(world)
    live(world, rules.UNDER_WAY_MS, step_ms=10_000)
    assert world.act(act, 1) == Carried(Result.DONE, PROCESSING, layout.REASON_UNKNOWN, state, reason)
    totals = world.books.totals()
    assert totals.payments == 1 and totals == ((NOTHING, NOTHING), NOTHING, NOTHING, Sum(1, 1234))
    assert world.books.window(None, None) == (NOTHING, NOTHING)
    assert (world.parked(1).state, world.parked(1).reason) == (state, reason)
    assert world.payment(1).state == state
    assert world.word(layout.BOOKS_DEAD_AT) == world.word(layout.BOOKS_PARKED_KEPT_AT) == 0
    assert world.act(act, 1).result == Result.OVER and world.books.totals() == totals
    world.restart()
    assert world.dispatcher.open_payments() == 0 and live(world, 10_000) == []


def test_a_payment_is_not_cancelled_before_its_last_request_has_had_its_time(world: World) -> None:
    dead(world)
    assert world.act(Act.CANCEL, 1).result == Result.UNDER_WAY
    assert world.parked(1).state == PROCESSING and world.books.totals().declared == NOTHING
    live(world, rules.UNDER_WAY_MS, step_ms=10_000)
    assert world.act(Act.CANCEL, 1).result == Result.DONE


def test_an_answer_that_comes_after_the_declaration_changes_nothing(world: World) -> None:
    attempt = dead(world)
    lookups = list[Attempt]()
    while not lookups:
        lookups = world.start(later_ms=10_000)
    assert world.act(Act.CHARGED, 1).result == Result.DONE
    world.end(lookups, Outcome(Verdict.FOUND, attempt.requested_ms, 1234))
    assert world.totals() == (NOTHING, NOTHING, NOTHING) and world.books.totals().declared == Sum(1, 1234)
    assert world.dispatcher.in_flight == world.dispatcher.asking == 0


def test_what_may_be_charged_is_not_sent_again(world: World) -> None:
    dead(world)
    assert world.act(Act.RETRY, 1).result == Result.MAY_BE_CHARGED
    assert live(world, 600_000, step_ms=10_000) == []


def test_what_the_engine_works_on_is_left_alone(world: World) -> None:
    unknown(world)
    live(world, 30_000)  # parked by now
    for act in (Act.RETRY, Act.CHARGED, Act.CANCEL):
        assert world.act(act, 1).result == Result.NOT_DEAD
    assert world.act(Act.CANCEL, 77).result == Result.NOT_FOUND


def test_what_has_changed_since_the_operator_saw_it_is_left_alone(world: World) -> None:
    dead(world)
    seen = rules.seen(world.parked(1)._replace(reason=layout.REASON_CLOCK))
    assert world.act(Act.CHARGED, 1, expected=seen).result == Result.CHANGED
    assert world.books.totals().declared == NOTHING


# --- asking ----------------------------------------------------------------------------------------------------------


def test_asking_looks_up_at_once_and_what_is_found_is_settled(world: World) -> None:
    attempt = dead(world)
    live(world, 100_000, step_ms=10_000)
    sequence = world.ask(Act.ASK, 1)
    _, lookups = world.start_all()
    assert [(one.lookup, one.processor) for one in lookups] == [(True, DEFAULT)]
    result = world.result(sequence)
    assert result is not None and result.result == Result.DONE
    world.end(lookups, Outcome(Verdict.FOUND, attempt.requested_ms, 1234))
    assert world.totals()[0] == Sum(1, 1234) and world.dispatcher.asking == 0


def test_what_has_failed_is_asked_for_everywhere_and_stays_what_it_is(world: World) -> None:
    failed(world)
    world.ask(Act.ASK, 1)
    _, lookups = world.start_all()
    assert sorted(one.processor for one in lookups) == [DEFAULT, FALLBACK]
    world.end(lookups, outcome.ABSENT)
    assert world.parked(1).state == FAILED and world.dispatcher.asking == 0


# --- retry -----------------------------------------------------------------------------------------------------------


def test_what_was_given_up_holds_a_parking_place_and_is_sent_again_when_a_person_asks(world: World) -> None:
    failed(world, cents=500)
    assert world.books.totals().failed == Sum(1, 500)
    assert (world.parked(1).state, world.parked(1).reason) == (FAILED, layout.REASON_TOO_OLD)
    sequence = world.ask(Act.RETRY, 1)
    (attempt,) = [one for one in world.start(later_ms=1) if not one.lookup]
    assert world.result(sequence) == Carried(Result.DONE, FAILED, layout.REASON_TOO_OLD, QUEUED, 0)
    assert world.books.totals().failed == NOTHING and world.payment(1).state == PARKED
    world.end([attempt], outcome.CHARGED)
    assert world.totals() == (Sum(1, 500), NOTHING, NOTHING)
    assert world.parked(1).state == world.payment(1).state == COMPLETED
    assert world.act(Act.RETRY, 1).result == Result.OVER
    assert not world.dispatcher.has_work


def test_a_retry_is_given_up_again_when_its_new_time_is_over_and_may_be_repeated(world: World) -> None:
    failed(world, cents=500)
    for times in range(3):
        assert world.act(Act.RETRY, 1).result == Result.DONE
        world.end(list(world.dispatcher.work.in_flight.values()), outcome.FAILED)
        for _ in range(200):
            world.end(world.start(later_ms=1000), outcome.FAILED, later_ms=0)
        assert world.books.totals().failed == Sum(1, 500), times
    assert world.word(layout.BOOKS_PARKED_KEPT_AT) == 0


def test_a_retry_survives_a_crash_and_is_done_once(world: World) -> None:
    failed(world, cents=500)
    assert world.act(Act.RETRY, 1).result == Result.DONE
    world.restart()
    world.end([one for one in world.start(later_ms=1) if not one.lookup], outcome.CHARGED)
    live(world, 5000)
    default, fallback, lost = world.totals()
    assert default.payments + fallback.payments <= 1 and lost == NOTHING


# --- places of failed payments ---------------------------------------------------------------------------------------


def test_failed_payments_hold_half_of_the_places_at_most_and_the_others_are_counted() -> None:
    world = World(slots=1024, in_flight_max=1024)
    for number in range(1, 201):
        world.accept(number)
    world.end(world.start(), outcome.FAILED)
    world.mono_ms += 70_000
    for _ in range(20):
        world.start(later_ms=100)
    assert world.books.totals().failed.payments == 200
    held = [number for number in range(1, 201) if world.books.parked(number, number) is not None]
    assert 16 <= len(held) <= 32  # of 64 places
    assert world.word(layout.BOOKS_FAILED_DROPPED_AT) == 200 - len(held)
    assert world.word(layout.BOOKS_PARKED_KEPT_AT) == world.word(layout.BOOKS_DEAD_AT) == 0
    for number in range(1, 201):
        assert world.act(Act.RETRY, number).result == (Result.DONE if number in held else Result.NOT_FOUND)
    assert world.books.totals().failed.payments == 200 - len(held)


# --- pausing ---------------------------------------------------------------------------------------------------------


def test_a_paused_processor_gets_nothing_and_payments_do_not_wait_for_it(world: World) -> None:
    assert world.act(Act.PAUSE, processor=DEFAULT).result == Result.DONE
    assert world.act(Act.PAUSE, processor=DEFAULT).result == Result.AS_IT_IS
    for number in range(1, 6):
        world.accept(number)
    assert {one.processor for one in world.start(later_ms=10)} == {FALLBACK}
    assert world.router.situation(world.mono_ms, []).flow is Flow.TO_OTHER
    world.restart()
    world.accept(6)
    assert [one.processor for one in world.start(later_ms=10) if one.id_low == 6] == [FALLBACK]
    assert world.act(Act.RESUME, processor=DEFAULT).result == Result.DONE
    world.accept(7)
    assert [one.processor for one in world.start(later_ms=10) if one.id_low == 7] == [DEFAULT]


def test_what_is_in_flight_at_a_paused_processor_is_finished_and_what_is_unknown_is_looked_up(world: World) -> None:
    world.accept(1)
    world.accept(2)
    first, second = world.start()
    assert world.act(Act.PAUSE, processor=DEFAULT).result == Result.DONE
    world.end([first], outcome.CHARGED)
    world.end([second], outcome.UNKNOWN)
    assert world.totals()[0].payments == 1
    sent, lookups = world.start_all(later_ms=1)
    assert sent == [] and [one.id_low for one in lookups] == [2]
    world.end(lookups, outcome.ABSENT)
    assert live(world, 60_000) == []  # it belongs to the paused processor
    world.ask(Act.RESUME, processor=DEFAULT)
    assert [one.id_low for one in live(world, 5000)][:1] == [2]


def test_with_all_paused_payments_wait(world: World) -> None:
    for processor in (DEFAULT, FALLBACK):
        world.act(Act.PAUSE, processor=processor)
    world.accept(1)
    assert live(world, 30_000) == [] and world.payment(1).state == QUEUED
    assert world.act(Act.PAUSE, processor=9).result == Result.NOT_KNOWN


def test_a_purge_forgets_what_was_declared_and_leaves_what_is_paused(world: World) -> None:
    dead(world)
    assert world.act(Act.CHARGED, 1).result == Result.DONE
    failed(world, 2)
    world.act(Act.PAUSE, processor=DEFAULT)
    waiting = world.ask(Act.RETRY, 2)
    books = world.dispatcher.work.books
    books.begin(world.now.wall_ms)
    books.forget()
    books.commit()
    world.start(later_ms=1)
    assert world.books.totals().payments == 0 and world.word(layout.BOOKS_PAUSED_AT) == 1
    assert world.result(waiting) == Carried(Result.NOT_FOUND)
    assert world.books.totals().failed == NOTHING


def test_conservation_holds_between_any_two_acts(world: World) -> None:
    dead(world, 1)
    failed(world, 2)
    unknown(world, 3)
    for act in (Act.RETRY, Act.CHARGED, Act.CANCEL, Act.ASK):
        for number in (1, 2, 3):
            world.act(act, number)
            totals = world.books.totals()
            assert totals.payments + world.dispatcher.open_payments() == world.writers[0].head == 3


# --- once ------------------------------------------------------------------------------------------------------------


def test_the_result_of_the_last_command_is_told_again_by_a_new_dispatcher(world: World) -> None:
    dead(world)
    sequence = world.ask(Act.CHARGED, 1)
    world.start(later_ms=1)
    told = world.result(sequence)
    at = acts_layout.entry_offset(acts_layout.SLOTS, sequence) + acts_layout.ENTRY_RESULT
    world.commands[at] = 0  # as if it had died before it told
    assert world.result(sequence) is None
    world.restart()
    assert world.result(sequence) == told
    assert world.books.totals().declared == Sum(1, 1234)


def test_commands_of_one_pass_are_bounded_and_none_is_lost(world: World) -> None:
    sequences = [world.ask(Act.CANCEL, number) for number in range(1, 100)]
    world.start(later_ms=1)
    done = [one for one in sequences if world.result(one) is not None]
    assert 0 < len(done) < 20
    for _ in range(100):
        world.start(later_ms=1)
    assert all(world.result(one) == Carried(Result.NOT_FOUND) for one in sequences)
