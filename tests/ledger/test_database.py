"""Whose database it is, and what a ledger does when it is away: sentences and bounded times, in both databases."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pysqlite3.dbapi2 as sqlite3
import pytest
import sqlalchemy as sa
from psycopg.sql import SQL

from engine.lab.ledger.server import Server
from engine.ledger import queries, schema
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import AwayError, LedgerError, OtherEngineError, UnusableError
from engine.ledger.postgres import without_password
from engine.ledger.sqlite import check_version
from engine.ledger.watchdog import watched
from tests.ledger import making
from tests.ledger.making import batch, payment


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"{tmp_path}/ledger.db"


@pytest.fixture
def in_file(path: str) -> Iterator[Database]:
    database = open_ledger(f"sqlite:///{path}", name="engine", engine=making.ENGINE)
    yield database
    database.close()


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_a_new_ledger_has_an_engine_and_keeps_it(url: str) -> None:
    first = open_ledger(url, name="engine")
    identity = first.cursor().engine
    first.close()
    assert len(identity) == 16 and identity != bytes(16)
    again = open_ledger(url, name="engine", engine=identity)
    assert again.cursor().engine == identity
    again.close()


@pytest.mark.parametrize(("name", "engine"), [("other", None), ("engine", bytes(16)), ("other", making.ENGINE)])
def test_a_database_of_another_engine_is_refused_with_a_sentence(url: str, name: str, engine: bytes | None) -> None:
    open_ledger(url, name="engine", engine=making.ENGINE).close()
    with pytest.raises(OtherEngineError, match=r"belongs to the engine engine .*name another one in ENGINE_LEDGER_URL"):
        open_ledger(url, name=name, engine=engine)


def test_a_reader_makes_nothing(url: str) -> None:
    with pytest.raises(AwayError):
        open_ledger(url, name="engine", reads_only=True)
    if url.startswith("sqlite"):
        assert not Path(url.removeprefix("sqlite:///")).exists()


def test_a_reader_reads_while_the_ledger_carries_and_cannot_write(ledger_url: str, ledger: Database) -> None:
    reader = open_ledger(ledger_url, name="engine", reads_only=True)
    for number in range(3):
        carry(ledger, batch(10 * number, 10))
        assert queries.find(reader, payment(10 * number).id) is not None
    with pytest.raises(LedgerError), reader.transaction() as connection:
        connection.execute(sa.delete(schema.payment))
    assert queries.find(reader, payment(5).id) is not None
    reader.close()


def test_a_name_of_a_processor_that_changes_is_the_new_one(url: str) -> None:
    open_ledger(url, name="engine", processors=("default", "fallback")).close()
    ledger = open_ledger(url, name="engine", processors=("default", "backup", "third"))
    assert queries.processor_names(ledger) == {0: "default", 1: "backup", 2: "third"}
    ledger.close()


@pytest.mark.parametrize("url", ["mysql://host/x", "sqlite:///relative.db", "sqlite://", "/a/path"])
def test_an_address_that_is_none_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(UnusableError):
        open_ledger(url, name="engine")


# --- SQLite -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(3, 40, 1), (3, 51, 1), (3, 51, 2)])
def test_a_sqlite_that_can_corrupt_a_database_is_refused(version: tuple[int, ...]) -> None:
    with pytest.raises(UnusableError, match=r"can corrupt a database in WAL mode.*3\.51\.3 or newer"):
        check_version(version)


def test_this_sqlite_is_none_of_those() -> None:
    check_version((3, 51, 3))
    check_version(sqlite3.sqlite_version_info)


def settings_of(database: Database) -> dict[str, object]:
    names = ("journal_mode", "synchronous", "mmap_size", "wal_autocheckpoint", "query_only")
    with database.transaction() as connection:
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


def test_only_the_ledger_process_checkpoints_and_nobody_maps_memory(path: str, in_file: Database) -> None:
    assert settings_of(in_file) == {
        "journal_mode": "wal", "synchronous": 2, "mmap_size": 0, "wal_autocheckpoint": 16_000, "query_only": 0,
    }  # fmt: skip
    reader = open_ledger(f"sqlite:///{path}", name="engine", reads_only=True)
    assert settings_of(reader) == {
        "journal_mode": "wal", "synchronous": 2, "mmap_size": 0, "wal_autocheckpoint": 0, "query_only": 1,
    }  # fmt: skip
    reader.close()
    normal = open_ledger(f"sqlite:///{path}", name="engine", is_full=False)
    assert settings_of(normal)["synchronous"] == 1
    normal.close()


def test_a_required_ledger_waits_for_the_disk_of_postgresql_and_weakens_nothing(postgresql: Server) -> None:
    url = postgresql.new_database("waits")
    for set_to, is_full, expected in (
        ("off", True, "on"), ("off", False, "off"), ("remote_apply", True, "remote_apply"),
    ):  # fmt: skip
        with psycopg.connect(postgresql.url, autocommit=True) as own:
            own.execute(SQL("ALTER DATABASE waits SET synchronous_commit = {}").format(set_to))
        with closing(open_ledger(url, name="engine", is_full=is_full)) as database:
            for _ in range(2):
                with database.transaction() as connection:
                    found = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
                assert found == expected


def test_the_log_of_a_ledger_is_not_written_back_by_the_last_reader(path: str, in_file: Database) -> None:
    reader = open_ledger(f"sqlite:///{path}", name="engine", reads_only=True)
    size = os.stat(f"{path}-wal").st_size
    assert size > 0
    reader.close()
    assert os.stat(f"{path}-wal").st_size == size


def test_nobody_else_may_read_the_file(path: str, in_file: Database) -> None:
    assert os.stat(path).st_mode & 0o077 == os.stat(f"{path}-wal").st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_a_sentence(path: str) -> None:
    Path(path).write_text("something else entirely, and long enough for a header of a hundred bytes " * 3)
    with pytest.raises(UnusableError, match="not a database"):
        open_ledger(f"sqlite:///{path}", name="engine")


def test_a_directory_that_is_not_there_is_away(tmp_path: Path) -> None:
    with pytest.raises(AwayError, match=r"ledger\.db"):
        open_ledger(f"sqlite:///{tmp_path}/none/ledger.db", name="engine")


def test_a_locked_database_is_away_within_its_limit_and_then_carried_into(path: str, in_file: Database) -> None:
    short = open_ledger(f"sqlite:///{path}", name="engine", limit_s=0.5)
    one = batch(0, 5)
    one = one._replace(expected=short.cursor())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AwayError, match="locked"):
        carry(short, one)
    other.execute("ROLLBACK")
    other.close()
    assert carry(short, one) == 0
    short.close()


def test_a_full_disk_is_away_and_nothing_of_the_batch_is_there(in_file: Database) -> None:
    some = batch(0, 3000)._replace(expected=in_file.cursor())
    engine = in_file.backend.engine

    def limit(connection: sqlite3.Connection, _record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")

    engine.dispose()
    sa.event.listen(engine, "connect", limit)
    with pytest.raises(AwayError, match="full"):
        carry(in_file, some)
    sa.event.remove(engine, "connect", limit)
    engine.dispose()
    assert queries.find(in_file, payment(0).id) is None
    assert carry(in_file, some) == 0
    assert queries.find(in_file, payment(2999).id) is not None


def test_a_query_that_takes_too_long_is_away(in_file: Database) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(AwayError, match="interrupted"), in_file.transaction(0.2) as connection:
        connection.exec_driver_sql(endless)
    with in_file.transaction() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


# --- backup -----------------------------------------------------------------------------------------------------------


def test_a_backup_is_whole_while_the_ledger_carries(path: str, in_file: Database, tmp_path: Path) -> None:
    cursor = in_file.cursor()
    carry(in_file, batch(0, 2000)._replace(expected=cursor))
    stop, carried = threading.Event(), [2000]

    def go_on() -> None:
        while not stop.is_set():
            carry(in_file, batch(carried[0], 50))
            carried[0] += 50

    other = threading.Thread(target=go_on)
    other.start()
    reader = open_ledger(f"sqlite:///{path}", name="engine", reads_only=True)
    copy = tmp_path / "copy.db"
    try:
        reader.backup(str(copy))
    finally:
        stop.set()
        other.join()
    reader.close()
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == ["copy.db"]
    assert copy.stat().st_mode & 0o077 == 0

    restored = open_ledger(f"sqlite:///{copy}", name="engine", engine=making.ENGINE)
    reached = restored.cursor().rings[0].seen
    assert 2000 <= reached <= carried[0]
    # All that the copy's cursor says, and nothing else: the ledger goes on from there.
    with restored.transaction() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.payment)).scalar() == reached
    assert carry(restored, batch(reached, 50)) == 0
    restored.close()


def test_a_restored_ledger_goes_on_from_its_copy(path: str, tmp_path: Path) -> None:
    url = f"sqlite:///{path}"
    database = open_ledger(url, name="engine", engine=making.ENGINE)
    carry(database, batch(0, 300)._replace(expected=database.cursor()))
    database.backup(str(tmp_path / "copy.db"))
    carry(database, batch(300, 100))
    # Nothing closes it: the log with the last hundred is beside the file, as after a kill.
    assert Path(f"{path}-wal").stat().st_size > 0
    for file in tmp_path.glob("ledger.db*"):
        file.rename(tmp_path / f"old-{file.name}")
    (tmp_path / "copy.db").rename(path)
    restored = open_ledger(url, name="engine", engine=making.ENGINE)
    assert restored.cursor() == batch(300, 1).expected
    assert carry(restored, batch(300, 100)) == 0
    assert queries.find(restored, payment(399).id) is not None
    restored.close()
    database.close()


def test_a_backup_overwrites_nothing_and_leaves_nothing_behind(in_file: Database, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("precious")
    with pytest.raises(UnusableError, match="there is there already"):
        in_file.backup(str(there))
    assert there.read_text() == "precious"
    with pytest.raises(UnusableError, match="cannot be written"):
        in_file.backup(str(tmp_path / "none" / "copy"))
    assert not list(tmp_path.glob("*.part"))


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(postgresql: Server, template: str) -> Iterator[tuple[str, str, Database]]:
    """The name and address of a database, and the ledger in it."""
    name = f"away_{time.monotonic_ns()}"
    url = postgresql.new_database(name, template)
    database = open_ledger(url, name="engine", limit_s=2)
    yield name, url, database
    database.close()


def test_a_backup_of_postgresql_is_its_own_tools(served: tuple[str, str, Database], tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="pg_dump"):
        served[2].backup(str(tmp_path / "copy"))


def test_a_server_that_is_not_there_is_away_and_no_password_is_told() -> None:
    with pytest.raises(AwayError) as caught:
        open_ledger("postgresql://someone:secret@127.0.0.1:1/ledger", name="engine")
    assert "secret" not in str(caught.value) and "someone" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:se:c@ret@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me@host:5432,other:5433/x", "postgresql://me@host:5432,other:5433/x"),
        ("postgresql:///x?host=/run&password=secret&user=me", "postgresql:///x?host=/run&password=***&user=me"),
        ("postgresql:///x?password=secret", "postgresql:///x?password=***"),
    ],
)
def test_an_address_is_told_without_its_password(url: str, told: str) -> None:
    assert without_password(url) == told


def test_an_address_that_libpq_cannot_read_is_a_sentence() -> None:
    with pytest.raises(UnusableError, match="cannot be used"):
        open_ledger("postgresql://host/x?nonsense=1", name="engine")


def test_a_server_that_accepts_and_says_nothing_is_away_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(AwayError):
            open_ledger(f"postgresql://someone@127.0.0.1:{port}/ledger", name="engine")


def test_a_connection_that_is_killed_is_away_and_the_next_one_works(
    postgresql: Server, served: tuple[str, str, Database]
) -> None:
    name, _, database = served
    one = batch(0, 5)._replace(expected=database.cursor())
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    with pytest.raises(AwayError):
        carry(database, one)
    assert carry(database, one) == 0


def test_a_server_that_stands_still_is_hung_up_on(postgresql: Server, served: tuple[str, str, Database]) -> None:
    name, _, database = served
    one = batch(0, 5)._replace(expected=database.cursor())
    [process] = postgresql.backends(name)
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(AwayError):
            carry(database, one)
    finally:
        os.kill(process, signal.SIGCONT)
    assert carry(database, one) == 0


def test_who_holds_a_lock_keeps_a_migration_waiting_for_a_short_time_only(
    served: tuple[str, str, Database],
) -> None:
    _, url, database = served
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE cursor IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(AwayError, match="lock timeout"):
            database.cursor()
    assert database.cursor().era == 0


def test_a_statement_that_takes_too_long_is_away(served: tuple[str, str, Database]) -> None:
    with pytest.raises(AwayError, match="statement timeout"), served[2].transaction() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    assert served[2].cursor().era == 0


def test_a_table_that_somebody_has_dropped_is_a_sentence_and_no_row_is_set_apart(
    served: tuple[str, str, Database],
) -> None:
    database = served[2]
    one = batch(0, 5)._replace(expected=database.cursor())
    with database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE attempt CASCADE")
    with pytest.raises(UnusableError, match="attempt"):
        carry(database, one)
    with database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM rejected").scalar() == 0


def test_a_migration_may_take_longer_than_a_statement(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    execute = op.execute

    def slowly(statement: str) -> None:
        if "CREATE TABLE payment (" in statement:
            execute("SELECT pg_sleep(1.5)")
        execute(statement)

    monkeypatch.setattr("alembic.op.execute", slowly)
    open_ledger(postgresql.new_database("slow"), name="engine", limit_s=1).close()


def test_a_watched_socket_is_left_alone_when_the_work_ends_in_time() -> None:
    left, right = socket.socketpair()
    with left, right:
        with watched(left.fileno(), 60):
            pass
        left.sendall(b"x")
        assert right.recv(1) == b"x"
        with watched(left.fileno(), 0.05):
            assert left.recv(1) == b""  # which nobody has sent: the socket was shut down
