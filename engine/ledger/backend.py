"""What SQLite and PostgreSQL do differently: the port that the rest of the ledger stands on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa

from engine.ledger.errors import LedgerError

Errors = tuple[type[Exception], ...]
Values = tuple[Any, ...]
Days = dict[sa.Table, set[int]]  # since 1970 UTC, for each table that has a partition for each day
# What a row itself can be the reason of, beside the driver's errors: a number too long, a text that cannot be encoded.
ROW_ERRORS = (ValueError, TypeError, OverflowError)


class Backend(Protocol):
    """One kind of database. Rows are tuples in the order of their table's columns."""

    engine: sa.Engine
    errors: Errors  # the driver's, which come through where SQLAlchemy is not asked

    def limited(self, connection: sa.Connection, seconds: float) -> AbstractContextManager[None]:
        """Ends whatever ``connection`` does after this time; it then raises what :meth:`explain` calls away."""

    def missing(self, days: Days) -> Days:
        """Those of these days that there may be no room for."""

    def make(self, connection: sa.Connection, days: Days) -> None:
        """Makes room for these days, in a transaction of its own."""

    def insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Values]) -> None:
        """Inserts rows of which none is there yet."""

    def upsert_payments(self, connection: sa.Connection, rows: Sequence[Values]) -> None:
        """Inserts payments, or replaces those that :func:`engine.ledger.statements.payments` says."""

    def complete_attempts(self, connection: sa.Connection, rows: Sequence[Values]) -> None:
        """Completes attempts that are there, and inserts those that are not."""

    def is_row_error(self, error: Exception) -> bool:
        """Whether a row is at fault, and not the database."""

    def explain(self, error: Exception) -> LedgerError:
        """What an error of the driver means for whoever asked."""

    def backup(self, path: str) -> None:
        """Writes a copy of the whole database to a new file, while it is used. Raises LedgerError."""

    def drop_before(self, connection: sa.Connection, table: sa.Table, day: int) -> bool:
        """Drops what is older than this day, or a bounded part of it; whether there may be more to drop."""


def driver_error(error: Exception) -> BaseException:
    """The driver's own error in what SQLAlchemy has raised."""
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    return original if original is not None else error


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
