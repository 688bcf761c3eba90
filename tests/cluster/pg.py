"""An empty store in PostgreSQL for each test. The schema is made once for a server, and emptied: that costs less."""

from __future__ import annotations

import itertools
import time
from typing import Any

import psycopg

from engine.cluster.postgres import Postgres
from engine.cluster.store import Store
from engine.lab.ledger.server import Server
from tests.cluster.conformance import LIMIT_S

_numbers = itertools.count()


TABLES = "world, cell, epoch, counter, trimmed, payment, entry, folded, reopened, discrepancy, question"


class PostgresPlace:
    """A schema, and its sessions. ``is_new``: one of its own, which is not made yet."""

    def __init__(self, server: Server, *, is_new: bool = False) -> None:
        self.url = server.url
        self.schema = f"cells_{next(_numbers)}" if is_new else "cells"
        self._stores: list[Postgres] = []
        with self.raw() as session:
            made = session.execute("SELECT 1 FROM pg_tables WHERE schemaname = %s", (self.schema,)).fetchone()
            if made is not None:
                session.execute(f"TRUNCATE {TABLES}")
                session.execute("INSERT INTO world VALUES (1, 1)")
                session.execute("INSERT INTO counter VALUES (0, 0)")

    def store(self, limit_s: float = LIMIT_S) -> Store:
        """Another session."""
        self._stores.append(Postgres(self.url, schema=self.schema, limit_s=limit_s))
        return self._stores[-1]

    def pass_time(self, milliseconds: int) -> None:
        """Waits: the clock is the server's."""
        time.sleep(milliseconds / 1000)

    def raw(self) -> psycopg.Connection[Any]:
        """A session that can do anything, and ends a transaction only when it is told to."""
        return psycopg.connect(self.url, options=f"-c search_path={self.schema}")

    def sessions(self, epoch: int) -> list[int]:
        """Process ids of the sessions of an epoch."""
        name = f"{self.schema} epoch {epoch}"
        with self.raw() as session:
            return [
                pid
                for (pid,) in session.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", (name,))
            ]

    def close(self) -> None:
        """Ends all sessions."""
        for store in self._stores:
            store.close()
