"""What is said of payments is what the router does with them."""

from __future__ import annotations

from engine.processors import DEFAULT, FALLBACK
from engine.routing.plan import Plan
from engine.situation import Flow, Situation
from tests.routing.test_router import World

FEW = 10  # payments that wait, fewer than the budget and than any limit
BOUND_MS = 9_000  # nine tenths of the wait that may be


def said(world: World, *silent: int) -> Situation:
    return world.router.situation(world.now_ms, silent)


def sent(world: World, oldest_ms: int = 0) -> Plan:
    """What the router does with payments, its probes left out."""
    plan = world.plan(FEW, oldest_ms=oldest_ms)
    return Plan(*(0 if plan.is_probe(number) else count for number, count in enumerate(plan)))


def test_while_both_are_healthy_they_go_to_the_cheaper_one() -> None:
    world = World()
    assert said(world) == Situation(Flow.TO_FIRST, DEFAULT)
    assert sent(world) == (FEW, 0)
    dear = World(fees_ppm=(150_000, 50_000))
    assert said(dear) == Situation(Flow.TO_FIRST, FALLBACK)
    assert sent(dear) == (0, FEW)


def test_they_wait_for_the_cheaper_one_and_then_go_to_the_other() -> None:
    world = World(wait_cost_ppm=2_000)
    world.come(20)
    world.fail(DEFAULT)
    assert said(world) == Situation(Flow.WAIT, DEFAULT, FALLBACK, BOUND_MS)
    assert sent(world, oldest_ms=BOUND_MS - 100) == (0, 0)
    assert sent(world, oldest_ms=BOUND_MS)[FALLBACK] > 0


def test_a_wait_that_is_worth_less_than_the_bound_is_said_to_be_as_short() -> None:
    world = World(wait_cost_ppm=50_000)
    world.come(20)
    world.fail(DEFAULT)
    assert said(world) == Situation(Flow.WAIT, DEFAULT, FALLBACK, 2_000)


def test_nobody_waits_for_what_has_been_gone_for_long_or_when_no_wait_is_allowed() -> None:
    world = World()
    world.come(20)
    world.fail(DEFAULT)
    for _ in range(60):  # payments go on coming, so they have not stopped
        world.now_ms += 100
        world.plan(1, settled=20)
        for processor, tickets in enumerate(world.sent):
            for ticket in tickets:
                world.end(processor, ticket, answered=processor == FALLBACK)
    assert said(world) == Situation(Flow.TO_OTHER, DEFAULT, FALLBACK)
    assert sent(world)[FALLBACK] == FEW - 1  # one is the probe
    hasty = World(wait_max_ms=0)
    hasty.come(20)
    hasty.fail(DEFAULT)
    assert said(hasty) == Situation(Flow.TO_OTHER, DEFAULT, FALLBACK)


def test_the_trouble_of_the_dearer_one_changes_nothing() -> None:
    world = World()
    world.fail(FALLBACK)
    assert said(world) == Situation(Flow.TO_FIRST, DEFAULT)
    assert sent(world) == (FEW, 0)


def test_without_any_that_is_usable_they_wait() -> None:
    world = World()
    world.fail(DEFAULT)
    world.fail(FALLBACK)
    assert said(world) == Situation(Flow.NOWHERE)
    assert sent(world) == (0, 0)


def test_slow_ones_are_told_from_those_that_fail() -> None:
    world = World()
    world.answer(DEFAULT, 2_000)
    assert said(world) == Situation(Flow.MOST_TO_OTHER, DEFAULT, FALLBACK)
    world.fail(FALLBACK)
    assert said(world) == Situation(Flow.TO_SLOW, DEFAULT)
    world.fail(DEFAULT)
    assert said(world) == Situation(Flow.NOWHERE)


def test_one_that_answers_nothing_is_no_place_to_go_though_no_payment_has_failed_there() -> None:
    world = World()
    assert said(world, DEFAULT) == Situation(Flow.WAIT, DEFAULT, FALLBACK, 5_000)
    assert said(world, FALLBACK) == Situation(Flow.TO_FIRST, DEFAULT)
    assert said(world, DEFAULT, FALLBACK) == Situation(Flow.NOWHERE)
