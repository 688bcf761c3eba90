"""The wrong code about journal and ledger that :mod:`engine.lab.dst.mutants` puts in the place of the right one."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from engine.dispatch.attempt import Now
from engine.dispatch.history import Ends, History
from engine.journal.writer import JournalWriter, Record
from engine.lab.dst.sql import Sql
from engine.ledger.eras import Eras
from engine.ledger.marks import Marks
from engine.ledger.rows import AttemptRow, Batch, Cursor, PaymentRow
from engine.memory import journal_layout, layout
from engine.payment import Payment
from engine.ring.ring import RingReader

_set = Marks.set
_next = Eras._next
_append = JournalWriter.append
_answered = History.answered
_put_payment = Sql.put_payment


def write_cursor_first(self: Sql, batch: Batch) -> None:
    self.write_cursor(batch)
    self.stands()
    self.write_rows(batch)


def put_payment_again(self: Sql, row: PaymentRow) -> None:
    before = self.payments.get((row.id, row.era))
    _put_payment(self, row if before is None else row._replace(cents=before.cents + row.cents))


def add_answer(self: Sql, key: tuple[int, int], row: AttemptRow) -> None:
    self.attempts[key[0], -1 - key[1]] = row


def marks_of_all_seen(self: Marks, cursor: Cursor) -> None:
    _set(self, cursor)
    if cursor.generation == self._books[layout.BOOKS_GENERATION_AT]:
        for ring in cursor.rings:
            self._rings[ring.ring][layout.RING_LEDGER_AT] = ring.seen


def is_full_of_open(self: RingReader) -> bool:
    oldest = self.words[layout.RING_HEAD_AT] - self.slots
    return oldest >= 0 and not self.is_done(oldest)


def no_next_era(self: Eras, now_ms: int, why: str) -> None:
    if not self.current:
        _next(self, now_ms, why)
    self._by_purges[self.purges] = self.current


def publish_first(self: JournalWriter, records: Sequence[Record]) -> None:
    self._words[journal_layout.CLAIMED_AT] = self._words[journal_layout.PUBLISHED_AT] = self.sequence + len(records)
    _append(self, records)


def read_slots_at_once(ring: RingReader, positions: Sequence[int]) -> list[Payment | None]:
    def read(position: int) -> Payment | None:
        at = ring.offset(position)
        slot = cast(Any, ring.words[at : at + layout.SLOT_WORDS]).tolist()  # the sequence before what it vouches for
        return RingReader.read(cast(RingReader, SimpleNamespace(words=slot, offset=lambda _: 0)), position)

    return [read(position) for position in positions]


def answered_late(self: History, now: Now, ended: Ends) -> None:
    journal: Any = self._journal
    self._journal = _Later(self._waiting)  # type: ignore[assignment]
    _answered(self, now, ended)
    self._journal = journal


class _Later:
    def __init__(self, waiting: list[Record]) -> None:
        self.append = waiting.extend
