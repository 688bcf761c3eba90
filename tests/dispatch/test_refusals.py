"""What is promised of payments that processors refuse, or fail, because of the payment itself."""

from __future__ import annotations

import pytest

from engine.connectors import answers as outcome
from engine.connectors.answers import Outcome
from engine.dispatch import life
from engine.dispatch.attempt import Attempt
from engine.memory import layout
from engine.memory.layout import COMPLETED, FAILED, PARKED, PROCESSING, QUEUED
from engine.processors import DEFAULT, FALLBACK

from .world import World

POISONED = 666
REFUSALS_MAX = 3  # the world's


def live(
    world: World, end: dict[int, Outcome], *, others: int = 1, ms: int = 60_000, step_ms: int = 50
) -> list[Attempt]:
    """Lets time pass: payment POISONED ends as ``end`` says of each processor, the others, which come all the time, are
    charged. The requests of POISONED.
    """
    sent = []
    for number in range(ms // step_ms):
        for other in range(others):
            world.accept(1000 + number * others + other)
        for attempt in world.start(later_ms=step_ms):
            if attempt.id_low == POISONED:
                sent.append(attempt)
                world.end([attempt], end[attempt.processor], later_ms=0)
            else:
                world.end([attempt], outcome.CHARGED, later_ms=0)
        if world.books.totals().failed.payments:
            break
    return sent


def test_a_payment_that_one_processor_refuses_is_sent_to_the_other_at_once() -> None:
    world = World()
    world.accept(POISONED)
    world.end(world.start(), outcome.REFUSED)
    (again,) = world.start(later_ms=1)
    assert (again.id_low, again.processor, again.requested_ms) == (POISONED, FALLBACK, world.now.wall_ms)
    world.end([again], outcome.CHARGED)
    assert world.totals()[1].payments == 1 and not world.dispatcher.has_work
    settled = world.books.parked(POISONED, POISONED)
    assert settled is not None and (settled.state, settled.processor) == (COMPLETED, FALLBACK)


def test_a_payment_that_one_refuses_while_the_other_has_no_room_has_a_back_off() -> None:
    world = World(slots=4096, in_flight_max=1)
    world.router.observed[FALLBACK].began(world.mono_ms, 1 << 60)  # and never ends
    world.accept(POISONED)
    sent = live(world, {DEFAULT: outcome.REFUSED}, others=0, ms=40_000)
    assert 5 < len(sent) < 12


def test_a_payment_that_every_processor_refuses_while_others_are_settled_has_failed_and_says_why() -> None:
    world = World(slots=1024)
    world.accept(POISONED, cents=500)
    sent = live(world, {DEFAULT: outcome.REFUSED, FALLBACK: outcome.REFUSED})
    assert [attempt.processor for attempt in sent] == [DEFAULT, FALLBACK] * REFUSALS_MAX
    assert world.books.totals().failed == (1, 500)
    failed = world.books.parked(POISONED, POISONED)
    assert failed is not None and (failed.state, failed.reason) == (FAILED, layout.REASON_REFUSED)
    assert not any(observed.is_open for observed in world.router.observed)
    gaps = [later.began_ms - sooner.began_ms for sooner, later in zip(sent[::2], sent[2::2], strict=False)]
    assert gaps == sorted(gaps) and gaps[0] >= life.DELAY_FIRST_MS  # with a back-off of its own


def test_what_is_refused_gives_its_slot_back_at_once() -> None:
    world = World(slots=64, in_flight_max=64)
    for number in range(64):
        world.accept(number)
    refused = world.start()
    world.end(refused, outcome.REFUSED)
    states = [world.payment(number).state for number in range(64)]
    assert states.count(PARKED) >= 32  # the others found no place
    world.accept(100)


@pytest.mark.parametrize("is_charged", [True, False])
def test_what_ends_parked_is_told_by_its_slot_as_long_as_that_is_there(is_charged: bool) -> None:
    world = World(slots=1024)
    world.accept(POISONED)
    live(world, {DEFAULT: outcome.REFUSED, FALLBACK: outcome.CHARGED if is_charged else outcome.REFUSED}, ms=20_000)
    told, kept = world.payment(POISONED), world.books.parked(POISONED, POISONED)
    assert kept is not None
    assert told == kept._replace(position=0, is_parked=False)
    assert (told.state, told.processor) == ((COMPLETED, FALLBACK) if is_charged else (FAILED, FALLBACK))


def test_where_nobody_is_charged_a_refusal_is_the_processors_state_and_makes_nothing_fail() -> None:
    world = World()
    world.accept(POISONED)
    live(world, {DEFAULT: outcome.REFUSED, FALLBACK: outcome.REFUSED}, others=0, ms=50_000)
    assert world.books.totals().failed.payments == 0
    waiting = world.books.parked(POISONED, POISONED)
    assert waiting is not None and waiting.state == QUEUED
    world.end(world.start(later_ms=50_000), outcome.CHARGED)
    assert world.books.totals().failed.payments == 1  # given up for its age, certainly not charged


@pytest.mark.parametrize("verdict", [outcome.FAILED, outcome.REFUSED])
def test_an_hour_of_refusals_or_failures_of_everything_makes_nothing_fail(verdict: Outcome) -> None:
    world = World(slots=256, give_up_ms=86_400_000)
    for number in range(60):
        world.accept(number)
    for _ in range(3600):
        world.end(world.start(later_ms=1000), verdict)
    assert world.books.totals().failed.payments == 0
    for _ in range(600):
        world.end(world.start(later_ms=1000), outcome.CHARGED)
    assert sum(total.payments for total in world.totals()[:2]) == 60


def test_a_refusal_counts_through_a_crash() -> None:
    world = World(slots=4096)
    world.accept(POISONED)
    sent: list[Attempt] = []
    for _ in range(3):
        sent += live(world, {DEFAULT: outcome.REFUSED, FALLBACK: outcome.REFUSED}, ms=150)
        world.restart()
    sent += live(world, {DEFAULT: outcome.REFUSED, FALLBACK: outcome.REFUSED})
    assert world.books.totals().failed.payments == 1
    assert len(sent) <= 2 * REFUSALS_MAX + 6


def test_a_restart_is_no_proof_that_a_processor_charges_others() -> None:
    world = World(slots=4096)
    world.accept(1)
    world.end(world.start(), outcome.CHARGED)
    world.accept(POISONED)
    for _ in range(3 * REFUSALS_MAX):
        live(world, {DEFAULT: outcome.REFUSED, FALLBACK: outcome.REFUSED}, others=0, ms=150)
        world.restart()
    assert world.books.totals().failed.payments == 0


def test_a_refusal_after_an_unknown_outcome_proves_nothing() -> None:
    world = World(slots=4096)
    world.accept(POISONED)
    world.end(world.start(), outcome.UNKNOWN)
    sent = live(world, {DEFAULT: outcome.REFUSED, FALLBACK: outcome.REFUSED})
    assert {attempt.processor for attempt in sent} == {DEFAULT}
    assert world.books.totals().failed.payments == 0
    kept = world.books.parked(POISONED, POISONED)
    assert kept is not None and kept.state == PROCESSING


def test_a_single_payment_that_always_fails_opens_no_breaker_and_is_tried_ever_more_rarely() -> None:
    world = World(slots=4096)
    world.accept(POISONED)
    opened = []
    sent: list[Attempt] = []
    for _ in range(50):
        sent += live(world, {DEFAULT: outcome.FAILED, FALLBACK: outcome.FAILED}, ms=1000)
        opened.append([observed.is_open for observed in world.router.observed])
    assert not any(any(observed) for observed in opened)
    assert {attempt.processor for attempt in sent} == {DEFAULT, FALLBACK}
    assert len(sent) < 30
    waiting = world.books.parked(POISONED, POISONED)
    assert waiting is not None and waiting.state == QUEUED  # its slot is free
    assert world.books.totals().failed.payments == 0
    world.end(world.start(later_ms=60_000), outcome.CHARGED)
    assert not world.dispatcher.has_work or world.books.totals().failed.payments == 1


def test_a_payment_that_one_has_refused_once_and_the_other_always_fails_is_tried_there_again() -> None:
    world = World(slots=4096)
    world.accept(POISONED)
    world.end(world.start(), outcome.REFUSED)
    sent = live(world, {DEFAULT: outcome.CHARGED, FALLBACK: outcome.FAILED}, ms=20_000)
    assert sent[-1].processor == DEFAULT and len(sent) <= 8
    assert not world.dispatcher.has_work


def test_a_payment_that_only_default_fails_is_settled_at_the_other() -> None:
    world = World(slots=4096)
    world.accept(POISONED)
    sent = live(world, {DEFAULT: outcome.FAILED, FALLBACK: outcome.CHARGED}, ms=20_000)
    assert sent[-1].processor == FALLBACK and len(sent) <= 8
    assert world.totals()[1].payments == 1
