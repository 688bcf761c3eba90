"""What the dispatcher promises of a payment's life."""

from __future__ import annotations

import pytest

from engine.books.reader import Sum
from engine.connectors import answers as outcome
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch.dispatcher import OVERDUE_SWEEP_MS
from engine.dispatch.starting import OVERDUE_MS
from engine.memory import layout
from engine.memory.layout import COMPLETED, FAILED, PARKED, PROCESSING, QUEUED
from engine.processors import DEFAULT, FALLBACK

from .world import START_MS, World

NOTHING = Sum(0, 0)


def test_a_charged_payment_is_completed_and_counted_under_the_time_that_was_sent() -> None:
    world = World()
    world.accept(1, cents=1234)
    (attempt,) = world.start()
    assert (attempt.processor, attempt.cents, attempt.requested_ms) == (DEFAULT, 1234, START_MS + 1000)
    world.end([attempt], outcome.CHARGED, later_ms=50)
    payment = world.payment(1)
    assert (payment.state, payment.processor, payment.attempts) == (COMPLETED, DEFAULT, 1)
    assert (payment.requested_ms, payment.settled_ms) == (START_MS + 1000, START_MS + 1050)
    assert world.books.window(START_MS + 1000, START_MS + 1000) == (Sum(1, 1234), NOTHING)
    assert not world.dispatcher.has_work


def test_the_processor_is_stored_before_the_request_is_sent() -> None:
    world = World()
    world.accept(1)
    (attempt,) = world.start()
    payment = world.payment(1)
    assert (payment.state, payment.processor, payment.requested_ms) == (PROCESSING, DEFAULT, attempt.requested_ms)


def test_a_payment_that_was_certainly_not_charged_may_go_to_the_other_processor() -> None:
    world = World()
    for number in range(3):
        world.accept(number)
    world.end(world.start(), outcome.FAILED)
    assert all(world.payment(number).state == QUEUED for number in range(3))
    assert not world.start()  # whether default recovers is worth a moment
    attempts = world.start(later_ms=20)
    assert [attempt.processor for attempt in attempts] == [FALLBACK] * 3
    world.end(attempts, outcome.CHARGED)
    assert world.totals() == (NOTHING, Sum(3, 3 * 1990), NOTHING)
    assert world.payment(0).attempts == 2


@pytest.mark.parametrize("refusal", [outcome.FAILED, outcome.REJECTED, outcome.REFUSED, outcome.UNKNOWN])
def test_an_unknown_payment_never_leaves_its_processor_whatever_comes_after(refusal: Outcome) -> None:
    world = World()
    world.accept(1)
    (attempt,) = world.start()
    world.end([attempt], outcome.UNKNOWN)
    for _ in range(30):
        for again in world.start(later_ms=500):
            assert (again.processor, again.requested_ms, again.cents) == (DEFAULT, attempt.requested_ms, 1990)
            world.end([again], refusal)
    assert world.payment(1).state == PROCESSING
    (again,) = world.start(later_ms=5000)
    world.end([again], outcome.CHARGED)
    assert world.totals() == (Sum(1, 1990), NOTHING, NOTHING)


def test_an_unknown_payment_does_not_hold_up_the_others() -> None:
    world = World()
    world.accept(1)
    (attempt,) = world.start()
    world.end([attempt], outcome.UNKNOWN)
    world.accept(2)
    assert [again.id_low for again in world.start()] == [2]


def test_after_a_crash_a_payment_in_flight_is_asked_of_the_same_processor_with_the_same_body() -> None:
    world = World()
    world.accept(1)
    (attempt,) = world.start()
    world.mono_ms += 700
    world.restart()
    (again,) = world.start()
    assert (again.processor, again.requested_ms) == (DEFAULT, attempt.requested_ms)
    world.end([again], outcome.FAILED)  # a refusal now proves nothing of the first attempt
    assert world.payment(1).state == PROCESSING


