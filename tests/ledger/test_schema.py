"""The schema that migrations make is the one that the program knows; each released version comes up, with its data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from engine.lab.ledger.server import Server
from engine.ledger import acts, advice, migrate, schema
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import TooNewError
from engine.ledger.partitions import day
from engine.ledger.version import version
from tests.ledger import making

RELEASED = Path(__file__).parent / "released"  # for each released version the rows of a database that it has written


def opened(url: str) -> Database:
    return open_ledger(url, name="engine", engine=making.ENGINE)


def test_the_program_knows_the_newest_version_and_versions_are_in_order() -> None:
    assert migrate.revisions()[-1] == schema.VERSION
    assert acts.action.metadata is advice.table.metadata is schema.metadata  # whose tables stand in three modules
    assert migrate.revisions() == sorted(migrate.revisions()) and {len(one) for one in migrate.revisions()} == {4}


def test_every_released_version_has_its_rows() -> None:
    assert sorted(path.stem for path in RELEASED.glob("*.json")) == migrate.revisions()


def test_migrations_make_what_the_program_knows(url: str) -> None:
    database = opened(url)
    with database.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_no_partition})
        assert compare_metadata(context, schema.metadata) == []
    database.close()


def is_no_partition(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != "table" or name in schema.metadata.tables


def test_in_sqlite_even_their_text_is_the_same(tmp_path: Path) -> None:
    database = opened(f"sqlite:///{tmp_path}/ledger.db")
    with database.transaction() as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        made = {row.name: row.sql for row in connection.execute(sa.text(query))}
    dialect = database.backend.engine.dialect
    for table in schema.metadata.tables.values():
        texts = {table.name: sa.schema.CreateTable(table).compile(dialect=dialect)}
        texts |= {str(one.name): sa.schema.CreateIndex(one).compile(dialect=dialect) for one in table.indexes}
        for name, text in texts.items():
            assert plain(made.pop(name)) == plain(str(text))
    assert plain(made.pop(schema.posting.name)).startswith("create view posting as")
    assert made.keys() == {"alembic_version"}
    database.close()


def plain(text: str) -> str:
    return re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", text)).strip().lower()


def test_postgresql_has_partitions(postgresql: Server) -> None:
    database = opened(postgresql.new_database("partitions"))
    with database.transaction() as connection:
        query = (
            "SELECT relname, CAST(partstrat AS text) kind FROM pg_partitioned_table JOIN pg_class ON oid = partrelid"
        )
        assert {row.relname: row.kind for row in connection.execute(sa.text(query))} == {
            "payment": "h", "attempt": "r", "processor_health": "r", "processor_state": "r",
        }  # fmt: skip
        found = connection.execute(sa.text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'payment'::regclass"))
        assert found.scalar() == schema.PAYMENT_PARTITIONS
    database.close()


def test_in_sqlite_every_table_is_strict(tmp_path: Path) -> None:
    database = opened(f"sqlite:///{tmp_path}/ledger.db")
    with database.transaction() as connection:
        found = connection.execute(sa.text("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'"))
        strict = {name for name, is_strict in found if is_strict}
    assert strict == schema.metadata.tables.keys()
    database.close()


@pytest.mark.parametrize("released", migrate.revisions())
def test_a_released_version_comes_up_with_its_data(url: str, released: str) -> None:
    rows: dict[str, list[dict[str, Any]]] = json.loads((RELEASED / f"{released}.json").read_text())
    database = at_version(url, released)
    database.prepare({table: {day(making.NOW_MS)} for table in schema.BY_DAY})
    with database.transaction() as connection:
        for table, some in rows.items():
            columns = ", ".join(some[0])
            places = ", ".join(f":{name}" for name in some[0])
            insert = sa.text(f"INSERT INTO {table} ({columns}) VALUES ({places})")
            connection.execute(insert, [{name: read(value) for name, value in row.items()} for row in some])
    database.close()

    database = opened(url)
    with database.transaction() as connection:
        assert version(connection) == schema.VERSION
        for table, some in rows.items():
            found = [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()]
            for row in some:
                wanted = {name: read(value) for name, value in row.items()}
                assert any(wanted.items() <= one.items() for one in map(comparable, found)), (table, row)
    assert database.cursor().journal == 17
    database.close()


def at_version(url: str, released: str) -> Database:
    """An empty database of a released version."""
    database = opened(url)
    with database.transaction() as connection:
        for name in sa.inspect(connection).get_view_names():
            connection.exec_driver_sql(f"DROP VIEW {name}")
        for name in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}" + ("" if "sqlite" in url else " CASCADE"))
        migrate.upgrade(connection, released)
    return database


def read(value: Any) -> Any:
    """A value of a file of rows: bytes are written as x'...'."""
    return bytes.fromhex(value[2:-1]) if isinstance(value, str) and value.startswith("x'") else value


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}


def test_a_newer_schema_is_refused_with_a_sentence(url: str) -> None:
    database = opened(url)
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for reads_only in (False, True):
        with pytest.raises(TooNewError, match=r"schema version 9999.*this program knows versions up to"):
            open_ledger(url, name="engine", reads_only=reads_only)


def test_a_migration_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.ledger.migrations.versions import first

    monkeypatch.setattr("alembic.op.execute", failing_after(12))
    with pytest.raises(RuntimeError, match="killed"):
        opened(url)
    monkeypatch.undo()
    assert len(first.STATEMENTS) > 12
    opened(url).close()


def failing_after(count: int) -> Any:
    from alembic import op

    execute, done = op.execute, []

    def run(statement: Any) -> None:
        done.append(statement)
        if len(done) > count:
            raise RuntimeError("killed")
        execute(statement)

    return run
