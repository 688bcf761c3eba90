"""An empty ledger for each test, in both databases."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

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


@contextlib.contextmanager
def database_of(one: server.Server, template: str) -> Iterator[str]:
    """The address of a copy of ``template``. It goes at once: of hundreds each would be vacuumed again and again."""
    name = f"test_{next(_numbers)}"
    yield one.new_database(name, template)
    with psycopg.connect(one.url, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, in each kind of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with database_of(request.getfixturevalue("postgresql"), "template1") as address:
        yield address


@pytest.fixture(scope="session")
def template(postgresql: server.Server) -> str:
    """The name of a database with the schema."""
    open_ledger(postgresql.new_database("template"), name="engine", engine=making.ENGINE).close()
    return "template"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite with the schema."""
    file = tmp_path_factory.mktemp("migrated") / "ledger.db"
    open_ledger(f"sqlite:///{file}", name="engine", engine=making.ENGINE, is_full=False).close()
    return file


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a ledger that has its schema already: a migration takes longer than most tests."""
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(request.getfixturevalue('migrated'), tmp_path)}"
        return
    with database_of(request.getfixturevalue("postgresql"), request.getfixturevalue("template")) as address:
        yield address


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Database]:
    """An empty ledger whose cursor is where ``making`` begins."""
    names = ("default", "fallback")
    database = open_ledger(ledger_url, name="engine", engine=making.ENGINE, processors=names, is_full=False)
    with database.transaction() as connection:
        write_cursor(connection, making.cursor(), making.NOW_MS)
    yield database
    database.close()
