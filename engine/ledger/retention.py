"""What a ledger needs now and then: room for the days to come, and an end for what is old.

What is kept for ``ENGINE_LEDGER_RETENTION_DAYS`` and no longer:

- attempts and all that is known of processors. PostgreSQL drops whole days, SQLite deletes the oldest rows first.
- payments that are over, and were sent and accepted before that. Open ones stay. They are deleted, oldest first.
- samples of single seconds become samples of minutes after SECONDS_KEPT_DAYS, and those are kept as long as the rest.

Eras, gaps, fees and rejected rows are few, and stay. All of it goes in small transactions, so that nobody waits long. A
file of SQLite does not get smaller: what was freed is used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from engine.ledger import schema, statements
from engine.ledger.database import Database
from engine.ledger.partitions import AHEAD_DAYS, DAY_MS, day
from engine.ledger.rows import OPEN

DELETED_AT_ONCE: Final = 2000  # payments, or samples of seconds
SECONDS_KEPT_DAYS: Final = 1
MINUTE_MS: Final = 60_000


def tend(database: Database, retention_days: int) -> bool:
    """Does a bounded part of what is to do; whether there is more, so that it should be called again soon.

    Parameters:
      retention_days: ENGINE_LEDGER_RETENTION_DAYS; 0: nothing is too old.

    Raises LedgerError; what was done by then stays done.
    """
    now_ms = database.now_ms()
    today = day(now_ms)
    ahead = set(range(today, today + AHEAD_DAYS + 1))
    database.prepare({table: set(ahead) for table in schema.BY_DAY})
    more = [_merge_samples(database, (today - SECONDS_KEPT_DAYS) * DAY_MS, now_ms)]
    if retention_days:
        oldest = today - retention_days
        more += [database.drop_before(table, oldest) for table in schema.BY_DAY]
        more += [_drop_payments(database, oldest * DAY_MS, now_ms), _drop_samples(database, oldest * DAY_MS)]
    return any(more)


def _drop_payments(database: Database, before_ms: int, now_ms: int) -> bool:
    own = schema.payment.c
    is_old = sa.and_(own.accepted_ms < before_ms, sa.or_(own.requested_ms.is_(None), own.requested_ms < before_ms))
    is_over = own.state.not_in(OPEN)
    old = sa.select(own.id, own.era).where(is_old, is_over).order_by(own.accepted_ms).limit(DELETED_AT_ONCE)
    reach = {"name": schema.payment.name, "from_ms": before_ms, "updated_ms": now_ms}
    with database.transaction() as connection:
        found = connection.execute(old).all()
        if found:
            connection.execute(statements.upserts(connection.dialect.name, schema.reach), reach)
            gone = sa.delete(schema.payment).where(own.id == sa.bindparam("an_id"), own.era == sa.bindparam("an_era"))
            connection.execute(gone, [{"an_id": identity, "an_era": era} for identity, era in found])
    return len(found) == DELETED_AT_ONCE


def _drop_samples(database: Database, before_ms: int) -> bool:
    own = schema.sample.c
    with database.transaction() as connection:
        old = sa.select(own.at_ms).where(own.at_ms < before_ms).order_by(own.at_ms).limit(DELETED_AT_ONCE)
        times = connection.execute(old).scalars().all()
        if times:
            connection.execute(sa.delete(schema.sample).where(own.at_ms <= times[-1]))
    return len(times) == DELETED_AT_ONCE


def _merge_samples(database: Database, before_ms: int, now_ms: int) -> bool:
    """Makes samples of minutes from samples of seconds, those before ``before_ms`` (the begin of a minute)."""
    own = schema.sample.c
    is_old = sa.and_(own.at_ms < before_ms, own.seconds * 1000 < MINUTE_MS)
    with database.transaction() as connection:
        query = sa.select(schema.sample).where(is_old).order_by(own.at_ms).limit(DELETED_AT_ONCE)
        seconds = connection.execute(query).all()
        more = len(seconds) == DELETED_AT_ONCE
        if more:  # the last minute may go on behind it
            seconds = [row for row in seconds if row.at_ms // MINUTE_MS < seconds[-1].at_ms // MINUTE_MS]
        if seconds:
            minutes = [
                _minute(minute * MINUTE_MS, list(rows), now_ms)
                for minute, rows in groupby(seconds, lambda row: row.at_ms // MINUTE_MS)
            ]
            end_ms = minutes[-1]["at_ms"] + MINUTE_MS
            connection.execute(sa.delete(schema.sample).where(is_old, own.at_ms < end_ms))
            connection.execute(statements.upserts(connection.dialect.name, schema.sample), minutes)
    return more


def _minute(at_ms: int, rows: Sequence[Any], now_ms: int) -> dict[str, Any]:
    """One sample for those of a minute: sums, the means of medians, and the worst of everything else."""
    return {
        "at_ms": at_ms,
        "seconds": MINUTE_MS // 1000,
        "accepted": sum(row.accepted for row in rows),
        "settled": sum(row.settled for row in rows),
        "accept_p50_us": mean((row.accept_p50_us, row.accepted) for row in rows),
        "accept_p99_us": _worst(row.accept_p99_us for row in rows),
        "settle_p50_us": mean((row.settle_p50_us, row.settled) for row in rows),
        "settle_p99_us": _worst(row.settle_p99_us for row in rows),
        "backlog": max(row.backlog for row in rows),
        "created_ms": now_ms,
    }


def mean(pairs: Iterable[tuple[int | None, int]]) -> int | None:
    """The mean of values that are known, by their weights; None when there are none."""
    known = [(value, weight) for value, weight in pairs if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) // total if total else None


def _worst(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