def test_after_a_crash_everything_unfinished_is_taken_up_and_nothing_else() -> None:
    world = World(rings=2)
    for number in range(10):
        world.accept(number, ring=number % 2)
    attempts = sorted(world.start(), key=lambda attempt: attempt.id_low)
    world.end(attempts[:4], outcome.CHARGED)
    world.end(attempts[4:6], outcome.FAILED)
    world.accept(10)
    world.restart()
    again = world.start()
    assert sorted(attempt.id_low for attempt in again) == [4, 5, 6, 7, 8, 9, 10]
    world.end(again, outcome.CHARGED)
    assert world.totals() == (Sum(11, 11 * 1990), NOTHING, NOTHING)


def test_of_what_is_sent_again_the_oldest_goes_first_whatever_failed_first() -> None:
    world = World()
    for number in range(2):
        world.accept(number)
    older, younger = world.start()
    world.end([younger], outcome.FAILED)
    world.end([older], outcome.FAILED)
    assert [attempt.id_low for attempt in world.start()] == [0, 1]


def test_what_waits_costs_no_object_even_after_a_crash() -> None:
    world = World(slots=1024)
    for number in range(1000):
        world.accept(number)
    world.restart()
    assert world.dispatcher.waiting == 1000
    assert world.dispatcher.work.backlog.objects == 0


def test_no_more_is_in_flight_at_a_processor_than_its_limit() -> None:
    world = World(in_flight_max=5)
    for number in range(60):
        world.accept(number)
    sent = world.start() + world.start(later_ms=1)
    assert len([attempt for attempt in sent if attempt.processor == DEFAULT]) == 5
    assert world.dispatcher.in_flight <= 10


def test_a_payment_too_old_is_given_up_and_counted_as_failed() -> None:
    world = World()
    world.accept(1, cents=500)
    world.end(world.start(), outcome.FAILED)
    assert world.start(later_ms=60_000) == []
    assert world.payment(1).state == FAILED
    assert world.totals() == (NOTHING, NOTHING, Sum(1, 500))


def test_an_unknown_payment_is_never_given_up() -> None:
    world = World()
    world.accept(1)
    world.end(world.start(), outcome.UNKNOWN)
    (again,) = world.start(later_ms=120_000)
    assert again.id_low == 1 and world.totals()[2] == NOTHING


def test_the_oldest_payment_of_all_rings_goes_first() -> None:
    world = World(rings=3)
    for number in range(6):
        world.accept(number, ring=2 - number % 3)
        world.mono_ms += 1
    assert [attempt.id_low for attempt in world.start()] == [0, 1, 2, 3, 4, 5]


def _both_down(world: World) -> None:
    """Both processors fail; payment 0 was settled by neither and waits."""
    world.accept(0)
    for observed in world.router.observed:
        observed.health(world.mono_ms, True, 0)
    for _ in range(9):
        world.end(world.start(later_ms=200), outcome.FAILED)
    assert world.router.observed[DEFAULT].is_open and world.router.observed[FALLBACK].is_open
    assert world.payment(0).state == QUEUED


def test_a_probe_is_for_the_newest_payment_and_when_it_fails_that_still_has_its_place() -> None:
    world = World(rings=2)
    _both_down(world)
    for number in range(1, 7):
        world.mono_ms += 1
        world.accept(number, ring=number % 2)
    probes = world.start(later_ms=200)
    assert [(probe.processor, probe.id_low) for probe in probes] == [(DEFAULT, 6), (FALLBACK, 5)]
    assert world.dispatcher.waiting == 5
    world.end(probes, outcome.FAILED)
    assert world.dispatcher.waiting == 7
    probes = world.start(later_ms=200)
    assert [probe.id_low for probe in probes] == [6, 5]
    world.end(probes[:1], outcome.CHARGED)
    rest = world.start()
    assert [attempt.id_low for attempt in rest] == [0, 1, 2, 3, 4]
    world.end([*rest, probes[1]], outcome.CHARGED)
    assert world.totals() == (Sum(6, 6 * 1990), Sum(1, 1990), NOTHING)
    world.accept(7)
    assert [attempt.id_low for attempt in world.start()] == [7]


