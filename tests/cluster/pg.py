"""An empty store in PostgreSQL for each test: a schema of its own in one database."""

from __future__ import annotations

import itertools
import time
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from engine.cluster.postgres import Postgres
from engine.cluster.store import Store
from engine.lab.ledger.server import Server
from tests.cluster.conformance import LIMIT_S

_numbers = itertools.count()


class PostgresPlace:
    """A schema, and its sessions."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.schema = f"cells_{next(_numbers)}"
        self._stores: list[Postgres] = []

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
        """Ends all, and drops it."""
        for store in self._stores:
            store.close()
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(self.schema)))
