"""The store in PostgreSQL, with psycopg 3: see :class:`engine.cluster.store.Store` and docs/cluster.md.

An operation is one batched call of a function, and one transaction. Nothing is open between two operations.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

from engine.cluster import postgres_calls as calls
from engine.cluster.postgres_calls import AgainError, Rows, Work
from engine.cluster.postgres_schema import prepare
from engine.cluster.values import (
    Adoption,
    Call,
    Discrepancy,
    Epoch,
    Folded,
    Kept,
    Lease,
    Member,
    NoAnswerError,
    Offer,
    Outcome,
    Page,
    Pin,
    Question,
    Row,
    StaleEpochError,
    StaleEraError,
    StoreError,
    TakenError,
    UnusableError,
)

SCHEMA: Final = "engine_cluster"
SCHEMA_CHARACTERS_MAX: Final = 32  # a session's name has its schema and its epoch, and PostgreSQL cuts it after 63
LIMIT_S: Final = 2.0
GRACE_S: Final = 0.5  # the server ends a statement by itself first; only a server that stands still is hung up on
CONNECT_S_MIN: Final = 2  # libpq knows no less
TRIES_MAX: Final = 20
_STALE_EPOCH, _STALE_ERA, _TAKEN = "CE001", "CE002", "CE003"  # of the functions
_WAIT_FOR_DISK: Final = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)
# What it warns of, such as a pipeline whose connection has broken, is raised too.
logging.getLogger("psycopg").setLevel(logging.ERROR)


class _Connection(psycopg.Connection[Any]):
    """A connection whose server may stand still: whoever waits for it waits until ``deadline_s`` (monotonic) at
    most."""

    deadline_s = math.inf
    warning = ""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's, with the deadline."""
        if math.isfinite(self.deadline_s):
            timeout = max(0.0, self.deadline_s - time.monotonic())
        return super().wait(gen, interval=interval, timeout=timeout)

    def warned(self, said: psycopg.errors.Diagnostic) -> None:
        """Keeps a warning. A commit that somebody lets off waiting for the standby is a success with a warning."""
        if said.severity_nonlocalized == "WARNING":
            self.warning = said.message_primary or "a warning"