def test_a_probe_that_fails_when_those_behind_it_were_sent_is_sent_next() -> None:
    world = World()
    _both_down(world)
    for number in range(1, 4):
        world.accept(number)
    default, fallback = world.start(later_ms=200)
    world.end([default], outcome.CHARGED)
    world.accept(4)
    assert [attempt.id_low for attempt in world.start()] == [0, 1, 4]
    world.end([fallback], outcome.FAILED)
    assert [attempt.id_low for attempt in world.start()] == [fallback.id_low] == [2]


def test_a_probe_of_one_ring_that_fails_does_not_go_before_older_payments_of_another() -> None:
    world = World(rings=2)
    _both_down(world)
    for number in range(1, 6):
        world.mono_ms += 1
        world.accept(number, ring=number == 5)
    probes = world.start(later_ms=200)
    assert [probe.id_low for probe in probes] == [5, 4]  # all of the second ring: its cursor passes it
    assert not world.start(later_ms=1)
    world.end(probes, outcome.FAILED)
    default, fallback = world.start(later_ms=200)
    assert (default.id_low, fallback.id_low) == (4, 3)
    world.end([default], outcome.CHARGED)
    assert [attempt.id_low for attempt in world.start()] == [0, 1, 2, 5]


def test_after_a_crash_in_an_outage_what_waits_costs_no_object_though_probes_are_among_it() -> None:
    world = World(slots=1024)
    _both_down(world)
    for number in range(1, 900):
        world.accept(number)
    for _ in range(3):  # probes that are in flight, with newer payments behind them
        assert world.start(later_ms=200)
        world.accept(world.mono_ms)
    waiting = world.dispatcher.waiting
    world.restart()
    assert world.dispatcher.waiting == waiting
    assert world.dispatcher.work.backlog.objects == 0
    ended = world.start()
    while ended:
        world.end(ended, outcome.CHARGED)
        ended = world.start(later_ms=100)
    assert sum(total.payments for total in world.totals()) == 903


def test_after_a_crash_in_a_probe_everything_before_it_is_taken_up_in_order() -> None:
    world = World()
    _both_down(world)
    for number in range(1, 5):
        world.accept(number)
    probes = world.start(later_ms=200)
    world.restart()
    again = world.start()
    assert [attempt.id_low for attempt in again if attempt.tries] == [probe.id_low for probe in probes] == [4, 3]
    assert [attempt.id_low for attempt in again if not attempt.tries] == [0, 1, 2]
    world.end(again, outcome.CHARGED)
    assert world.totals() == (Sum(4, 4 * 1990), Sum(1, 1990), NOTHING) and not world.dispatcher.has_work


def test_a_purge_forgets_probes_too() -> None:
    world = World()
    _both_down(world)
    for number in range(1, 5):
        world.accept(number)
    assert len(world.start(later_ms=200)) == 2
    world.writers[0].words[layout.RING_PURGE_ASKED_AT] += 1
    assert world.dispatcher.purge_if_asked(world.now)
    assert world.dispatcher.waiting == 0
    world.accept(5)
    assert world.dispatcher.waiting == 1


def test_a_purge_forgets_what_waits_what_is_in_flight_and_the_books() -> None:
    world = World()
    world.accept(1)
    world.end(world.start(), outcome.CHARGED)
    world.accept(2)
    world.start()
    world.accept(3)
    world.writers[0].words[layout.RING_PURGE_ASKED_AT] += 1
    assert world.dispatcher.purge_if_asked(world.now)
    assert not world.dispatcher.purge_if_asked(world.now)
    assert world.totals() == (NOTHING, NOTHING, NOTHING)
    assert not world.dispatcher.has_work
    assert all(world.writers[0].find(number, number) is None for number in (1, 2, 3))
    world.accept(4)
    world.end(world.start(), outcome.CHARGED)
    assert world.totals()[0] == Sum(1, 1990)
    assert world.books.window(START_MS, START_MS + 2000)[0] == Sum(1, 1990)


