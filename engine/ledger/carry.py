"""Carries a batch into SQL: the cursor is compared, rows go in, the new cursor is written, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from engine.ledger import acts, schema, statements
from engine.ledger.backend import ROW_ERRORS, Errors, Values, driver_error, first_line
from engine.ledger.database import Database, read_cursor, write_cursor
from engine.ledger.errors import CursorMovedError, OtherEngineError
from engine.ledger.partitions import day
from engine.ledger.rows import PURGED, AttemptRow, Batch, Cursor, PaymentRow, fee_cents
from engine.memory import layout

SHOWN_CHARACTERS: Final = 2000  # of a row that is set apart, and of the error about it

_BEGAN: Final = list(schema.attempt.c.keys()).index("began_ms")
_NOT_COMPLETED: Final = sa.text(schema.IS_NOT_COMPLETED)  # which is what the index of open payments has
_OPEN: Final = sa.text(schema.IS_OPEN)

Write = Callable[[sa.Connection, Sequence[Values]], object]


def carry(database: Database, batch: Batch) -> int:
    """Carries ``batch``; returns how many of its rows could not be written and were set apart (table `rejected`).

    The same batch carried again changes nothing: its cursor has moved. Rows that are one and the same payment, or
    attempt, may come twice in a batch; the later one completes or replaces the earlier one.

    Raises CursorMovedError when the database is not at ``batch.expected``, OtherEngineError, or AwayError: then nothing
    was written, but see the warning there.
    """
    now_ms = database.now_ms()
    number = schema.signed(batch.cursor.journal_number)
    fresh, late = _attempts(batch, number, now_ms)
    health = [
        (number, *row[:3], None if row.failing is None else int(row.failing), row.min_response_ms, row.status, now_ms)
        for row in batch.health
    ]
    states = [(number, *row, now_ms) for row in batch.states]
    database.prepare(
        {
            schema.attempt: {day(row[_BEGAN]) for row in (*fresh, *late)},
            schema.processor_health: {day(row.at_ms) for row in batch.health},
            schema.processor_state: {day(row.at_ms) for row in batch.states},
        }
    )
    with database.transaction() as connection:
        _compare(read_cursor(connection, locks=True), batch)
        backend, carrying = database.backend, _Carrying(database, connection, now_ms)
        # Before what became of those payments by now.
        acts.reopen(connection, batch.acts, batch.payments, batch.cursor.era, now_ms)
        carrying.write(schema.payment, _payments(batch.payments, now_ms), backend.upsert_payments)
        carrying.insert(schema.attempt, fresh)
        carrying.write(schema.attempt, late, backend.complete_attempts)
        carrying.insert(schema.processor_health, health)
        carrying.insert(schema.processor_state, states)
        carrying.upsert(schema.fee_schedule, [(*row, now_ms, now_ms) for row in batch.fees])
        carrying.upsert(schema.sample, [(*row, now_ms) for row in batch.samples])
        carrying.write(acts.result, [(*row, now_ms) for row in batch.acts], acts.add_results)
        eras = [(*row[:3], schema.signed(row.generation), row.why, now_ms, now_ms) for row in batch.eras]
        carrying.upsert(schema.era, eras)
        for era in batch.eras:
            if era.ended_ms is not None:
                _purge(connection, era.number, now_ms)
        generation = schema.signed(batch.cursor.generation)
        carrying.insert(schema.gap, [(row.source, generation, *row[1:], now_ms) for row in batch.gaps])
        write_cursor(connection, batch.cursor, now_ms)
    return carrying.apart


def open_payments(database: Database) -> list[PaymentRow]:
    """The payments of the current era that are open. Raises LedgerError."""
    own = schema.payment.c
    with database.transaction() as connection:
        query = sa.select(*(own[name] for name in PaymentRow._fields)).where(
            own.era == read_cursor(connection).era, _NOT_COMPLETED, _OPEN
        )
        return [PaymentRow(*row)._replace(id=bytes(row.id)) for row in connection.execute(query)]


class _Carrying:
    """The writing of one batch's rows."""

    def __init__(self, database: Database, connection: sa.Connection, now_ms: int) -> None:
        self._backend = database.backend
        self._connection = connection
        self._now_ms = now_ms
        self._errors: Errors = (sa.exc.SQLAlchemyError, *self._backend.errors, *ROW_ERRORS)
        self.apart = 0

    def insert(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """Rows of which none is there."""
        self.write(table, rows, lambda connection, part: self._backend.insert(connection, table, part))

    def upsert(self, table: sa.Table, rows: Sequence[Values]) -> None:
        """A few rows, of which some may be there."""
        statement = statements.upserts(self._connection.dialect.name, table)
        names = table.c.keys()
        self.write(
            table,
            rows,
            lambda connection, part: connection.execute(
                statement, [dict(zip(names, row, strict=True)) for row in part]
            ),
        )

    def write(self, table: sa.Table, rows: Sequence[Values], write: Write) -> None:
        """Writes rows; those that cannot be written are found by halving, and set apart."""
        if not rows:
            return
        fault = self._try(rows, write)
        if fault is None:
            return
        if len(rows) == 1:
            self._set_apart(table, rows[0], fault)
            return
        middle = len(rows) // 2
        self.write(table, rows[:middle], write)
        self.write(table, rows[middle:], write)

    def _try(self, rows: Sequence[Values], write: Write) -> Exception | None:
        """Writes all rows, or none if one of them is at fault: then what is said about it."""
        run = self._connection.exec_driver_sql
        run("SAVEPOINT part")
        try:
            write(self._connection, rows)
        except self._errors as error:
            if not self._backend.is_row_error(error):
                raise
            run("ROLLBACK TO SAVEPOINT part")
            run("RELEASE SAVEPOINT part")
            return error
        run("RELEASE SAVEPOINT part")
        return None

    def _set_apart(self, table: sa.Table, row: Values, error: Exception) -> None:
        names = [column.name for column in table.c if column.identity is None]
        what = ascii(dict(zip(names, row, strict=True)))
        values = {"source": table.name, "what": what, "error": ascii(first_line(driver_error(error)))[1:-1]}
        values = {name: text[:SHOWN_CHARACTERS] for name, text in values.items()}
        self._connection.execute(sa.insert(schema.rejected), values | {"created_ms": self._now_ms})
        self.apart += 1


def _compare(found: Cursor, batch: Batch) -> None:
    if found.engine != batch.expected.engine:
        raise OtherEngineError(f"the ledger's database belongs to another engine now, of the id {found.engine.hex()}")
    if found != batch.expected:
        raise CursorMovedError(
            f"the ledger is at record {found.journal} of journal {found.journal_number:x} and was expected at "
            f"{batch.expected.journal} of {batch.expected.journal_number:x}: somebody else carries into it"
        )


def _payments(rows: Iterable[PaymentRow], now_ms: int) -> list[Values]:
    last: dict[tuple[bytes, int], PaymentRow] = {}
    for row in rows:
        key = row.id, row.era
        before = last.get(key)
        if before is None or row.rank >= before.rank:
            last[key] = row
    # Taken apart at once, because this is done for every payment. What it waited is less than 0 if the wall clock was
    # set back between, and it has a fee if it is settled and its processor's fee is known.
    return [
        (
            identity, era, state, processor, attempts, cents, accepted_ms, requested_ms, settled_ms,
            None if settled_ms is None else settled_ms - accepted_ms, fee_ppm,
            None if fee_ppm is None or state != layout.COMPLETED else fee_cents(cents, fee_ppm),
            reason, ring, position, now_ms, now_ms,
        )
        for (
            era, identity, state, processor, attempts, cents, accepted_ms, requested_ms, settled_ms, fee_ppm, reason,
            ring, position,
        ) in last.values()
    ]  # fmt: skip


def _attempts(batch: Batch, number: int, now_ms: int) -> tuple[list[Values], list[Values]]:
    """Attempts whose sending this batch carries, and those whose sending an earlier one has carried, or none has.

    No other batch carries a record that this one does, for the cursor moves on: so the first are certainly new.
    """
    known: dict[int, AttemptRow] = {}
    for row in batch.attempts:
        before = known.get(row.sequence)
        known[row.sequence] = row if before is None else _merged(before, row)
    begin = batch.expected.journal if batch.expected.journal_number == batch.cursor.journal_number else 0
    fresh, late = list[Values](), list[Values]()
    for row in known.values():
        (
            sequence, era, identity, attempt, processor, is_lookup, began_ms, ended_ms, outcome, status, error,
            latency_us, requested_ms,
        ) = row  # fmt: skip
        (fresh if sequence >= begin else late).append(
            (
                number, sequence, era, identity, attempt, processor, int(is_lookup),
                _began_ms(row, now_ms) if began_ms is None else began_ms, ended_ms, outcome, status, error, latency_us,
                requested_ms, now_ms, now_ms,
            )
        )  # fmt: skip
    return fresh, late


def _merged(before: AttemptRow, after: AttemptRow) -> AttemptRow:
    return before._replace(**{name: value for name, value in after._asdict().items() if value is not None})


def _began_ms(row: AttemptRow, now_ms: int) -> int:
    """When it must have begun, where the record of that is lost."""
    return now_ms if row.ended_ms is None else row.ended_ms - (row.latency_us or 0) // 1000


def _purge(connection: sa.Connection, era: int, now_ms: int) -> None:
    """What was open in an era that has ended is purged."""
    open_in_era = sa.and_(schema.payment.c.era == era, _NOT_COMPLETED, _OPEN)
    connection.execute(sa.update(schema.payment).where(open_in_era).values(state=PURGED, updated_ms=now_ms))
