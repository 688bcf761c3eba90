"""What is old goes, in small parts, and the ledger says how far back it reaches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from engine.ledger import partitions, queries, retention, schema
from engine.ledger.carry import carry
from engine.ledger.database import Database
from engine.ledger.retention import tend
from engine.ledger.rows import AttemptRow, Batch, HealthRow, PaymentRow, ProcessorStateRow, SampleRow
from engine.memory import layout
from tests.ledger.making import NOW_MS, attempt, payment

DAY_MS = 86_400_000
TODAY = NOW_MS // DAY_MS


def ids(database: Database, table: sa.Table) -> set[bytes]:
    with database.transaction() as connection:
        return {bytes(one) for one in connection.execute(sa.select(table.c.id)).scalars()}


def count(database: Database, table: sa.Table) -> int:
    with database.transaction() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def put(database: Database, payments: list[PaymentRow], attempts: list[AttemptRow]) -> None:
    before = database.cursor()
    health = tuple(HealthRow(row.sequence, 0, row.began_ms or 0, False, 1, 200) for row in attempts)
    states = tuple(ProcessorStateRow(row.sequence, 0, row.began_ms or 0, 0, 0, 0) for row in attempts)
    after = before._replace(journal=before.journal + 1000)
    carry(database, Batch(before, after, tuple(payments), tuple(attempts), health, states))


@pytest.fixture
def at(ledger: Database) -> Callable[[int], Database]:
    """The ledger with a clock that can be set."""

    def set_clock(now_ms: int) -> Database:
        ledger.now_ms = lambda: now_ms
        return ledger

    return set_clock


def until_done(database: Database, days: int) -> int:
    """Tends until there is nothing more to do; how often."""
    for number in range(1, 1000):
        if not tend(database, days):
            return number
    raise AssertionError("there is always more to do")


def test_what_is_older_than_the_days_that_are_kept_is_gone(
    at: Callable[[int], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DELETED_AT_ONCE", 3)
    monkeypatch.setattr("engine.ledger.sqlite.DELETED_AT_ONCE", 3)
    database = at(NOW_MS)
    times = [NOW_MS - number * DAY_MS // 2 for number in range(20)]
    rows = [payment(number, accepted_ms=ms, requested_ms=ms + 5) for number, ms in enumerate(times)]
    put(database, rows, [attempt(number, number, began_ms=ms + 5) for number, ms in enumerate(times)])
    assert until_done(database, 3) > 2
    kept = {payment(number).id for number, ms in enumerate(times) if ms // DAY_MS >= TODAY - 3}
    assert 5 < len(kept) < 10
    for table in (schema.payment, schema.attempt):
        assert ids(database, table) == kept
    for table in (schema.processor_health, schema.processor_state):
        assert count(database, table) == len(kept)
    first_ms = (TODAY - 3) * DAY_MS
    assert not queries.window(database, first_ms - 1, NOW_MS, 1).is_whole
    assert queries.window(database, first_ms, NOW_MS, 1).is_whole
    assert queries.reach_ms(database) == first_ms


def test_a_payment_that_is_open_or_was_sent_later_stays(at: Callable[[int], Database]) -> None:
    database = at(NOW_MS)
    old_ms = NOW_MS - 9 * DAY_MS
    stays = [
        payment(0, accepted_ms=old_ms, requested_ms=NOW_MS - 5),
        payment(1, accepted_ms=old_ms, requested_ms=old_ms, state=layout.PROCESSING),
        payment(2, accepted_ms=old_ms, requested_ms=None, state=layout.QUEUED),
    ]
    goes = [
        payment(3, accepted_ms=old_ms, requested_ms=None, state=layout.FAILED),
        payment(4, accepted_ms=old_ms, requested_ms=old_ms),
    ]
    put(database, stays + goes, [])
    until_done(database, 3)
    assert ids(database, schema.payment) == {row.id for row in stays}


def test_nothing_goes_where_everything_is_kept(at: Callable[[int], Database]) -> None:
    database = at(NOW_MS)
    put(database, [payment(0)], [attempt(0, 0)])
    at(NOW_MS + 4000 * DAY_MS)
    until_done(database, 0)
    assert count(database, schema.payment) == count(database, schema.attempt) == 1
    assert queries.window(database, 0, NOW_MS * 2, 1).is_whole
    assert queries.reach_ms(database) == 0


def test_partitions_are_there_ahead_of_need(at: Callable[[int], Database]) -> None:
    database = at(NOW_MS)
    if database.backend.engine.dialect.name != "postgresql":
        assert database.backend.missing({schema.attempt: {TODAY}}) == {}
        return
    tend(database, 0)
    with database.transaction() as connection:
        for table in schema.BY_DAY:
            assert partitions.days(connection, table) == set(range(TODAY, TODAY + partitions.AHEAD_DAYS + 1))
    tend(database, 0)
    assert database.backend.missing({schema.attempt: {TODAY + 1}}) == {}


def sample(at_ms: int, **changes: int | None) -> SampleRow:
    row = SampleRow(at_ms, 1, 10, 8, 900, 2000, 20_000, 90_000, 3)
    return row._replace(**changes)  # type: ignore[arg-type]


def test_old_seconds_become_minutes(at: Callable[[int], Database], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "DELETED_AT_ONCE", 100)  # no multiple of a minute
    database = at(NOW_MS)
    old_ms = NOW_MS - 5 * DAY_MS
    rows = [sample(old_ms + 1000 * second) for second in range(240)]
    rows[0] = sample(old_ms, accepted=30, accept_p50_us=1600, accept_p99_us=7000, settle_p50_us=None, backlog=99)
    rows.append(sample(NOW_MS - 1000))
    before = database.cursor()
    carry(database, Batch(before, before._replace(journal=1), samples=tuple(rows)))
    until_done(database, 0)
    with database.transaction() as connection:
        found = connection.execute(sa.select(schema.sample).order_by(schema.sample.c.at_ms)).all()
    assert [(row.at_ms - old_ms, row.seconds) for row in found[:-1]] == [(60_000 * n, 60) for n in range(4)]
    assert (found[-1].at_ms, found[-1].seconds) == (NOW_MS - 1000, 1)
    assert sum(row.accepted for row in found[:-1]) == 239 * 10 + 30
    first = found[0]
    assert (first.accept_p50_us, first.accept_p99_us) == ((30 * 1600 + 59 * 10 * 900) // (30 + 590), 7000)
    assert (first.settle_p50_us, first.backlog) == (20_000, 99)
    until_done(database, 2)
    assert count(database, schema.sample) == 1
