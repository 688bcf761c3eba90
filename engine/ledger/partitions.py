"""Partitions of PostgreSQL tables by the day (UTC) of their rows, made ahead of need and dropped when they are old."""

from __future__ import annotations

import datetime
import re
from typing import Final

import sqlalchemy as sa

DAY_MS: Final = 86_400_000
AHEAD_DAYS: Final = 3
NEW_MAX: Final = 40  # made at once, the newest first; rows of days beyond them are set apart
_EPOCH: Final = datetime.date(1970, 1, 1)
_NAME: Final = re.compile(r".*_d([0-9]{8})")


def day(at_ms: int) -> int:
    """The day of a time, counted from 1970-01-01 UTC."""
    return at_ms // DAY_MS


def days(connection: sa.Connection, table: sa.Table) -> set[int]:
    """The days that ``table`` has a partition for."""
    found = connection.execute(
        sa.text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = CAST(:table AS regclass)"
        ),
        {"table": table.name},
    )
    return {
        (datetime.date(int(match[1][:4]), int(match[1][4:6]), int(match[1][6:])) - _EPOCH).days
        for (name,) in found
        if (match := _NAME.fullmatch(name))
    }


def make(connection: sa.Connection, table: sa.Table, wanted: set[int]) -> None:
    """Makes partitions that are not there, at most NEW_MAX, and none of a day that no calendar has."""
    possible = [one for one in sorted(wanted, reverse=True) if 0 <= one <= (datetime.date.max - _EPOCH).days]
    for one in possible[:NEW_MAX]:
        name = _name(table, one)
        # Attached and not created in place, which would wait for everybody who reads the table.
        connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        values = f"FROM ({one * DAY_MS}) TO ({(one + 1) * DAY_MS})"
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES {values}")


def drop(connection: sa.Connection, table: sa.Table, one: int) -> None:
    """Drops the partition of a day, with its rows."""
    connection.exec_driver_sql(f"DROP TABLE {_name(table, one)}")


def _name(table: sa.Table, one: int) -> str:
    return f"{table.name}_d{_EPOCH + datetime.timedelta(days=one):%Y%m%d}"
