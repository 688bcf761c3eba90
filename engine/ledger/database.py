"""An open ledger: connecting, transactions with a limit of time, whose database it is, and how far it has come."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from engine.ledger import schema, statements, version
from engine.ledger.backend import Backend, Errors
from engine.ledger.errors import AwayError, OtherEngineError, UnusableError
from engine.ledger.rows import Cursor, RingCursor

LIMIT_SECONDS: Final = 10.0
MIGRATE_SECONDS: Final = 3600.0  # a migration may write every row anew
ENGINE_BYTES: Final = 16


def wall_ms() -> int:
    """The wall clock, in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Database:
    """A ledger's database.

    Parameters:
      limit_s: how long a transaction may take, in seconds.
      now_ms: the wall clock, for `created_ms` and `updated_ms`.
    """

    def __init__(self, backend: Backend, limit_s: float, now_ms: Callable[[], int]) -> None:
        self.backend = backend
        self.now_ms = now_ms
        self._limit_s = limit_s
        self._errors: Errors = (sa.exc.SQLAlchemyError, *backend.errors)

    @contextlib.contextmanager
    def transaction(self, limit_s: float | None = None) -> Iterator[sa.Connection]:
        """One transaction, committed at the end of the block, undone when it raises.

        Raises LedgerError for whatever the database has to say; other exceptions of the block go through.
        """
        seconds = self._limit_s if limit_s is None else limit_s
        with (
            self._explaining(),
            self.backend.engine.connect() as connection,
            self.backend.limited(connection, seconds),
            connection.begin(),
        ):
            yield connection

    def cursor(self) -> Cursor:
        """How far SQL has come. Raises LedgerError."""
        with self.transaction() as connection:
            return read_cursor(connection)

    def backup(self, path: str) -> None:
        """Writes a copy to the new file ``path`` while the ledger is used. Raises LedgerError."""
        with self._explaining():
            self.backend.backup(path)

    def prepare(self, days: dict[sa.Table, set[int]]) -> None:
        """Makes room for rows of these days (since 1970 UTC). Raises LedgerError."""
        missing = self.backend.missing(days)
        if missing:
            with self.transaction() as connection:
                self.backend.make(connection, missing)

    def drop_before(self, table: sa.Table, day: int) -> bool:
        """Drops a bounded part of the rows from before this day; whether there may be more. Raises LedgerError."""
        with self.transaction() as connection:
            return self.backend.drop_before(connection, table, day)

    def close(self) -> None:
        """Closes all connections."""
        self.backend.engine.dispose()

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            explained = self.backend.explain(error)
            if isinstance(explained, AwayError):
                self.backend.engine.dispose()  # a connection that broke in the middle is not used again
            raise explained from error


def open_ledger(
    url: str,
    *,
    name: str,
    engine: bytes | None = None,
    processors: Sequence[str] = (),
    reads_only: bool = False,
    adds: bool = False,
    is_full: bool = True,
    limit_s: float = LIMIT_SECONDS,
    now_ms: Callable[[], int] = wall_ms,
) -> Database:
    """Opens a ledger. The ledger process, which writes, makes it when there is none, and migrates an older schema.

    Parameters:
      url: ``sqlite:////path/of/file`` or ``postgresql://...`` as libpq reads it.
      name: ENGINE_NAME, which must be the database's.
      engine: the engine's id, which must be the database's; None: whatever it has, in a new one a random id.
      processors: their names by number, for people.
      reads_only: for everybody but the ledger process: nothing is made, and the schema must be this program's.
      adds: for operators' commands, which add rows to a ledger as it is: nothing is made, migrated or checkpointed.
      is_full: each commit waits for the disk, also where PostgreSQL's own setting is `synchronous_commit = off`.
      limit_s: the longest that connecting, or a transaction, may take; a migration has MIGRATE_SECONDS.

    Raises AwayError, OtherEngineError, TooNewError or UnusableError.
    """
    backend = _backend(url, reads_only, is_full, limit_s, checkpoints=not adds)
    database = Database(backend, limit_s, now_ms)
    try:
        is_kept = reads_only or adds
        with database.transaction(limit_s if is_kept else MIGRATE_SECONDS) as connection:
            if is_kept:
                version.check(connection)
            else:
                from engine.ledger import migrate

                migrate.upgrade(connection)
                _claim(connection, name, engine or secrets.token_bytes(ENGINE_BYTES), now_ms())
                _name_processors(connection, processors, now_ms())
            _check_owner(connection, name, engine)
    except BaseException:
        database.close()
        raise
    return database


