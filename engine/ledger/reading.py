"""What API processes ask of the ledger: a payment that memory has forgotten, its attempts, sums of old windows.

It is used by one thread. The database is opened when the first question comes, and read-only. After a failure it is
left alone for RETRY_SECONDS, so that who asks learns at once that it is away.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from engine.books.reader import Sum
from engine.journal.reader import JournalReader
from engine.ledger import database, queries
from engine.ledger.answers import ATTEMPTS_SHOWN, Found, Memory, Sums, Told
from engine.ledger.database import Database, open_ledger, read_cursor, wall_ms
from engine.ledger.errors import AwayError, LedgerError
from engine.ledger.rows import PURGED, Cursor
from engine.logs.logger import Logger
from engine.memory.errors import SegmentError
from engine.settings import Settings
from engine.storage import journals
from engine.storage.segment import Segment

LIMIT_SECONDS: Final = 0.4  # of a transaction
RETRY_SECONDS: Final = 1.0
BEHIND_MS_MAX: Final = 5000  # what a sum that nothing else confirms may lack at its end: the ledger looks more often
NOTICED_LATE_MS: Final = 10_000  # a gap bears the time at which the look began that noticed it

log = Logger(__name__)


class Reading:
    """The ledger of an engine, for one thread. Raises ImportError when a package is missing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._processors = len(settings.processors.names)
        self._database: Database | None = None
        self._retry_at = 0.0
        self._said = ""
        self._journal: Segment | None = None
        database.load(settings.ledger_url)

    def find(self, identity: bytes, memory: Memory) -> Found:
        """The payment of an id. Raises LedgerError."""
        with self._transaction() as connection:
            return _find(connection, read_cursor(connection), identity, memory)

    def attempts(self, identity: bytes, memory: Memory) -> Told:
        """The attempts of the payment of an id, also of one that memory has. Raises LedgerError."""
        heads = self._heads()
        now_ms = wall_ms()
        with self._transaction() as connection:
            cursor = read_cursor(connection)
            found = _find(connection, cursor, identity, memory)
            if found.row is None:
                return Told(found, (), self._until_ms(cursor, heads, now_ms), found.is_certain)
            rows = queries.attempts_of(connection, identity, found.row.era, ATTEMPTS_SHOWN + 1)
            is_missed = queries.has_missed_records(connection, found.row.accepted_ms)
        is_whole = len(rows) <= ATTEMPTS_SHOWN and not is_missed
        return Told(found, tuple(rows[-ATTEMPTS_SHOWN:]), self._until_ms(cursor, heads, now_ms), is_whole)

    def sums(self, stretches: Sequence[tuple[int, int]], memory: Memory) -> Sums:
        """What was settled under a requestedAt from the one ms to the other, which is excluded. Raises LedgerError."""
        heads = self._heads()
        now_ms = wall_ms()
        with self._transaction() as connection:
            cursor = read_cursor(connection)
            found = [queries.sums_of(connection, cursor.era, begin, end - 1) for begin, end in stretches]
            is_whole = _is_of(cursor, memory) and self._is_all_there(connection, cursor, min(stretches)[0])
        until_ms = self._until_ms(cursor, heads, now_ms)
        is_whole = is_whole and until_ms is not None and now_ms - until_ms <= BEHIND_MS_MAX
        numbers = range(self._processors)
        return Sums(tuple(tuple(one.get(number, Sum(0, 0)) for number in numbers) for one in found), is_whole)

    def close(self) -> None:
        """Closes the connection."""
        if self._database is not None:
            self._database.close()
        if self._journal is not None:
            self._journal.close()

    @staticmethod
    def _is_all_there(connection: sa.Connection, cursor: Cursor, from_ms: int) -> bool:
        """Whether nothing that was settled since ``from_ms`` is missing for good."""
        since_ms = max(from_ms, queries.era_began_ms(connection, cursor.era))
        is_kept = since_ms >= queries.payment_reach_ms(connection)
        return is_kept and not queries.has_missed_payments(connection, since_ms - NOTICED_LATE_MS, only_whole=False)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if time.monotonic() < self._retry_at:
            raise AwayError(self._said)
        try:
            if self._database is None:
                settings = self._settings
                self._database = open_ledger(
                    settings.ledger_url, name=settings.host.name, reads_only=True, limit_s=LIMIT_SECONDS
                )
            with self._database.transaction() as connection:
                yield connection
        except LedgerError as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if str(error) != self._said:
                log.warning("database_away", reason=str(error))
            self._said = str(error)
            raise
        if self._said:
            log.warning("database_back")
            self._said = ""

    def _heads(self) -> tuple[int, int] | None:
        """Number and head of the journal as it is now; None: there is none to be read."""
        with contextlib.suppress(SegmentError):
            if self._journal is not None and not self._journal.is_current():
                self._journal.close()
                self._journal = None
            if self._journal is None:
                self._journal = journals.open_to_read(self._settings)
        if self._journal is None:
            return None
        journal = JournalReader(self._journal.words)
        return journal.number, journal.head

    def _until_ms(self, cursor: Cursor, heads: tuple[int, int] | None, now_ms: int) -> int | None:
        """Until when SQL has all that the journal tells; ``now_ms``: when the journal had these heads."""
        if heads is None or self._journal is None or heads[0] != cursor.journal_number:
            return None
        if cursor.journal >= heads[1]:
            return now_ms
        piece = JournalReader(self._journal.words).read(cursor.journal, 1)
        return None if piece.missed or not piece.records else piece.records[0].at_ms - 1


def _find(connection: sa.Connection, cursor: Cursor, identity: bytes, memory: Memory) -> Found:
    if not _is_of(cursor, memory):
        return Found(None, memory.is_whole, memory.is_whole)
    row = queries.payment_of(connection, identity, cursor.era)
    if row is not None and row.state != PURGED:
        return Found(row, True, True)
    if not _has_reached(cursor, memory):
        return Found(None, False, False)
    began_ms = queries.era_began_ms(connection, cursor.era)
    is_missed = queries.has_missed_payments(connection, began_ms - NOTICED_LATE_MS, only_whole=True)
    return Found(None, True, not is_missed and queries.payment_reach_ms(connection) <= began_ms)


def _is_of(cursor: Cursor, memory: Memory) -> bool:
    """Whether the ledger's era is memory's. The number of purges is taken over with the payments."""
    is_same = cursor.generation == memory.generation or (cursor.generation == memory.replaced != 0)
    return is_same and cursor.purges == memory.purges


def _has_reached(cursor: Cursor, memory: Memory) -> bool:
    """Whether SQL has seen every payment that had left memory. Payments of the memory before are all seen anew."""
    seen = {ring.ring: ring.seen for ring in cursor.rings}
    is_same = cursor.generation == memory.generation
    return is_same and all(seen.get(number, 0) >= gone for number, gone in enumerate(memory.gone))
