"""What a ledger has recorded, as plain values: for a run of some 100,000 payments, which fits into memory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from engine.ledger import schema
from engine.ledger.database import Database, open_ledger
from engine.settings import Settings

LIMIT_S: Final = 120.0  # for a table that is read as a whole


@dataclass(frozen=True, slots=True)
class Paid:
    """A row of ``payment``. ``key``: its id, 16 bytes; ``processor``: its number."""

    key: bytes
    era: int
    state: int
    processor: int | None
    cents: int


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of ``attempt``: a request, or a lookup. ``error``: why there was no answer.

    ``ended_ms``, ``outcome``: None while it has no end; ``took_us``: None for less than 1 us, and where nobody knows.
    """

    key: bytes
    processor: int
    is_lookup: bool
    began_ms: int
    error: str | None
    ended_ms: int | None = None
    outcome: int | None = None
    took_us: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A row of ``gap``."""

    source: str
    missing: int
    why: str


@dataclass(frozen=True)
class Recorded:
    """Everything.

    Parameters:
      rejected: rows that were set apart: their table and the error.
    """

    payments: list[Paid]
    attempts: list[Tried]
    gaps: list[Gap]
    rejected: list[str]


@dataclass(frozen=True)
class Counts:
    """How many rows there are. ``missing``: what gaps say is missing, by their source."""

    payments: int
    attempts: int
    missing: dict[str, int]
    rejected: int


def count(settings: Settings) -> Counts:
    """Counts the rows of the ledger of these settings. Raises LedgerError."""
    gap = schema.gap.c
    with contextlib.closing(opened(settings)) as database, database.transaction() as connection:

        def rows(table: sa.Table) -> int:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0)

        gaps = connection.execute(sa.select(gap.source, sa.func.sum(gap.missing)).group_by(gap.source))
        missing = {source: int(number) for source, number in gaps}
        return Counts(rows(schema.payment), rows(schema.attempt), missing, rows(schema.rejected))


def opened(settings: Settings) -> Database:
    """The ledger of these settings, to read. Raises LedgerError."""
    return open_ledger(settings.ledger_url, name=settings.host.name, reads_only=True, limit_s=LIMIT_S)


def read(settings: Settings) -> Recorded:
    """Reads the ledger of these settings, in one transaction. Raises LedgerError."""
    payment, attempt, gap, rejected = (
        table.c for table in (schema.payment, schema.attempt, schema.gap, schema.rejected)
    )
    with contextlib.closing(opened(settings)) as database, database.transaction() as connection:
        run = connection.execute
        paid = run(sa.select(payment.id, payment.era, payment.state, payment.processor, payment.cents))
        tried = run(
            sa.select(
                attempt.id, attempt.processor, attempt.is_lookup, attempt.began_ms, attempt.error, attempt.ended_ms,
                attempt.outcome, attempt.latency_us,
            )
        )  # fmt: skip
        return Recorded(
            [Paid(bytes(key), *rest) for key, *rest in paid],
            [Tried(bytes(key), number, bool(is_lookup), *rest) for key, number, is_lookup, *rest in tried],
            [Gap(*row) for row in run(sa.select(gap.source, gap.missing, gap.why).order_by(gap.number))],
            [f"{source}: {error}" for source, error in run(sa.select(rejected.source, rejected.error))],
        )
