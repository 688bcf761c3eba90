"""What is carried is there once: rows and cursor in one transaction, in both databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import carry as carry_module
from engine.ledger import schema
from engine.ledger.carry import carry
from engine.ledger.database import Database
from engine.ledger.errors import CursorMovedError, OtherEngineError
from engine.ledger.rows import (
    PURGED,
    UNKNOWN_GAP,
    Batch,
    EraRow,
    FeeRow,
    GapRow,
    HealthRow,
    PaymentRow,
    ProcessorStateRow,
    RingCursor,
    SampleRow,
    fee_cents,
)
from engine.memory import layout
from tests.ledger import making
from tests.ledger.making import NOW_MS, attempt, batch, cursor, payment


def rows(database: Database, table: sa.Table) -> list[dict[str, Any]]:
    """All rows of a table, in the order of its key."""
    with database.transaction() as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def only(database: Database, table: sa.Table) -> dict[str, Any]:
    """The one row of a table."""
    [row] = rows(database, table)
    return row


class Carrier:
    """Carries batch after batch."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.cursor = database.cursor()

    def carry(self, journal: int | None = None, **tables: Any) -> int:
        """Carries rows; the cursor moves on to this record of the journal."""
        after = self.cursor._replace(journal=self.cursor.journal + 100 if journal is None else journal)
        apart = carry(self.database, Batch(self.cursor, after, **{name: tuple(some) for name, some in tables.items()}))
        self.cursor = after
        return apart


@pytest.fixture
def carrier(ledger: Database) -> Carrier:
    return Carrier(ledger)


def test_a_cursor_comes_back_as_it_was_written(ledger: Database) -> None:
    after = ledger.cursor()._replace(
        journal=1, rings=(RingCursor(0, 3, 9, ((4, 6),), 12, ((10, 2),)), RingCursor(1, 0, 0))
    )
    assert carry(ledger, Batch(ledger.cursor(), after)) == 0
    assert ledger.cursor() == after


def test_a_batch_is_there_with_its_cursor(ledger: Database) -> None:
    assert carry(ledger, batch(0, 300)) == 0
    assert carry(ledger, batch(300, 200)) == 0
    found = rows(ledger, schema.payment)
    assert {row["id"] for row in found} == {payment(number).id for number in range(500)}
    assert len(rows(ledger, schema.attempt)) == 500
    assert ledger.cursor() == cursor(1000, 500)
    row = next(row for row in found if row["id"] == payment(7).id)
    assert (row["cents"], row["waited_ms"], row["fee_cents"], row["fee_ppm"]) == (1990, 20, 100, 50_000)


def test_the_cursor_comes_back_as_it_was_written(ledger: Database) -> None:
    before = ledger.cursor()
    rings = (RingCursor(0, 5, 40, ((7, 9), (12, 40))), RingCursor(1, 1 << 47, 1 << 47))
    after = cursor(123, generation=(1 << 64) - 1, era=3, parked=17, rings=rings)
    carry(ledger, Batch(before, after))
    assert ledger.cursor() == after


def test_a_batch_that_is_carried_again_changes_nothing(ledger: Database) -> None:
    carry(ledger, batch(0, 10))
    before = rows(ledger, schema.payment)
    with pytest.raises(CursorMovedError, match="somebody else carries"):
        carry(ledger, batch(0, 10))
    assert rows(ledger, schema.payment) == before
    assert len(rows(ledger, schema.attempt)) == 10


def test_a_batch_of_another_engine_is_refused(ledger: Database) -> None:
    other = bytes(16)
    one = batch(0, 1)
    with pytest.raises(OtherEngineError):
        carry(ledger, one._replace(expected=one.expected._replace(engine=other)))
    assert rows(ledger, schema.payment) == []