class Postgres:
    """One session of the store at ``url``, as libpq reads it. It connects by itself, and again after an error.

    Parameters:
      schema: where its tables stand.
      limit_s: how long an operation may take; to connect may take CONNECT_S_MIN more.
    """

    def __init__(self, url: str, *, schema: str = SCHEMA, limit_s: float = LIMIT_S) -> None:
        if not re.fullmatch(rf"[a-z_][a-z0-9_]{{0,{SCHEMA_CHARACTERS_MAX - 1}}}", schema):
            raise ValueError(f"{schema!r} is no name of a schema")
        self._url, self._schema, self._limit_s = url, schema, limit_s
        milliseconds = int(limit_s * 1000)
        settings = {
            "search_path": schema,
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds // 2,
            "idle_in_transaction_session_timeout": milliseconds,
            # A function's later statements must see what its first one has waited for.
            "default_transaction_isolation": r"read\ committed",
        }
        self._options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._connection: _Connection | None = None
        self._is_prepared = False
        self._epoch = 0  # whose session it is

    def close(self) -> None:
        """See Store."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._epoch = None, 0

    def perform(self, calls_: Sequence[Call]) -> tuple[Any, ...]:
        """See Store. All of them are one transaction, so that one commit does; if that is refused, each has its own."""
        works = [getattr(calls, call.operation)(*call.arguments) for call in calls_]
        if len(works) > 1 and len({work.epoch for work in works}) == 1:
            together = Work(works[0].epoch, tuple(one for work in works for one in work.statements), lambda rows: rows)
            try:
                rows = iter(self._run(together))
                return tuple(work.read([next(rows) for _ in work.statements]) for work in works)
            except NoAnswerError as error:
                return (error,) * len(works)
            except (psycopg.Error, AgainError):
                pass  # nothing of it was done
        return tuple(self._try(work) for work in works)

    def _try(self, work: Work) -> Any:
        try:
            return self._do(work)
        except StoreError as error:
            return error

    def _do(self, work: Work) -> Any:
        """Does one operation, again where the server says that nothing was done. Raises StoreError."""
        error: Exception | None = None
        for _ in range(TRIES_MAX):
            try:
                return work.read(self._run(work))
            except (AgainError, errors.SerializationFailure, errors.DeadlockDetected) as again:
                error = again
            except errors.LockNotAvailable as locked:
                error = locked
                if not work.in_the_way:
                    break
                self._run(Work(0, (("SELECT end_sessions(%s)", (work.in_the_way,)),), lambda rows: rows))
            except psycopg.Error as refused:
                raise _explained(refused) from None
        raise NoAnswerError(f"the store did not come to an end: {error}") from None

    def _run(self, work: Work) -> list[Rows]:
        """Does all statements in one transaction and one round trip.

        Raises psycopg.Error when the server has refused it, and NoAnswerError when nothing is known.
        """
        try:
            connection = self._connected(work.epoch)
            connection.warning = ""
            connection.deadline_s = time.monotonic() + self._limit_s + GRACE_S
            rows = _rows(connection, work)
        except psycopg.Error as error:
            if _is_refused(error):
                raise
            self.close()
            raise NoAnswerError(f"the store did not answer: {_first_line(error)}") from None
        if connection.warning:
            raise NoAnswerError(f"the store does not say that it is durable: {connection.warning}")
        return rows

    def _connected(self, epoch: int) -> _Connection:
        """The connection, under the name of the epoch whose session it is, so that who adopts it can end it."""
        if self._connection is None or self._connection.closed:
            self._connection, self._epoch = None, 0
            self._connection = self._connect()
        connection = self._connection
        if epoch and epoch != self._epoch:
            connection.deadline_s = time.monotonic() + self._limit_s + GRACE_S
            name = f"{self._schema} epoch {epoch}"
            connection.execute("SELECT set_config('application_name', %s, false)", (name,))
            self._epoch = epoch
        return connection

    def _connect(self) -> _Connection:
        connection = _Connection.connect(
            self._url, autocommit=True, connect_timeout=max(CONNECT_S_MIN, math.ceil(self._limit_s)),
            options=self._options, application_name=self._schema, keepalives_idle=10, keepalives_interval=5,
            keepalives_count=3,
            # In a pipeline that is refused the driver takes statements for prepared which the server has never seen.
            prepare_threshold=None,
        )  # fmt: skip
        connection.add_notice_handler(connection.warned)
        connection.deadline_s = time.monotonic() + self._limit_s + GRACE_S
        connection.execute(_WAIT_FOR_DISK)  # what waits for more, such as a standby, stays
        if not self._is_prepared:
            prepare(connection, self._schema)
            self._is_prepared = True
        return connection

    def join(self, name: str, place: bytes, life: bytes, replaces: int, lease_ms: int) -> Epoch:
        """See Store."""
        result: Epoch = self._do(calls.join(name, place, life, replaces, lease_ms))
        return result

    def lease(self, by: Epoch, lease_ms: int, told_ms: int) -> Lease:
        """See Store."""
        result: Lease = self._do(calls.lease(by, lease_ms, told_ms))
        return result

    def members(self) -> tuple[Member, ...]:
        """See Store."""
        result: tuple[Member, ...] = self._do(calls.members())
        return result

    def adopt(self, by: Epoch, epoch: int) -> Adoption:
        """See Store."""
        result: Adoption = self._do(calls.adopt(by, epoch))
        return result

    def leave(self, by: Epoch) -> None:
        """See Store."""
        self._do(calls.leave(by))

    def held(self, by: Epoch, after: bytes, limit: int) -> tuple[Kept, ...]:
        """See Store."""
        result: tuple[Kept, ...] = self._do(calls.held(by, after, limit))
        return result

    def accept(self, by: Epoch, offers: Sequence[Offer]) -> tuple[Row, ...]:
        """See Store."""
        result: tuple[Row, ...] = self._do(calls.accept(by, offers))
        return result

    def pin(self, by: Epoch, pins: Sequence[Pin]) -> tuple[Row, ...]:
        """See Store."""
        result: tuple[Row, ...] = self._do(calls.pin(by, pins))
        return result

    def conclude(self, by: Epoch, outcomes: Sequence[Outcome]) -> tuple[Row, ...]:
        """See Store."""
        result: tuple[Row, ...] = self._do(calls.conclude(by, outcomes))
        return result

    def reopen(self, by: Epoch, identity: bytes, act: bytes) -> Row:
        """See Store."""
        result: Row = self._do(calls.reopen(by, identity, act))
        return result

    def find(self, by: Epoch, ids: Sequence[bytes]) -> tuple[Kept | None, ...]:
        """See Store."""
        result: tuple[Kept | None, ...] = self._do(calls.find(by, ids))
        return result

    def follow(self, by: Epoch, cell: int, since: int, limit: int) -> Page:
        """See Store."""
        result: Page = self._do(calls.follow(by, cell, since, limit))
        return result

    def folded(self, by: Epoch, cell: int) -> Folded:
        """See Store."""
        result: Folded = self._do(calls.folded(by, cell))
        return result

    def discrepancies(self, by: Epoch, since: int, limit: int) -> tuple[Discrepancy, ...]:
        """See Store."""
        result: tuple[Discrepancy, ...] = self._do(calls.discrepancies(by, since, limit))
        return result

    def ask(self, by: Epoch, subject: int, pause_ms: int) -> Question:
        """See Store."""
        result: Question = self._do(calls.ask(by, subject, pause_ms))
        return result

    def answer(self, by: Epoch, subject: int, asked_ms: int, status: int, body: bytes) -> None:
        """See Store."""
        self._do(calls.answer(by, subject, asked_ms, status, body))

    def questions(self, by: Epoch) -> tuple[Question, ...]:
        """See Store."""
        result: tuple[Question, ...] = self._do(calls.questions(by))
        return result

    def purge(self, by: Epoch) -> int:
        """See Store."""
        result: int = self._do(calls.purge(by))
        return result

    def forget(self, by: Epoch, cell: int, before_ms: int, limit: int) -> int:
        """See Store."""
        result: int = self._do(calls.forget(by, cell, before_ms, limit))
        return result


def _rows(connection: _Connection, work: Work) -> list[Rows]:
    if len(work.statements) == 1:
        return [_execute(connection, *work.statements[0]).fetchall()]
    with connection.pipeline():
        cursors = [_execute(connection, *statement) for statement in work.statements]
    return [cursor.fetchall() for cursor in cursors]


def _execute(connection: _Connection, sql: str, arguments: Any) -> psycopg.Cursor[Any]:
    return connection.execute(sql.encode(), arguments, binary=True)


def _is_refused(error: psycopg.Error) -> bool:
    """Whether the server says that a transaction was not done: an error of a statement in a session that goes on."""
    definite = (errors.LockNotAvailable, errors.SerializationFailure, errors.DeadlockDetected, psycopg.ProgrammingError,
                psycopg.DataError, psycopg.IntegrityError, psycopg.NotSupportedError)  # fmt: skip
    return isinstance(error, definite) or error.sqlstate in (_STALE_EPOCH, _STALE_ERA, _TAKEN)


def _explained(error: psycopg.Error) -> StoreError:
    """What a refusal means for the caller."""
    said = _first_line(error)
    if error.sqlstate == _STALE_EPOCH:
        return StaleEpochError(said)
    if error.sqlstate == _STALE_ERA:
        return StaleEraError(int(said))
    if error.sqlstate == _TAKEN:
        return TakenError(said)
    return UnusableError(f"the store cannot be used: {said}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