def test_a_full_ring_takes_payments_again_once_its_oldest_is_settled() -> None:
    world = World(slots=64, in_flight_max=64)
    for number in range(64):
        world.accept(number)
    assert not world.writers[0].put(99, 99, 1990, START_MS, 0)
    attempts = world.start()
    world.end(attempts[1:], outcome.CHARGED)
    assert not world.writers[0].put(99, 99, 1990, START_MS, 0)
    world.end(attempts[:1], outcome.CHARGED)
    world.accept(99)
    world.end(world.start(), outcome.CHARGED)
    assert world.totals()[0] == Sum(65, 65 * 1990)


def _unknown_for_long(world: World) -> None:
    """Payment 1 was sent to default, which has said nothing for so long that it is parked."""
    world.accept(1, cents=1234)
    world.end(world.start(), outcome.UNKNOWN)
    world.end(world.start(later_ms=20_000), outcome.UNKNOWN)
    world.end(world.start(later_ms=1000), outcome.UNKNOWN)
    assert world.payment(1).state == PARKED


def test_a_payment_unknown_for_long_gives_its_slot_back_and_is_still_settled_once() -> None:
    world = World(slots=64, in_flight_max=100)
    _unknown_for_long(world)
    for number in range(2, 66):
        world.accept(number)
    world.router.observed[DEFAULT].health(world.mono_ms, False, 0)
    kept = world.books.parked(1, 1)
    assert kept is not None and (kept.state, kept.cents, kept.processor) == (PROCESSING, 1234, DEFAULT)
    attempts = world.start(later_ms=3000) + world.start()
    (again,) = [attempt for attempt in attempts if attempt.id_low == 1]
    assert (again.processor, again.requested_ms, again.cents) == (DEFAULT, START_MS + 1000, 1234)
    world.end(attempts, outcome.CHARGED)
    settled = world.books.parked(1, 1)
    assert settled is not None and settled.state == COMPLETED
    assert sum(total.payments for total in world.totals()) == 65
    assert not world.dispatcher.has_work


def test_what_is_parked_survives_a_crash() -> None:
    world = World()
    _unknown_for_long(world)
    world.restart()
    (again,) = world.start()
    assert (again.id_low, again.processor, again.requested_ms) == (1, DEFAULT, START_MS + 1000)
    world.end([again], outcome.FAILED)  # proves nothing
    world.end(world.start(later_ms=3000), outcome.ALREADY)
    world.end(world.start(later_ms=3000), Outcome(Verdict.FOUND, START_MS + 1000, 1234))
    assert world.books.window(START_MS + 1000, START_MS + 1000) == (Sum(1, 1234), NOTHING)


def test_with_no_room_parked_a_payment_keeps_its_slot() -> None:
    world = World(slots=256, in_flight_max=256)
    for number in range(200):
        world.accept(number)
    attempts = [attempt for _ in range(4) for attempt in world.start()]
    world.end(attempts, outcome.UNKNOWN)
    world.start(later_ms=20_000)
    states = [world.payment(number).state for number in range(200)]
    assert 32 <= states.count(PARKED) <= 64
    assert states.count(PARKED) + states.count(PROCESSING) == 200


def test_where_no_parked_place_is_recorded_a_payment_keeps_its_slot_and_is_still_settled() -> None:
    world = World(slots=256, in_flight_max=256, waits_for_ledger=True)
    for number in range(200):
        world.accept(number)
    attempts = [attempt for _ in range(4) for attempt in world.start()]
    world.end(attempts, outcome.UNKNOWN)
    world.start(later_ms=20_000)
    parked = [number for number in range(200) if world.payment(number).state == PARKED]
    assert 32 <= len(parked) <= 64
    world.router.observed[DEFAULT].health(world.mono_ms, False, 0)
    for _ in range(8):
        world.end(world.start(later_ms=3000), outcome.CHARGED)
    assert world.totals()[0] == Sum(200, 200 * 1990)
    assert [world.books.parked(number, number) is not None for number in parked] == [True] * len(parked), (
        "SQL has none of them, so none is forgotten"
    )


def test_a_purge_forgets_what_is_parked() -> None:
    world = World()
    _unknown_for_long(world)
    world.writers[0].words[layout.RING_PURGE_ASKED_AT] += 1
    assert world.dispatcher.purge_if_asked(world.now)
    assert world.books.parked(1, 1) is None
    world.restart()
    assert not world.dispatcher.has_work