def load(url: str) -> None:
    """Imports what a database needs, so that opening it does not take that time. Raises ImportError."""
    importlib.import_module(f"engine.ledger.{'sqlite' if url.startswith('sqlite:') else 'postgres'}")


def _backend(url: str, reads_only: bool, is_full: bool, limit_s: float, *, checkpoints: bool) -> Backend:
    try:
        if url.startswith("sqlite:///"):
            from engine.ledger.sqlite import Sqlite

            path = sa.make_url(url).database
            if not path or not os.path.isabs(path):
                raise UnusableError("a ledger in SQLite has an absolute path: sqlite:////directory/file")
            return Sqlite(path, reads_only=reads_only, is_full=is_full, limit_s=limit_s, checkpoints=checkpoints)
        if url.startswith("postgresql://"):
            from engine.ledger.postgres import Postgres

            return Postgres(url, reads_only=reads_only, is_full=is_full, limit_s=limit_s)
    except ImportError as error:
        raise UnusableError(
            f"{error.name} is not installed: `make setup` installs it (requirements-ops.lock names all)"
        ) from error
    raise UnusableError("a ledger's address begins with sqlite:/// or postgresql://")


def _claim(connection: sa.Connection, name: str, engine: bytes, now_ms: int) -> None:
    if connection.execute(sa.select(schema.cursor.c.one)).first() is None:
        values = {"one": 1, "engine": engine, "name": name, "generation": 0, "era": 0, "journal_number": 0}
        values |= {"journal": 0, "parked": 0, "purges": 0, "rings": "[]", "created_ms": now_ms, "updated_ms": now_ms}
        connection.execute(sa.insert(schema.cursor), values)


def _check_owner(connection: sa.Connection, name: str, engine: bytes | None) -> None:
    found = connection.execute(sa.select(schema.cursor.c.name, schema.cursor.c.engine)).one()
    if found.name != name or engine not in (None, bytes(found.engine)):
        raise OtherEngineError(
            f"the ledger's database belongs to the engine {found.name} (id {bytes(found.engine).hex()}), and not to "
            f"{name}{f' (id {engine.hex()})' if engine else ''}: name another one in ENGINE_LEDGER_URL"
        )


def _name_processors(connection: sa.Connection, names: Sequence[str], now_ms: int) -> None:
    values = [
        {"number": number, "name": name, "created_ms": now_ms, "updated_ms": now_ms}
        for number, name in enumerate(names)
    ]
    if values:
        connection.execute(statements.upserts(connection.dialect.name, schema.processor), values)


_READ: Final = sa.select(schema.cursor)
_READ_LOCKED: Final = _READ.with_for_update()
_Pairs = Iterable[tuple[int, int]]
_WRITE: Final = sa.update(schema.cursor).values(
    {
        name: sa.bindparam(name)
        for name in ("generation", "era", "journal_number", "journal", "parked", "purges", "rings", "updated_ms")
    }
)


def read_cursor(connection: sa.Connection, *, locks: bool = False) -> Cursor:
    """The cursor. ``locks``: nobody else may move it until the end of the transaction."""
    row = connection.execute(_READ_LOCKED if locks else _READ).one()
    rings = [_ring(*words) for words in json.loads(row.rings)]
    return Cursor(
        bytes(row.engine), schema.unsigned(row.generation), row.era, row.journal, row.parked, tuple(rings),
        schema.unsigned(row.journal_number), row.purges,
    )  # fmt: skip


def _ring(ring: int, mark: int, seen: int, above: _Pairs, begin: int = 0, earlier: _Pairs = ()) -> RingCursor:
    """What the database has of a ring; an older version has written fewer words."""
    return RingCursor(ring, mark, seen, _pairs(above), begin, _pairs(earlier))


def _pairs(words: _Pairs) -> tuple[tuple[int, int], ...]:
    return tuple((first, second) for first, second in words)


def write_cursor(connection: sa.Connection, cursor: Cursor, now_ms: int) -> None:
    """Replaces the cursor. Engine and name stay."""
    values: dict[str, Any] = {"generation": schema.signed(cursor.generation), "era": cursor.era}
    values |= {"journal_number": schema.signed(cursor.journal_number), "journal": cursor.journal}
    values |= {
        "parked": cursor.parked,
        "purges": cursor.purges,
        "rings": json.dumps(cursor.rings),
        "updated_ms": now_ms,
    }
    connection.execute(_WRITE, values)
