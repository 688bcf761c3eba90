"""SQL as the ledger uses it: what :func:`engine.ledger.carry.carry` does to the tables, done to dictionaries.

``tests/lab/dst/test_sql.py`` carries the batches of a simulation into a real database too, and compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from engine.ledger.errors import AwayError, CursorMovedError
from engine.ledger.rows import OPEN, PURGED, ActRow, AttemptRow, Batch, Cursor, EraRow, GapRow, PaymentRow
from engine.memory.layout import FAILED, QUEUED, REASON_NONE

ENGINE = bytes(range(16))


class DoubleRowError(Exception):
    """A row was inserted that is there already. The real database would set it apart, and it would be lost."""


class Gap(NamedTuple):
    """A row of `gap`, with the generation that its numbers belong to."""

    generation: int
    row: GapRow


class Sql:
    """The tables. A batch goes in as a whole, or not at all. ``stands``: called before it does.

    ``eras_of``: the ledger's era, by the number of purges that the books had counted when it was carried.
    """

    def __init__(self) -> None:
        self.cursor = Cursor(ENGINE, 0, 0, 0, 0, ())
        self.payments: dict[tuple[bytes, int], PaymentRow] = {}
        self.attempts: dict[tuple[int, int], AttemptRow] = {}
        self.told: dict[tuple[str, int, int], NamedTuple] = {}  # health and states, by table, journal and sequence
        self.eras: dict[int, EraRow] = {}
        self.gaps: list[Gap] = []
        self.eras_of: dict[int, int] = {}
        self.is_away = False
        self.stands: Callable[[], None] = lambda: None
        self.carried: list[Batch] = []

    def read_cursor(self) -> Cursor:
        """How far it has come. Raises AwayError."""
        if self.is_away:
            raise AwayError("it is away")
        return self.cursor

    def open_payments(self) -> list[PaymentRow]:
        """The payments of the current era that are open. Raises AwayError."""
        era = self.read_cursor().era
        return [row for row in self.payments.values() if row.era == era and row.state in OPEN]

    def carry(self, batch: Batch) -> None:
        """Carries a batch. Raises AwayError, CursorMovedError and DoubleRowError."""
        if self.is_away:
            raise AwayError("it is away")
        if self.cursor != batch.expected:
            raise CursorMovedError(f"the ledger is at {self.cursor} and was expected at {batch.expected}")
        self.stands()
        self.write(batch)
        self.carried.append(batch)

    def write(self, batch: Batch) -> None:
        """The transaction."""
        self.write_rows(batch)
        self.write_cursor(batch)

    def write_rows(self, batch: Batch) -> None:
        """All but the cursor."""
        for act in batch.acts:
            if act.is_retry:
                self._reopen(act, batch)
        for row in last_rows(batch.payments):
            self.put_payment(row)
        self._put_attempts(batch)
        for name, rows in (("health", batch.health), ("states", batch.states)):
            for told in rows:
                self._insert(name, batch.cursor.journal_number, told)
        for era in batch.eras:
            self._put_era(era)
        self.gaps += [Gap(batch.cursor.generation, row) for row in batch.gaps]

    def write_cursor(self, batch: Batch) -> None:
        """The last step of a batch."""
        before, self.cursor = self.cursor, batch.cursor
        self.eras_of[batch.cursor.purges] = batch.cursor.era
        if (
            before.generation == batch.cursor.generation
            and batch.cursor.era - before.era == batch.cursor.purges - before.purges
        ):
            for purges in range(before.purges, batch.cursor.purges):
                self.eras_of[purges] = before.era + purges - before.purges

    def put_payment(self, row: PaymentRow) -> None:
        """Inserts a payment, or replaces its row if that has the same rank or a lower one."""
        key = row.id, row.era
        before = self.payments.get(key)
        if before is None or row.rank >= before.rank:
            self.payments[key] = row

    def _reopen(self, act: ActRow, batch: Batch) -> None:
        """See :func:`engine.ledger.acts.reopen`."""
        eras = {row.era for row in batch.payments if row.id == act.payment and row.state in (*OPEN, PURGED)}
        for key, row in list(self.payments.items()):
            if row.id == act.payment and row.state == FAILED:
                is_older = row.era == batch.cursor.era and row.settled_ms is not None and row.settled_ms <= act.at_ms
                if row.era in eras or is_older:
                    self.payments[key] = row._replace(state=QUEUED, reason=REASON_NONE, settled_ms=None)

    def _put_attempts(self, batch: Batch) -> None:
        number, expected = batch.cursor.journal_number, batch.expected
        begin = expected.journal if expected.journal_number == number else 0
        known: dict[int, AttemptRow] = {}
        for row in batch.attempts:
            before = known.get(row.sequence)
            known[row.sequence] = row if before is None else _completed(before, row)
        for sequence, row in known.items():
            key = number, sequence
            if key in self.attempts:
                if sequence >= begin:
                    raise DoubleRowError(f"an attempt is inserted a second time: {row}")
                self.complete(key, row)
            else:
                self.attempts[key] = row

    def complete(self, key: tuple[int, int], row: AttemptRow) -> None:
        """Adds what is known now to an attempt that is there."""
        self.attempts[key] = _completed(self.attempts[key], row)

    def _insert(self, table: str, number: int, row: NamedTuple) -> None:
        key = table, number, row[0]
        if key in self.told:
            raise DoubleRowError(f"a row of {table} is inserted a second time: {row}")
        self.told[key] = row

    def _put_era(self, era: EraRow) -> None:
        before = self.eras.get(era.number)
        self.eras[era.number] = era if before is None else before._replace(ended_ms=era.ended_ms)
        if era.ended_ms is None:
            return
        for key, row in self.payments.items():
            if row.era == era.number and row.state in OPEN:
                self.payments[key] = row._replace(state=PURGED)


def last_rows(rows: tuple[PaymentRow, ...]) -> list[PaymentRow]:
    """Of the rows of a batch that are one payment, the last one of the highest rank."""
    last: dict[tuple[bytes, int], PaymentRow] = {}
    for row in rows:
        key = row.id, row.era
        if key not in last or row.rank >= last[key].rank:
            last[key] = row
    return list(last.values())


def _completed(before: AttemptRow, after: AttemptRow) -> AttemptRow:
    kept = ("sequence", "began_ms") if before.began_ms is not None else ("sequence",)
    values = {name: value for name, value in after._asdict().items() if value is not None and name not in kept}
    return before._replace(**values)
