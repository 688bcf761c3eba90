"""The simulated ledger: its model of SQL does what the real one does, and words change while they are read."""

from __future__ import annotations

from array import array
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.lab.dst.ledgered import OFF, ReadWords, Stands
from engine.lab.dst.memory import NEVER, UNTOLD, Points, shared_words
from engine.lab.dst.seed import run_seed
from engine.lab.dst.sql import ENGINE, Sql
from engine.lab.dst.world import World
from engine.ledger import schema
from engine.ledger.carry import carry, open_payments
from engine.ledger.database import Database, open_ledger
from engine.ledger.rows import UNKNOWN_GAP, AttemptRow, GapRow, HealthRow, PaymentRow, ProcessorStateRow
from engine.memory.acts_layout import Act, Result

SEEDS = range(20_000, 20_060)
UNKNOWN = 1072  # a seed in which a parked place is given away before SQL has that its payment was charged
RETRIED = 2032  # a seed in which a payment that has failed is tried again


def rows(database: Database, table: sa.Table, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """These columns of all rows, in some order that is the same each time."""
    with database.transaction() as connection:
        found = [tuple(row) for row in connection.execute(sa.select(*(table.c[name] for name in names)))]
    return sorted(found, key=repr)


def carry_and_compare(sql: Sql, path: Path) -> None:
    """Carries what ``sql`` was given into a real database, and compares the two."""
    with closing(open_ledger(f"sqlite:///{path}", name="engine", engine=ENGINE, is_full=False)) as database:
        for batch in sql.carried:
            assert carry(database, batch) == 0
        assert database.cursor() == sql.cursor
        assert sorted(open_payments(database)) == sorted(sql.open_payments())
        payments = rows(database, schema.payment, PaymentRow._fields)
        assert payments == sorted(map(tuple, sql.payments.values()), key=repr)
        # When a request began whose record is lost, SQL tells from its end.
        names = tuple(name for name in AttemptRow._fields if name != "began_ms")
        attempts = rows(database, schema.attempt, names)
        assert attempts == sorted(
            (tuple(getattr(row, name) for name in names) for row in sql.attempts.values()), key=repr
        )
        assert rows(database, schema.gap, GapRow._fields) == sorted((tuple(one.row) for one in sql.gaps), key=repr)
        eras = rows(database, schema.era, ("number", "ended_ms", "why"))
        assert eras == sorted(((era.number, era.ended_ms, era.why) for era in sql.eras.values()), key=repr)
        for table, name, kind in (
            (schema.processor_health, "health", HealthRow),
            (schema.processor_state, "states", ProcessorStateRow),
        ):
            told = sorted((tuple(row) for key, row in sql.told.items() if key[0] == name), key=repr)
            assert rows(database, table, kind._fields) == told


@pytest.mark.timeout(300)
def test_the_model_of_sql_does_what_sql_does(tmp_path: Path) -> None:
    compared = 0
    for seed in SEEDS:
        if World(seed).ledger.plan.mode == OFF:
            continue
        carry_and_compare(run_seed(seed).world.ledger.sql, tmp_path / f"{seed}.db")
        compared += 1
        if compared == 8:
            return
    raise AssertionError("too few seeds have a ledger")


@pytest.mark.timeout(300)
def test_the_model_of_sql_reopens_what_is_tried_again_as_sql_does(tmp_path: Path) -> None:
    result = run_seed(RETRIED)
    assert result.failure is None, f"seed {RETRIED}: {result.failure}"
    sql = result.world.ledger.sql
    acts = [act for batch in sql.carried for act in batch.acts]
    assert any(act.act == Act.RETRY and act.result == Result.DONE for act in acts)
    carry_and_compare(sql, tmp_path / "ledger.db")


@pytest.mark.parametrize("before", range(1, 5))
def test_words_of_a_slice_may_change_before_each_of_its_loads(before: int) -> None:
    words, stands = shared_words(UNTOLD, 12, Points()), Stands()

    def change() -> None:
        stands.left = NEVER
        for index in range(12):
            words[index] = 7

    stands.left, stands.interrupt = before, change
    read: Any = ReadWords(words, stands)
    assert read[1:12:3].tolist() == [0] * (before - 1) + [7] * (5 - before)


def test_bytes_of_a_slice_may_be_loaded_from_its_middle_on() -> None:
    words, stands = shared_words(UNTOLD, 4, Points()), Stands()

    def change() -> None:
        stands.left = NEVER
        words[0] = words[3] = 7

    stands.left, stands.interrupt = 3, change
    read: Any = ReadWords(words, stands)
    assert array("Q", read[0:4].tobytes()).tolist() == [7, 0, 0, 0]


def test_a_sum_lacks_a_payment_whose_end_lies_in_a_counted_gap_and_no_other() -> None:
    result = run_seed(UNKNOWN)
    assert result.failure is None, f"seed {UNKNOWN}: {result.failure}"
    sql = result.world.ledger.sql
    assert UNKNOWN_GAP in [row.state for row in sql.payments.values() if row.era == sql.cursor.era]
