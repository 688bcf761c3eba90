"""The tables and functions of the store in PostgreSQL, in a schema of their own.

They are versioned SQL files that this program runs by itself. Nearly all of it is functions of this one database, and
an agent needs no more than psycopg: the ledger's Alembic, which writes the same for two databases, would add nothing
here. A released file is not changed any more; a change is the next file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier

from engine.cluster.values import UnusableError

FILES: Final = tuple(sorted((Path(__file__).parent / "sql").glob("*.sql")))
VERSION: Final = len(FILES)
_LOCK: Final = 0x63656C6C73  # of PostgreSQL's advisory locks: who migrates; "cells"


def prepare(connection: psycopg.Connection[Any], schema: str) -> None:
    """Brings the schema to this program's version; needs no right to make anything when it is there already.

    Raises UnusableError when a newer program has made it.
    """
    if _version(connection, schema) == VERSION:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        version = _version(connection, schema)
        if version > VERSION:
            raise UnusableError(f"the store's schema {schema} has version {version}, this program knows {VERSION}")
        if version == 0:
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
            connection.execute("CREATE TABLE version (number integer NOT NULL)")
            connection.execute("INSERT INTO version VALUES (0)")
        for path in FILES[version:]:
            connection.execute(path.read_bytes())
        connection.execute("UPDATE version SET number = %s", (VERSION,))


def _version(connection: psycopg.Connection[Any], schema: str) -> int:
    # A query, and not to_regclass(): that does not see what somebody has made whom this transaction has waited for.
    query = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'version'"
    if connection.execute(query, (schema,)).fetchone() is None:
        return 0
    row = connection.execute("SELECT number FROM version").fetchone()
    return int(row[0]) if row is not None else 0
