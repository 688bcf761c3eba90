"""The ledger in SQLite: a file with a write-ahead log (WAL).

*Warning*: SQLite 3.7.0 to 3.51.2 can corrupt a database in WAL mode that several connections write or checkpoint. So
the ledger uses pysqlite3, which carries its own SQLite, refuses older ones, maps no memory, and leaves checkpoints to
the ledger process: readers open the file read-only, which keeps them from checkpointing when they close it too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import pysqlite3.dbapi2 as sqlite3
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.pool import QueuePool

from engine.ledger import schema, statements
from engine.ledger.backend import ROW_ERRORS, Days, Values, driver_error, first_line
from engine.ledger.errors import AwayError, LedgerError, UnusableError

OLDEST: Final = (3, 51, 3)
# Of 4 kB: the log is written back into the database when it has this many. Ids are random, so a page is written many
# times to the log before, and then once.
CHECKPOINT_PAGES: Final = 16_000
LOG_BYTES_KEPT: Final = 64 << 20  # a log that has grown beyond it, because a reader was slow, is cut after a checkpoint
CACHE_KB: Final = 16_384
BUSY_SHARE: Final = 0.8  # of the time limit is waited for another writer
STEPS_BETWEEN_LOOKS: Final = 50_000  # of SQLite's virtual machine, from one look at the clock to the next
DELETED_AT_ONCE: Final = 2000  # rows: a transaction of some 20 ms
DAY_MS: Final = 86_400_000

# Of every bound None and every id the module asks first whether it has an adapter, then whether the value can adapt
# itself, and makes and forgets an exception about that: 2 us each time, more than a row's other 15 values together. So
# they have one, which changes nothing.
sqlite3.register_adapter(type(None), {}.get)
sqlite3.register_adapter(bytes, bytes.__bytes__)


def check_version(found: tuple[int, ...]) -> None:
    """Raises UnusableError for a version of SQLite that can corrupt a database in WAL mode."""
    if found < OLDEST:
        raise UnusableError(
            f"SQLite {'.'.join(map(str, found))} can corrupt a database in WAL mode; the ledger needs "
            f"{'.'.join(map(str, OLDEST))} or newer: install pysqlite3 as requirements-ops.lock says"
        )


class Sqlite:
    """A database in the file ``path``.

    Parameters:
      path: of the database; a writer makes it, readable for its own user alone.
      reads_only: for everybody but the ledger process.
      is_full: each commit waits for the disk (``synchronous=FULL``); else a loss of power may take the last ones away.
      limit_s: how long a lock is waited for, as a part of what :meth:`limited` allows.
      checkpoints: whether a writer writes the log back into the database; only the ledger process does.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error, OSError)

    def __init__(self, path: str, *, reads_only: bool, is_full: bool, limit_s: float, checkpoints: bool = True) -> None:
        check_version(sqlite3.sqlite_version_info)
        self._path, self._reads_only = path, reads_only
        self._pragmas = [f"busy_timeout = {int(limit_s * BUSY_SHARE * 1000)}", "mmap_size = 0"]
        self._pragmas += ["query_only = ON", "wal_autocheckpoint = 0"] if reads_only else [
            f"synchronous = {'FULL' if is_full else 'NORMAL'}",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES if checkpoints else 0}",
            f"journal_size_limit = {LOG_BYTES_KEPT}",
            f"cache_size = -{CACHE_KB}",
        ]  # fmt: skip
        self.engine = sa.create_engine(
            "sqlite+pysqlite://", module=sqlite3, creator=self._connect, poolclass=QueuePool, pool_size=4,
            max_overflow=0, pool_timeout=limit_s,
        )  # fmt: skip
        sa.event.listen(self.engine, "begin", self._begin)
        self._insert_payments = _text(_upsert(), "qmark")
        self._complete, self._add = _text(_update(), "named"), _text(_insert_missing(), "named")

    def _connect(self) -> Any:
        if not self._reads_only:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        mode = "ro" if self._reads_only else "rw"
        connection = sqlite3.connect(
            f"file:{quote(self._path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in self._pragmas:
                connection.execute(f"PRAGMA {pragma}")
            # A copy that no ledger process has opened yet has no log, and can be read as it is.
            if not self._reads_only and connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise UnusableError(f"{self._path} cannot have a write-ahead log: use a local disk")
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: sa.Connection) -> None:
        # A writer takes its lock at once: one that begins to write later fails if another one wrote meanwhile.
        connection.exec_driver_sql("BEGIN" if self._reads_only else "BEGIN IMMEDIATE")

    @contextlib.contextmanager
    def limited(self, connection: sa.Connection, seconds: float) -> Iterator[None]:
        """See Backend."""
        driver = connection.connection.driver_connection
        assert driver is not None
        end = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN_LOOKS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)

    def missing(self, days: Days) -> Days:
        """See Backend: a table has room for every day."""
        return {}

    def make(self, connection: sa.Connection, days: Days) -> None:
        """See Backend: there is nothing to make."""

    def insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]) -> None:
        """See Backend."""
        columns = [column.name for column in table.c if column.identity is None]
        places = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})", list(rows))

    def upsert_payments(self, connection: sa.Connection, rows: Sequence[Values]) -> None:
        """See Backend."""
        connection.exec_driver_sql(self._insert_payments, list(rows))

    def complete_attempts(self, connection: sa.Connection, rows: Sequence[Values]) -> None:
        """See Backend."""
        names = schema.attempt.c.keys()
        values = [dict(zip(names, row, strict=True)) for row in rows]
        connection.exec_driver_sql(self._complete, values)
        connection.exec_driver_sql(self._add, values)

    def is_row_error(self, error: Exception) -> bool:
        """See Backend."""
        return isinstance(driver_error(error), (sqlite3.IntegrityError, sqlite3.DataError, *ROW_ERRORS))

    def explain(self, error: Exception) -> LedgerError:
        """See Backend: locked, full, interrupted and unreadable are away; a broken file is not."""
        original = driver_error(error)
        if isinstance(original, (sqlite3.OperationalError, sqlite3.InterfaceError, OSError, sa.exc.TimeoutError)):
            return AwayError(f"the ledger's database {self._path} is away: {first_line(original)}")
        return UnusableError(f"the ledger's database {self._path} cannot be used: {first_line(original)}")

    def backup(self, path: str) -> None:
        """See Backend: SQLite's online backup. A copy that was not finished does not have the name ``path``."""
        part = f"{path}.part"
        try:
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            try:
                self._copy(part)
                os.link(part, path)  # which fails if somebody has made the file meanwhile
                _sync(os.path.dirname(path))
            finally:
                os.unlink(part)
        except FileExistsError as error:
            raise UnusableError(f"{error.filename2 or error.filename} is there already") from error
        except OSError as error:
            raise UnusableError(f"{path} cannot be written: {error.strerror}") from error

    def _copy(self, path: str) -> None:
        source, target = self._connect(), sqlite3.connect(path)
        try:
            # All at once, from one moment. Piece by piece it would begin anew whenever the ledger has carried. In WAL
            # mode who reads keeps nobody from writing.
            source.backup(target, pages=-1)
            # A copy of a database in WAL mode: as a file by itself it needs no log.
            target.execute("PRAGMA journal_mode = DELETE")
            if target.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise UnusableError("the copy is not whole: the database itself may be damaged")
        finally:
            target.close()
            source.close()
        _sync(path)

    def drop_before(self, connection: sa.Connection, table: sa.Table, day: int) -> bool:
        """See Backend: a bounded number of rows, the oldest first."""
        at = schema.BY_DAY[table]
        found: sa.Select[Any] = (
            sa.select(sa.literal_column("rowid")).select_from(table).where(at < day * DAY_MS).order_by(at)
            .limit(DELETED_AT_ONCE)
        )  # fmt: skip
        done = connection.execute(sa.delete(table).where(sa.literal_column("rowid").in_(found)))
        return done.rowcount == DELETED_AT_ONCE


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(statement: Any, style: Any) -> str:
    return str(statement.compile(dialect=dialect.dialect(paramstyle=style)))


def _upsert() -> Any:
    insert = dialect.insert(schema.payment)
    return statements.payments(insert, insert.excluded)


def _update() -> Any:
    own = schema.attempt.c
    given = {column.name: sa.bindparam(column.name, type_=column.type) for column in own}
    return (
        sa.update(schema.attempt)
        .where(own.sequence == given["sequence"], own.journal == given["journal"])
        .values(statements.answers(given))
    )


def _insert_missing() -> Any:
    own = schema.attempt.c
    given = [sa.bindparam(column.name, type_=column.type) for column in own]
    there = sa.select(1).where(own.sequence == sa.bindparam("sequence"), own.journal == sa.bindparam("journal"))
    source = sa.select(*given).where(~there.exists().correlate(None))
    return sa.insert(schema.attempt).from_select(own.keys(), source)