def _ask_for_a_purge(world: World, ring: int = 0) -> int:
    world.writers[ring].words[layout.RING_PURGE_ASKED_AT] += 1
    return world.writers[ring].words[layout.RING_PURGE_ASKED_AT]


def _decided(world: World, ring: int = 0) -> tuple[int, int]:
    """Up to which number purges are decided, and which was the last that was carried out."""
    words = world.writers[ring].words
    return words[layout.RING_PURGE_DONE_AT], words[layout.RING_PURGED_AT]


def test_where_the_ledger_is_waited_for_a_purge_is_carried_out_when_sql_has_what_was_there() -> None:
    world = World(rings=2, waits_for_ledger=True)
    world.accept(1)
    asked = _ask_for_a_purge(world)
    assert not world.dispatcher.purge_if_asked(world.now)
    wake_ms = world.dispatcher.wake_ms(world.mono_ms)
    assert wake_ms is not None and wake_ms <= world.mono_ms + 20, "the ledger rings no bell"
    world.writers[0].words[layout.RING_LEDGER_PURGE_AT] = asked + 1  # of other memory, perhaps
    world.mono_ms += 1999
    assert not world.dispatcher.purge_if_asked(world.now)
    assert world.writers[0].forgotten_below == 0 and _decided(world) == (0, 0)
    world.writers[0].words[layout.RING_LEDGER_PURGE_AT] = asked
    assert world.dispatcher.purge_if_asked(world.now)
    assert world.writers[0].forgotten_below == 1 and _decided(world) == (1, 1)
    assert not world.dispatcher.purge_if_asked(world.now)


def test_a_purge_that_the_ledger_does_not_cover_in_time_is_refused_and_nothing_of_it_happens() -> None:
    world = World(waits_for_ledger=True)
    world.accept(1)
    (attempt,) = world.start()
    _ask_for_a_purge(world)
    assert not world.dispatcher.purge_if_asked(world.now)
    world.mono_ms += 2000
    assert not world.dispatcher.purge_if_asked(world.now)
    assert _decided(world) == (1, 0) and world.writers[0].forgotten_below == 0
    world.writers[0].words[layout.RING_LEDGER_PURGE_AT] = 1
    assert not world.dispatcher.purge_if_asked(world.now), "it was refused"
    world.end([attempt], outcome.CHARGED)
    assert world.totals()[0] == Sum(1, 1990)
    second = _ask_for_a_purge(world)
    assert not world.dispatcher.purge_if_asked(world.now), "the next one has its own time"
    world.writers[0].words[layout.RING_LEDGER_PURGE_AT] = second
    assert world.dispatcher.purge_if_asked(world.now)
    assert _decided(world) == (2, 2) and world.totals()[0] == NOTHING


def test_a_purge_that_nobody_waits_for_any_more_does_not_happen_when_a_dispatcher_comes_back() -> None:
    world = World(waits_for_ledger=True)
    world.accept(1)
    asked = _ask_for_a_purge(world)
    words = world.writers[0].words
    words[layout.RING_PURGE_WITHDRAWN_AT] = words[layout.RING_LEDGER_PURGE_AT] = asked
    world.restart()
    assert not world.dispatcher.purge_if_asked(world.now)
    assert _decided(world) == (1, 0) and world.writers[0].forgotten_below == 0


def test_without_a_ledger_a_purge_waits_for_nothing() -> None:
    world = World()
    world.accept(1)
    _ask_for_a_purge(world)
    assert world.dispatcher.purge_if_asked(world.now)
    assert _decided(world) == (1, 1)


def test_a_processor_that_does_not_answer_in_its_usual_time_is_asked_whether_it_has_charged() -> None:
    world = World()
    world.accept(1, cents=1234)
    (attempt,) = world.start()
    assert world.start_all(later_ms=OVERDUE_MS - 1) == ([], [])
    _, (lookup,) = world.start_all(later_ms=OVERDUE_SWEEP_MS)
    assert lookup.lookup and lookup.processor == DEFAULT and lookup.id_low == 1
    world.end([lookup], Outcome(Verdict.FOUND, attempt.requested_ms, 1234))
    assert world.dispatcher.take_dropped() == [attempt]
    assert world.books.window(attempt.requested_ms, attempt.requested_ms) == (Sum(1, 1234), NOTHING)
    assert not world.dispatcher.has_work
    world.end([attempt], outcome.CHARGED)  # its end was on the way: it counts once
    assert world.totals()[0] == Sum(1, 1234)


