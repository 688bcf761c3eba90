"""The store in PostgreSQL conforms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.lab.ledger.server import Server
from tests.cluster.conformance import Conformance
from tests.cluster.pg import PostgresPlace


@pytest.fixture
def place(postgresql: Server) -> Iterator[PostgresPlace]:
    made = PostgresPlace(postgresql)
    yield made
    made.close()


class TestPostgres(Conformance):
    """With one session at a time."""