def test_nothing_is_there_when_the_cursor_could_not_be_written(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> None:
        raise sa.exc.OperationalError("", None, Exception("the disk is full"))

    monkeypatch.setattr(carry_module, "write_cursor", fails)
    with pytest.raises(Exception, match="the disk is full"):
        carry(ledger, batch(0, 10))
    assert rows(ledger, schema.payment) == rows(ledger, schema.attempt) == []
    monkeypatch.undo()
    assert carry(ledger, batch(0, 10)) == 0


@dataclass(frozen=True)
class Change:
    """A payment's state in SQL, the one that comes, and which of them is there afterwards."""

    before: int
    after: int
    then: int


DONE = (PURGED, layout.FAILED, layout.CHARGED_BEFORE, layout.COMPLETED)
OPEN = (layout.QUEUED, layout.PROCESSING, layout.PARKED, layout.ALREADY, UNKNOWN_GAP)
CHANGES = [
    *(Change(before, after, after) for before in OPEN for after in (*OPEN, *DONE)),
    *(Change(before, after, before) for before in DONE for after in OPEN),
    *(Change(before, after, DONE[max(first, second)]) for first, before in enumerate(DONE)
      for second, after in enumerate(DONE)),
]  # fmt: skip


def test_a_later_state_replaces_an_earlier_one_but_what_is_over_stays_over(carrier: Carrier) -> None:
    carrier.carry(payments=[payment(number, state=change.before, cents=1) for number, change in enumerate(CHANGES)])
    carrier.carry(payments=[payment(number, state=change.after, cents=2) for number, change in enumerate(CHANGES)])
    found = {row["id"]: row for row in rows(carrier.database, schema.payment)}
    for number, change in enumerate(CHANGES):
        row = found[payment(number).id]
        assert row["state"] == change.then, change
        assert row["cents"] == (2 if change.then == change.after else 1), change


def test_a_payment_that_comes_twice_in_a_batch_is_there_once(carrier: Carrier) -> None:
    carrier.carry(payments=[payment(0, state=layout.QUEUED), payment(0), payment(0, state=layout.PROCESSING)])
    assert only(carrier.database, schema.payment)["state"] == layout.COMPLETED


def test_an_id_is_one_payment_in_each_era(carrier: Carrier) -> None:
    carrier.carry(payments=[payment(0), payment(0, era=2, state=layout.QUEUED, settled_ms=None)])
    found = rows(carrier.database, schema.payment)
    assert [(row["era"], row["state"]) for row in found] == [(1, layout.COMPLETED), (2, layout.QUEUED)]


def test_the_end_of_an_era_purges_what_was_open_in_it(carrier: Carrier) -> None:
    states = (layout.QUEUED, layout.PROCESSING, layout.ALREADY, layout.PARKED, layout.COMPLETED, layout.FAILED)
    carrier.carry(
        payments=[payment(number, state=state) for number, state in enumerate(states)], eras=[EraRow(1, 5, None, 9, "")]
    )
    carrier.carry(
        payments=[payment(7, state=layout.QUEUED), payment(8, era=2, state=layout.QUEUED)],
        eras=[EraRow(1, 5, NOW_MS, 9, "purge"), EraRow(2, NOW_MS, None, (1 << 64) - 2, "purge")],
    )
    found = {row["id"]: row["state"] for row in rows(carrier.database, schema.payment)}
    expected = [PURGED] * 4 + [layout.COMPLETED, layout.FAILED]
    assert [found[payment(number).id] for number in range(6)] == expected
    assert (found[payment(7).id], found[payment(8).id]) == (PURGED, layout.QUEUED)
    assert [row["ended_ms"] for row in rows(carrier.database, schema.era)] == [NOW_MS, None]


def test_an_answer_completes_the_attempt_of_an_earlier_batch(carrier: Carrier) -> None:
    carrier.carry(attempts=[attempt(0, 3, ended_ms=None, outcome=None, status=None, latency_us=None, number=4)])
    carrier.carry(attempts=[attempt(0, 3, began_ms=None, number=None, error="reset")])
    row = only(carrier.database, schema.attempt)
    assert (row["number"], row["began_ms"], row["ended_ms"]) == (4, attempt(0, 3).began_ms, attempt(0, 3).ended_ms)
    assert (row["outcome"], row["status"], row["error"], row["latency_us"]) == (0, 200, "reset", 15_000)


def test_an_answer_in_the_same_batch_completes_the_attempt(carrier: Carrier) -> None:
    carrier.carry(attempts=[attempt(0, 3, ended_ms=None, outcome=None, number=4), attempt(0, 3, number=None)])
    row = only(carrier.database, schema.attempt)
    assert (row["number"], row["ended_ms"]) == (4, attempt(0, 3).ended_ms)


def test_an_answer_whose_sending_lies_in_a_gap_is_an_attempt(carrier: Carrier) -> None:
    carrier.carry(journal=500)
    carrier.carry(attempts=[attempt(0, 3, number=None, began_ms=None)])
    row = only(carrier.database, schema.attempt)
    assert (row["number"], row["began_ms"]) == (None, attempt(0, 3).began_ms)


def test_a_journal_that_is_made_anew_counts_from_0_again(carrier: Carrier) -> None:
    carrier.carry(journal=500, attempts=[attempt(0, 3)])
    before = carrier.cursor
    carrier.cursor = before._replace(journal=10, journal_number=7)
    carry(carrier.database, Batch(before, carrier.cursor, attempts=(attempt(1, 3),)))
    found = {row["journal"]: row["id"] for row in rows(carrier.database, schema.attempt)}
    assert found == {schema.signed(making.JOURNAL): attempt(0, 3).id, 7: attempt(1, 3).id}


def test_an_attempt_of_an_older_day_is_completed(carrier: Carrier) -> None:
    late = NOW_MS - 3 * 86_400_000
    carrier.carry(attempts=[attempt(0, 3, began_ms=late, ended_ms=None, outcome=None)])
    carrier.carry(attempts=[attempt(0, 3, began_ms=late), attempt(1, 4)])
    ended = [row["ended_ms"] for row in rows(carrier.database, schema.attempt)]
    assert ended == [attempt(0, 3).ended_ms, attempt(1, 4).ended_ms]


def test_all_that_is_known_of_processors_is_kept(carrier: Carrier) -> None:
    carrier.carry(
        health=[HealthRow(1, 0, NOW_MS, True, 100, 200), HealthRow(2, 1, NOW_MS, None, None, None)],
        states=[ProcessorStateRow(3, 1, NOW_MS, 3, 4, 250_000)],
        fees=[FeeRow(0, NOW_MS, 50_000), FeeRow(0, NOW_MS, 70_000)],
        samples=[SampleRow(NOW_MS, 1, 10, 9, 800, 2000, None, None, 1)] * 2,
        gaps=[GapRow("journal", 5, 9, 5, NOW_MS, "overwritten")],
    )
    database = carrier.database
    assert [(row["failing"], row["status"]) for row in rows(database, schema.processor_health)] == [
        (1, 200), (None, None),
    ]  # fmt: skip
    assert only(database, schema.processor_state)["rate_ppm"] == 250_000
    assert only(database, schema.fee_schedule)["ppm"] == 70_000
    assert only(database, schema.sample)["accept_p99_us"] == 2000
    assert only(database, schema.gap)["missing"] == 5


def bad(number: int, way: int) -> PaymentRow:
    """A row that no database takes, in one of six ways."""
    changes: tuple[dict[str, Any], ...] = (
        {"id": b"short"}, {"cents": -1}, {"cents": 1 << 70}, {"accepted_ms": 1 << 63}, {"attempts": None},
        {"attempts": "three"},
    )  # fmt: skip
    return payment(number, **changes[way])


def test_a_row_that_cannot_be_written_is_set_apart_and_blocks_no_other(carrier: Carrier) -> None:
    some = [bad(number, number // 67) if number % 67 == 0 else payment(number) for number in range(402)]
    attempts = [attempt(0, 1, error="\ud800"), attempt(1, 2), attempt(2, 3, status=1 << 80)]
    assert carrier.carry(payments=some, attempts=attempts) == 8
    assert len(rows(carrier.database, schema.payment)) == 396
    assert only(carrier.database, schema.attempt)["id"] == attempt(1, 2).id
    apart = rows(carrier.database, schema.rejected)
    assert len(apart) == 8 and {row["source"] for row in apart} == {"payment", "attempt"}
    assert "short" in apart[0]["what"] and "id_has_16_bytes" in apart[0]["error"]
    assert carrier.database.cursor() == carrier.cursor


def test_late_rows_that_cannot_be_written_are_set_apart_too(carrier: Carrier) -> None:
    carrier.carry(journal=500, attempts=[attempt(number, number, ended_ms=None, outcome=None) for number in range(20)])
    late = [attempt(number, number, **({"status": 1 << 80} if number in (3, 11) else {})) for number in range(20)]
    assert carrier.carry(attempts=late) == 2
    ended = [row["ended_ms"] is not None for row in rows(carrier.database, schema.attempt)]
    assert ended == [number not in (3, 11) for number in range(20)]


def test_a_row_of_an_impossible_day_is_set_apart_or_kept(carrier: Carrier) -> None:
    strange = [attempt(0, 1, began_ms=-5), attempt(1, 2, began_ms=1 << 62), attempt(2, 3)]
    apart = carrier.carry(attempts=strange)
    assert apart + len(rows(carrier.database, schema.attempt)) == 3
    assert attempt(2, 3).id in {row["id"] for row in rows(carrier.database, schema.attempt)}


@pytest.mark.parametrize(
    ("cents", "ppm", "fee"),
    [(1990, 50_000, 100), (10, 50_000, 1), (9, 50_000, 0), (10**12, 1_000_000, 10**12), (5, 0, 0)],
)
def test_a_fee_is_rounded_half_up_to_a_cent(cents: int, ppm: int, fee: int) -> None:
    assert fee_cents(cents, ppm) == fee


def test_only_a_settled_payment_has_a_fee_and_only_one_that_is_over_has_waited(carrier: Carrier) -> None:
    payments = [
        payment(0), payment(1, state=layout.CHARGED_BEFORE), payment(2, fee_ppm=None),
        payment(3, state=layout.QUEUED, settled_ms=None), payment(4, settled_ms=payment(4).accepted_ms - 7),
    ]  # fmt: skip
    carrier.carry(payments=payments)
    carried = {row["id"]: row for row in rows(carrier.database, schema.payment)}
    found = [carried[one.id] for one in payments]
    assert [row["fee_cents"] for row in found] == [100, None, None, None, 100]
    assert [row["waited_ms"] for row in found] == [20, 20, 20, None, -7]