@pytest.mark.parametrize("answer", [outcome.ABSENT, outcome.UNKNOWN, outcome.FAILED])
def test_a_lookup_that_does_not_find_the_payment_says_nothing_and_is_asked_again_ever_more_seldom(
    answer: Outcome,
) -> None:
    world = World()
    world.accept(1)
    (attempt,) = world.start()
    asked = []
    for _ in range(90):
        _, lookups = world.start_all(later_ms=100)
        asked += [world.mono_ms - 1000 for _ in lookups]
        world.end(lookups, answer, later_ms=0)
    assert 3 <= len(asked) <= 6 and asked[0] <= OVERDUE_MS + OVERDUE_SWEEP_MS
    assert world.payment(1).state == PROCESSING and not world.dispatcher.take_dropped()
    world.end([attempt], outcome.CHARGED)
    assert world.totals()[0] == Sum(1, 1990)


def test_a_processor_that_is_slow_as_usual_is_not_asked() -> None:
    world = World()
    for number in range(20):
        world.accept(number)
        world.end(world.start(), outcome.CHARGED, later_ms=2000)
    world.accept(99)
    attempts = world.start()
    assert world.start_all(later_ms=1900) == ([], [])
    world.end(attempts, outcome.CHARGED)


def test_an_unknown_payment_is_asked_for_at_once_and_settled_when_the_processor_has_it() -> None:
    world = World()
    world.accept(1)
    (attempt,) = world.start()
    world.end([attempt], outcome.UNKNOWN)
    _, (lookup,) = world.start_all()
    assert lookup.lookup and lookup.processor == DEFAULT
    (again,), _ = world.start_all(later_ms=100)  # sent again meanwhile
    world.end([lookup], Outcome(Verdict.FOUND, attempt.requested_ms, 1990))
    assert world.dispatcher.take_dropped() == [again]
    world.end([again], outcome.ALREADY)
    assert world.totals()[0] == Sum(1, 1990) and not world.dispatcher.has_work


def test_what_a_killed_dispatcher_had_in_flight_is_looked_up_at_once_and_again_until_it_must_be_there() -> None:
    world = World()
    for number in range(2):
        world.accept(number)
    world.start()
    world.restart()
    sent, questions = world.start_all()
    assert [attempt.id_low for attempt in questions] == [0, 1]
    assert [attempt.id_low for attempt in sent] == [0, 1]
    first = world.dispatcher.work.in_flight[questions[0].ticket]
    assert first is questions[0] and questions[0].ticket < sent[0].ticket  # it leaves before the request
    # The first request is charged only now: nobody waits for its answer, and the next question finds it.
    world.end(questions, outcome.ABSENT, later_ms=0)
    _, again = world.start_all(later_ms=50)
    world.end(again, Outcome(Verdict.FOUND, sent[0].requested_ms, 1990))
    assert world.totals() == (Sum(2, 2 * 1990), NOTHING, NOTHING)
    assert sorted(attempt.id_low for attempt in world.dispatcher.take_dropped()) == [0, 1]


def test_these_lookups_end_and_go_with_a_purge() -> None:
    world = World()
    world.accept(0)
    world.start()
    world.restart()
    asked = 0
    for _ in range(40):
        _, questions = world.start_all(later_ms=10)
        asked += len(questions)
        world.end(questions, outcome.ABSENT, later_ms=0)
    assert 3 <= asked <= 5  # at 0, 50, 150 and 350 ms
    world.writers[0].words[layout.RING_PURGE_ASKED_AT] += 1
    assert world.dispatcher.purge_if_asked(world.now)
    assert world.start_all(later_ms=1000) == ([], [])
