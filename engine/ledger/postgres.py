"""The ledger in PostgreSQL, with psycopg 3: rows come by COPY."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg.sql import SQL, Identifier
from sqlalchemy.dialects import postgresql as dialect
from sqlalchemy.pool import QueuePool

from engine.ledger import partitions, schema, statements
from engine.ledger.backend import ROW_ERRORS, Days, Values, driver_error, first_line
from engine.ledger.errors import AwayError, LedgerError, UnusableError
from engine.ledger.watchdog import watched

CONNECT_SECONDS: Final = 5
LOCK_MS: Final = 2000  # how long a lock is waited for, by migrations too: who waits for one blocks whoever comes later
GRACE_SECONDS: Final = 1.0  # the server ends a statement by itself first; only a server that stands still is hung up on
_WAIT_FOR_DISK: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
WINDOW_MS: Final = 86_400_000  # an attempt that began earlier than this before its answer is not looked for


class Postgres:
    """A database at ``url``, as libpq reads it.

    Parameters:
      reads_only: for everybody but the ledger process.
      is_full: each commit waits for the server's disk, whatever the server is set to.
      limit_s: how long a statement may take.
    """

    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: str, *, reads_only: bool, is_full: bool, limit_s: float) -> None:
        self._url = url
        self._is_full = is_full
        self._shown = without_password(url)
        milliseconds = int(limit_s * 1000)
        settings = {
            "statement_timeout": milliseconds,
            "lock_timeout": min(LOCK_MS, milliseconds // 2),
            "idle_in_transaction_session_timeout": milliseconds,
            "default_transaction_read_only": "on" if reads_only else "off",
        }
        self._options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self.engine = sa.create_engine(
            "postgresql+psycopg://", creator=self._connect, poolclass=QueuePool, pool_size=4, max_overflow=0,
            pool_timeout=limit_s,
        )  # fmt: skip
        self._payments = str(_payments().compile(dialect=self.engine.dialect))
        self._days: dict[sa.Table, set[int]] = {}

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._url, connect_timeout=CONNECT_SECONDS, options=self._options, application_name="engine ledger",
            keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
            client_encoding="utf8",  # else a cluster that was made without a locale answers bytes
            prepare_threshold=None,  # statements that were prepared are lost behind a pooler
        )  # fmt: skip
        if self._is_full:
            connection.execute(_WAIT_FOR_DISK)  # what waits for more, such as a standby, stays
            connection.commit()
        return connection

    @contextlib.contextmanager
    def limited(self, connection: sa.Connection, seconds: float) -> Iterator[None]:
        """See Backend."""
        with watched(_driver(connection).fileno(), seconds + GRACE_SECONDS):
            yield

    def missing(self, days: Days) -> Days:
        """See Backend."""
        missing = {table: wanted - self._days.get(table, set()) for table, wanted in days.items()}
        return {table: wanted for table, wanted in missing.items() if wanted}

    def make(self, connection: sa.Connection, days: Days) -> None:
        """See Backend: makes the partitions of these days, at most ``partitions.NEW_MAX`` for each table."""
        for table, wanted in days.items():
            # What is there now is committed. What is made here may be undone: it counts when it is found the next time.
            self._days[table] = partitions.days(connection, table)
            partitions.make(connection, table, wanted - self._days[table])

    def insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]) -> None:
        """See Backend."""
        _copy(connection, table.name, table, rows)

    def upsert_payments(self, connection: sa.Connection, rows: Sequence[Values]) -> None:
        """See Backend."""
        _stage(connection, schema.payment, rows)
        connection.exec_driver_sql(self._payments)

    def complete_attempts(self, connection: sa.Connection, rows: Sequence[Values]) -> None:
        """See Backend. Rows are looked for within WINDOW_MS, so that few partitions are."""
        staging = _stage(connection, schema.attempt, rows)
        at = list(schema.attempt.c.keys()).index("began_ms")
        times = [row[at] for row in rows]
        own = schema.attempt.c
        same = sa.and_(
            own.sequence == staging.c.sequence,
            own.journal == staging.c.journal,
            own.began_ms.between(min(times) - WINDOW_MS, max(times) + WINDOW_MS),
        )
        # The staged rows are not analyzed: nobody may conclude from a guess that all attempts should be read.
        connection.exec_driver_sql("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        connection.execute(sa.update(schema.attempt).where(same).values(statements.answers(staging.c)))
        missing = sa.select(staging).where(~sa.select(1).select_from(schema.attempt).where(same).exists())
        connection.execute(sa.insert(schema.attempt).from_select(own.keys(), missing))

    def is_row_error(self, error: Exception) -> bool:
        """See Backend."""
        return isinstance(driver_error(error), (psycopg.DataError, psycopg.IntegrityError, *ROW_ERRORS))

    def explain(self, error: Exception) -> LedgerError:
        """See Backend: whatever concerns the server or the way to it is away; SQL that it does not accept is not."""
        original = driver_error(error)
        if isinstance(original, (psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.DataError)):
            return UnusableError(f"the ledger's database {self._shown} cannot be used: {first_line(original)}")
        return AwayError(f"the ledger's database {self._shown} is away: {first_line(original)}")

    def backup(self, path: str) -> None:
        """See Backend: PostgreSQL has its own tools for that."""
        raise UnusableError(
            f"the ledger is in PostgreSQL ({self._shown}), which has its own tools: "
            f"pg_dump --format=custom --file={path} ..., or a base backup with its log; see docs/ledger.md"
        )

    def drop_before(self, connection: sa.Connection, table: sa.Table, day: int) -> bool:
        """See Backend: drops one partition."""
        old = [one for one in sorted(partitions.days(connection, table)) if one < day]
        for one in old[:1]:
            self._days.get(table, set()).discard(one)
            partitions.drop(connection, table, one)
        return len(old) > 1


def without_password(url: str) -> str:
    """The address as it may be told: libpq's has the password before the host, or among its parameters."""
    return re.sub(r"(?<=[?&]password=)[^&]*|(?<=://)([^:@/]*:)[^/]*(?=@)", r"\1***", url)


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _copy(connection: sa.Connection, name: str, table: sa.Table, rows: Sequence[Values]) -> None:
    """Copies rows of ``table`` into the table ``name``, in binary form, which costs both ends less."""
    columns = [column for column in table.c if column.identity is None]
    places = SQL(", ").join(Identifier(column.name) for column in columns)
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(Identifier(name), places)
    with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([column.type.compile(connection.dialect).lower() for column in columns])
        for row in rows:
            copy.write_row(row)


def _stage(connection: sa.Connection, table: sa.Table, rows: Sequence[Values]) -> sa.TableClause:
    """Brings rows into a temporary table like ``table``, and nothing else into it."""
    name = f"staged_{table.name}"
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (LIKE {table.name}) ON COMMIT DELETE ROWS")
    # Rows are there only when an earlier part of a batch was written, and a later one had to be divided.
    if connection.exec_driver_sql(f"SELECT 1 FROM {name} LIMIT 1").first() is not None:
        connection.exec_driver_sql(f"TRUNCATE {name}")
    _copy(connection, name, table, rows)
    return sa.table(name, *(sa.column(column.name, column.type) for column in table.c))


def _payments() -> Any:
    columns = schema.payment.c.keys()
    staged = sa.table("staged_payment", *map(sa.column, columns))
    insert = dialect.insert(schema.payment).from_select(columns, sa.select(staged))
    return statements.payments(insert, insert.excluded)
