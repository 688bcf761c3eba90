"""A ledger's place is there as long as the run lasts, survives kills, and leaves nothing."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from engine.lab.ledger import server
from engine.lab.ledger.place import DATABASE, OFF, POSTGRESQL, SQLITE, place
from engine.ledger.database import open_ledger

BACK_S_MAX = 60.0


def test_nowhere_is_no_place_and_switches_the_ledger_off(tmp_path: Path) -> None:
    with place(OFF, tmp_path) as where:
        assert where.variables == {"ENGINE_LEDGER": "off"} and where.size_bytes() == 0


def test_a_file_of_sqlite_has_a_size_and_is_gone_afterwards(tmp_path: Path) -> None:
    mounted = list[Path]()

    class Mount:
        def __init__(self, path: Path) -> None:
            self._path = path

        def __enter__(self) -> None:
            mounted.append(self._path)

        def __exit__(self, *_: object) -> None:
            assert self._path.is_dir(), "it is unmounted before the directory goes"

    with place(SQLITE, tmp_path, Mount) as where:
        assert where.size_bytes() == 0
        open_ledger(where.url, name="engine").close()
        assert where.variables == {"ENGINE_LEDGER": "best", "ENGINE_LEDGER_URL": where.url}
        assert where.size_bytes() > 10_000
        assert where.url == f"sqlite:///{mounted[0]}/ledger.db"
    assert not mounted[0].parent.exists()


def await_back(one: server.Server) -> None:
    deadline_s = time.monotonic() + BACK_S_MAX
    while not one.answers():
        assert time.monotonic() < deadline_s
        one.tend()
        time.sleep(0.05)


@pytest.mark.timeout(300)
def test_a_postgresql_that_is_killed_comes_back_with_what_was_committed(tmp_path: Path) -> None:
    if not server.PROGRAMS:
        pytest.skip(server.MISSING)
    with place(POSTGRESQL, tmp_path) as where:
        one = where.server
        assert one is not None and where.size_bytes() > 1_000_000
        with psycopg.connect(where.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
            assert one.kill_backend(DATABASE) is not None
        await_back(one)
        before = one.kill()
        assert before is not None and one.kill() is None
        await_back(one)
        assert one.pid != before
        with psycopg.connect(where.url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]
        assert one.kill_backend("another") is None
    assert "ready to accept connections" in (tmp_path / "postgresql.log").read_text()
    assert not one.place.exists()
