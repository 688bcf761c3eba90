"""What was planted at the processors is found and named; nothing else is; and exceptions keep their versions."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from decimal import Decimal

import pytest
import sqlalchemy as sa

from engine.connectors import rinha
from engine.lab.simulate import routes
from engine.ledger import schema
from engine.ledger.carry import carry
from engine.ledger.database import Database
from engine.ledger.reports import REPORTS, STEPS_MS, Stretch
from engine.ledger.retention import tend
from engine.ledger.rows import PURGED, UNKNOWN_GAP, Batch, EraRow, PaymentRow
from engine.memory import layout
from engine.reconcile import cases, driver
from engine.reconcile.finding import (
    AMOUNT_DIFFERS,
    BY_A_PERSON,
    BY_ITSELF,
    EXPECTED,
    MISSING_HERE,
    MISSING_THERE,
    TIME_DIFFERS,
    Finding,
)
from engine.reconcile.span import Difference, Span
from tests.ledger.making import NOW_MS, attempt, payment
from tests.reconcile import planted
from tests.reconcile.world import NAMES, STRETCH, World

COUNT = 200


@pytest.fixture
def world(ledger: Database) -> World:
    return World(ledger, COUNT)


def alone(world: World) -> PaymentRow:
    """A payment of a millisecond that has no other one, in the middle of the window."""
    times = [row.requested_ms for row in world.rows]
    return next(row for row in world.rows if row.requested_ms is not None and times.count(row.requested_ms) == 1
                and row.requested_ms - NOW_MS > 1000)  # fmt: skip


def span(row: PaymentRow) -> Span:
    assert row.requested_ms is not None
    return Span(row.requested_ms, row.requested_ms)


def only(world: World) -> Finding:
    (finding,) = world.open()
    return finding


def test_nothing_is_found_where_nothing_differs(world: World) -> None:
    run, count = world.reconcile()
    assert (count, run.failure, run.windows, run.summaries, run.lookups) == (0, "", 2, 2, 0)
    run, count = world.reconcile(deep=True)
    assert (count, run.lookups, world.states()) == (0, COUNT, [])


def test_a_payment_that_was_removed_there_is_named(world: World) -> None:
    row = alone(world)
    del world.charged[row.processor or 0][row.id]
    world.apply()
    run, count = world.reconcile()
    found = only(world)
    assert (count, found.state, found.processor, found.span) == (1, MISSING_THERE, row.processor, span(row))
    assert (found.difference, found.id) == (Difference(-1, -row.cents), row.id)
    assert run.summaries <= 40


def test_a_payment_that_was_added_there_is_found_by_millisecond_and_amount(world: World) -> None:
    world.add(1, NOW_MS + 123_457, 777)
    world.apply()
    run, _ = world.reconcile()
    found = only(world)
    assert (found.state, found.processor, found.span) == (MISSING_HERE, 1, Span(NOW_MS + 123_457, NOW_MS + 123_457))
    assert (found.difference, found.id) == (Difference(1, 777), None)
    assert run.summaries <= 40


def test_a_payment_that_we_sent_there_and_have_elsewhere_is_named(world: World) -> None:
    """It was charged twice: the second processor has it too."""
    row = alone(world)
    other = 1 - (row.processor or 0)
    world.charge(row._replace(processor=other))
    world.apply()
    before = world.database.cursor()
    sent = attempt(0, 1, id=row.id, processor=other, began_ms=row.requested_ms, requested_ms=row.requested_ms)
    carry(world.database, Batch(before, before._replace(journal=before.journal + 1), attempts=(sent,)))
    world.reconcile()
    found = only(world)
    assert (found.state, found.processor, found.id) == (MISSING_HERE, other, row.id)


def test_another_amount_is_named(world: World) -> None:
    row = alone(world)
    world.charge(row, cents=row.cents + 3)
    world.apply()
    run, _ = world.reconcile()
    found = only(world)
    assert (found.state, found.id, found.difference) == (AMOUNT_DIFFERS, row.id, Difference(0, 3))
    assert found.span == span(row) and run.summaries <= 40


def test_a_move_over_the_edge_of_a_window_is_one_exception(world: World) -> None:
    edge = payment(9001, accepted_ms=NOW_MS, requested_ms=NOW_MS + 599_999)
    world.carry(edge)
    world.charge(edge, at_ms=NOW_MS + 600_000)
    world.apply()
    world.reconcile(Span(NOW_MS, NOW_MS + 1_199_999))
    found = only(world)
    assert (found.state, found.id, found.there_ms) == (TIME_DIFFERS, edge.id, NOW_MS + 600_000)


def test_a_move_back_over_the_edge_is_one_exception_too(world: World) -> None:
    edge = payment(9001, accepted_ms=NOW_MS, requested_ms=NOW_MS + 600_000)
    world.carry(edge)
    world.charge(edge, at_ms=NOW_MS + 599_999)
    world.apply()
    world.reconcile(Span(NOW_MS, NOW_MS + 1_199_999))
    found = only(world)
    assert (found.state, found.id, found.there_ms) == (TIME_DIFFERS, edge.id, NOW_MS + 599_999)


def test_a_move_within_a_window_is_found_by_looking_every_payment_up(world: World) -> None:
    row = alone(world)
    assert row.requested_ms is not None
    world.charge(row, at_ms=row.requested_ms + 1)
    world.apply()
    assert world.reconcile()[1] == 0, "its window has the same sums"
    run, count = world.reconcile(deep=True)
    found = only(world)
    assert (count, found.state, found.id, found.there_ms) == (1, TIME_DIFFERS, row.id, row.requested_ms + 1)
    assert run.lookups == COUNT + 1


def test_of_two_that_cancel_both_are_found_by_looking_every_payment_up(world: World) -> None:
    row = alone(world)
    del world.charged[row.processor or 0][row.id]
    world.add(row.processor or 0, NOW_MS + 444_444, row.cents)
    world.apply()
    assert world.reconcile()[1] == 0, "its window has the same sums"
    world.reconcile(deep=True)
    assert {(one.state, one.id, one.span.from_ms) for one in world.open()} == {
        (MISSING_THERE, row.id, row.requested_ms), (MISSING_HERE, None, NOW_MS + 444_444),
    }  # fmt: skip


def test_what_was_found_is_not_found_again(world: World) -> None:
    row = alone(world)
    del world.charged[row.processor or 0][row.id]
    world.add(1, NOW_MS + 123_457, 777)
    world.apply()
    for deep in (False, False, True, False):
        assert world.reconcile(deep=deep)[1] == 2
    assert [(one.number, one.version) for one in cases.versions(world.database)] == [(1, 1), (2, 1)]


def test_what_does_not_differ_any_more_is_resolved_by_itself(world: World) -> None:
    row = alone(world)
    del world.charged[row.processor or 0][row.id]
    extra = world.add(1, NOW_MS + 123_457, 777)
    world.apply()
    world.reconcile()
    world.charge(row)
    del world.charged[1][extra]
    world.apply()
    assert world.reconcile(Span(NOW_MS, NOW_MS))[1] == 0, "what is open is asked for again wherever it lies"
    assert world.states() == [BY_ITSELF, BY_ITSELF]
    assert [one.finding.state for one in cases.versions(world.database)] == [
        MISSING_THERE, BY_ITSELF, MISSING_HERE, BY_ITSELF,
    ]  # fmt: skip
    world.reconcile()
    assert len(cases.versions(world.database)) == 4


def test_a_person_resolves_with_evidence_and_it_stays_resolved(world: World) -> None:
    world.add(1, NOW_MS + 123_457, 777)
    world.apply()
    world.reconcile()
    assert cases.resolve(world.database, 1, "their mail of 27 November", "A. Auditor") is not None
    assert cases.resolve(world.database, 1, "again", "B") is None, "it is open no more"
    assert cases.resolve(world.database, 2, "again", "B") is None
    assert world.reconcile()[1] == 0
    assert world.states() == [BY_A_PERSON]
    (_, decided) = cases.versions(world.database)
    assert (decided.decided_by, decided.finding.evidence) == ("A. Auditor", "their mail of 27 November")
    world.add(1, NOW_MS + 123_457, 5)
    world.apply()
    assert world.reconcile()[1] == 1, "it is another difference now"
    assert only(world).difference == Difference(2, 782)


@pytest.mark.parametrize("state", [layout.PROCESSING, layout.ALREADY, layout.PARKED, PURGED, UNKNOWN_GAP])
def test_an_unknown_outcome_is_asked_for_and_is_no_exception(world: World, state: int) -> None:
    open_row = payment(9001, state=state, accepted_ms=NOW_MS + 10, requested_ms=NOW_MS + 77, settled_ms=None, cents=55)
    absent = payment(9002, state=state, accepted_ms=NOW_MS + 10, requested_ms=NOW_MS + 78, settled_ms=None, cents=66)
    world.carry(open_row, absent)
    world.charge(open_row)
    world.apply()
    run, count = world.reconcile()
    asked = 4 if state == UNKNOWN_GAP else 2  # of what lies in a gap nobody knows where it was sent last
    assert (count, run.lookups, run.summaries, world.states()) == (0, asked, 2, [])


def test_what_the_processor_had_before_is_no_exception(world: World) -> None:
    before = payment(9001, state=layout.CHARGED_BEFORE, accepted_ms=NOW_MS + 99, requested_ms=NOW_MS + 77)
    world.carry(before)
    world.charge(before)
    world.apply()
    assert world.reconcile()[1] == 0 and world.states() == []


def test_what_is_charged_between_the_lookup_and_the_summary_is_expected_and_then_gone(world: World) -> None:
    open_row = payment(9001, state=layout.PROCESSING, accepted_ms=NOW_MS + 10, requested_ms=NOW_MS + 77, cents=55)
    world.carry(open_row)
    world.charge(open_row)

    def charge_it() -> None:
        if world.client.summaries:  # the first summary call is on its way
            world.apply()

    world.client.before = charge_it
    assert world.reconcile()[1] == 0
    assert world.states() == [EXPECTED]
    world.carry(open_row._replace(state=layout.COMPLETED))
    assert world.reconcile()[1] == 0
    assert world.states() == [BY_ITSELF]


def test_an_expected_one_that_stays_becomes_an_exception(world: World) -> None:
    open_row = payment(9001, state=layout.PROCESSING, accepted_ms=NOW_MS + 10, requested_ms=NOW_MS + 77, cents=55)
    world.carry(open_row)
    world.add(0, NOW_MS + 77, 55)  # somebody else's, of the same amount
    world.apply()
    assert world.reconcile()[1] == 0
    assert world.states() == [EXPECTED]
    world.carry(open_row._replace(state=layout.FAILED))
    assert world.reconcile()[1] == 1
    assert only(world).state == MISSING_HERE


def test_payments_of_earlier_eras_are_ours_too(world: World) -> None:
    world.carry(payment(9001, era=2, accepted_ms=NOW_MS, requested_ms=NOW_MS + 5), eras=(
        EraRow(1, 0, NOW_MS, 1, "purge"), EraRow(2, NOW_MS, None, 1, "purge")))  # fmt: skip
    world.charge(payment(9001, requested_ms=NOW_MS + 5))
    world.apply()
    assert world.reconcile()[1] == 0


def test_a_processor_that_cannot_be_asked_keeps_nobody_from_asking_the_other(world: World) -> None:
    world.add(1, NOW_MS + 123_457, 777)
    world.add(0, NOW_MS + 123_457, 777)
    world.apply()
    world.client.silent = {0}
    run, count = world.reconcile()
    assert (run.failure, count) == ("default: it says nothing", 1)
    assert cases.reached_ms(world.database) is None, "the next run begins where this one has begun"
    world.client.silent = set()
    assert world.reconcile()[1] == 2
    assert cases.reached_ms(world.database) == STRETCH.to_ms


def test_unknown_outcomes_that_cannot_be_looked_up_are_tolerated_by_number(world: World) -> None:
    open_row = payment(9001, state=layout.PROCESSING, accepted_ms=NOW_MS + 10, requested_ms=NOW_MS + 77, cents=55)
    world.carry(open_row)
    world.charge(open_row)
    world.apply()
    world.client.mute = True
    assert world.reconcile()[1] == 0
    assert world.states() == [EXPECTED]


def test_with_too_many_exceptions_no_more_are_looked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "OPEN_MAX", 3)
    for number in range(3):
        world.add(1, NOW_MS + 100_000 * number, 7 + number)
    world.apply()
    assert world.reconcile()[1] == 3
    world.add(1, NOW_MS + 555_555, 5)
    world.apply()
    run, count = world.reconcile()
    assert count == 3 and run.failure == "fallback: 3 exceptions are known there: nothing is looked for beside them"


def test_an_exception_of_a_time_that_the_ledger_has_forgotten_stays_as_it_is(world: World) -> None:
    row = alone(world)
    del world.charged[row.processor or 0][row.id]
    world.apply()
    world.reconcile()
    day = 86_400_000
    world.database.now_ms = lambda: NOW_MS + 9 * day
    while tend(world.database, 2):
        pass
    assert world.reconcile(Span(NOW_MS + day, NOW_MS + day))[1] == 1
    assert only(world).state == MISSING_THERE


def test_a_late_row_is_waited_for(world: World) -> None:
    late = payment(9001, accepted_ms=NOW_MS, requested_ms=NOW_MS + 5)
    world.charge(late)
    world.apply()
    slept = world._sleep

    def carried(seconds: float) -> None:
        slept(seconds)
        world.carry(late)

    world._sleep = carried  # type: ignore[method-assign]
    assert world.reconcile()[1] == 0
    assert world.states() == [] and world.slept > 0


def test_sums_beyond_63_bits_are_compared_exactly(ledger: Database) -> None:
    world = World(ledger, 0)
    rows = [payment(number, requested_ms=NOW_MS + number, cents=10**12) for number in range(40)]
    world.carry(*rows)
    for row in rows:
        world.charge(row)
    world.charge(rows[17], cents=10**12 - 1)
    world.apply()
    world.reconcile()
    assert (only(world).id, only(world).difference) == (rows[17].id, Difference(0, -1))


def test_of_fifty_that_are_planted_all_are_found_that_sums_or_lookups_can_show(ledger: Database) -> None:
    world = planted.world_of(ledger, 1000, seed=50)
    all_of_them = planted.plant(world)
    run, _ = world.reconcile(planted.SPAN)
    found = [one for one in all_of_them if planted.is_found(one, world.open())]
    kinds = Counter(one.kind for one in found)
    assert all(kinds[kind] == planted.EACH for kind in ("removed", "added", "other amount"))
    assert run.summaries <= 40 * len(all_of_them)
    world.reconcile(planted.SPAN, deep=True)
    assert [one for one in all_of_them if not planted.is_found(one, world.open())] == []
    named = {at_ms for one in all_of_them for at_ms in one.at}
    assert {one.span.from_ms for one in world.open()} == named, "and nothing else"


def test_fees_and_net_are_the_processors_own_for_each_hour(ledger: Database) -> None:
    world = World(ledger, 1500, seed=3, length_ms=3 * 3_600_000)
    hour = STEPS_MS["hour"]
    report = REPORTS["money"](ledger, Stretch(NOW_MS, NOW_MS + 3 * hour, hour))
    told = {(row[0], row[1]): row[2:6] for row in report.rows}
    assert len(told) == 3 * 3
    connector = rinha.connector("123")
    for (begin_ms, name), (payments, gross, fee, net) in told.items():
        if name == "(all)":
            continue
        path, _, query = connector.summary(begin_ms, begin_ms + hour - 1).path.partition("?")
        asked = routes.Request("GET", path, query, "123", b"")
        body = json.loads(routes.answer(world.processors[NAMES.index(name)], asked, 0).body, parse_float=Decimal)
        assert (payments, gross) == (body["totalRequests"], body["totalAmount"] * 100)
        assert (fee, net) == (body["totalFee"] * 100, (body["totalAmount"] - body["totalFee"]) * 100)


def test_a_payment_whose_lookup_is_never_clear_keeps_nobody_from_the_others(world: World) -> None:
    moved = alone(world)
    other = next(row for row in world.rows if row.processor == moved.processor and row is not moved)
    assert moved.requested_ms is not None
    world.client.unclear = {other.id}
    world.charge(moved, at_ms=moved.requested_ms + 1)  # sums do not see it
    world.apply()
    run, count = world.reconcile(deep=True)
    assert (count, only(world).state, only(world).id) == (1, TIME_DIFFERS, moved.id)
    assert "1 payment not looked up" in run.failure and str(uuid.UUID(bytes=other.id)) in run.failure
    world.client.unclear = {row.id for row in world.rows}
    run, _ = world.reconcile(deep=True)
    assert run.lookups < COUNT / 4 and "20 payments not looked up" in run.failure


def test_old_runs_are_forgotten_but_for_those_that_an_exception_names(
    world: World, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "RUNS_KEPT", 3)
    removed = alone(world)
    assert removed.processor is not None
    del world.charged[removed.processor][removed.id]
    world.apply()
    for _ in range(8):
        world.reconcile()
    reached_ms = cases.reached_ms(ledger)
    world.client.silent = {0}
    for _ in range(5):
        world.reconcile()
    with ledger.transaction() as connection:
        own = schema.reconciliation.c
        numbers = connection.execute(sa.select(own.number).order_by(own.number)).scalars().all()
    # The first one has found it, the eighth was the last one that came to its end.
    assert numbers == [1, 8, 11, 12, 13] and cases.reached_ms(ledger) == reached_ms
