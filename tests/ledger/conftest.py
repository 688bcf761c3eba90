"""An empty ledger for each test, in both databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.lab.ledger import server
from engine.ledger.database import Database, open_ledger, write_cursor
from tests.ledger import making

KINDS = ("sqlite", "postgresql")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[server.Server]:
    """A PostgreSQL that all tests of the session share; each makes databases of its own."""
    if not server.PROGRAMS:
        pytest.skip(server.MISSING)
    with server.running() as one:
        yield one


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, in each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    one: server.Server = request.getfixturevalue("postgresql")
    return one.new_database(f"test_{next(_numbers)}")


@pytest.fixture(scope="session")
def template(postgresql: server.Server) -> str:
    """The name of a database with the schema."""
    open_ledger(postgresql.new_database("template"), name="engine", engine=making.ENGINE).close()
    return "template"


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a ledger that may have its schema already."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    one: server.Server = request.getfixturevalue("postgresql")
    return one.new_database(f"test_{next(_numbers)}", request.getfixturevalue("template"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Database]:
    """An empty ledger whose cursor is where ``making`` begins."""
    database = open_ledger(ledger_url, name="engine", engine=making.ENGINE, processors=("default", "fallback"))
    with database.transaction() as connection:
        write_cursor(connection, making.cursor(), making.NOW_MS)
    yield database
    database.close()
