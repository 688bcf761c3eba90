"""A synchronous standby that is promoted has all that the store in PostgreSQL has acknowledged."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.cluster.postgres import Postgres
from engine.cluster.values import NoAnswerError, Offer, Verdict
from engine.lab.ledger import server
from engine.lab.ledger.server import PROGRAMS, SETTINGS, Server
from tests.cluster.conformance import LIMIT_S, LONG_MS, identity
from tests.system.client import wait_until

WAIT_S = 60.0
HELD_MAX = 4096
BEFORE = 20  # payments that are accepted before the primary is killed


@contextlib.contextmanager
def standby_of(primary: Server) -> Iterator[Server]:
    """A standby that streams from ``primary``."""
    root = os.geteuid() == 0
    user = pwd.getpwnam("postgres") if root else pwd.getpwuid(os.geteuid())
    who: Any = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if root else {}
    place = Path(tempfile.mkdtemp(prefix="cells-pg-", dir="/tmp"))
    os.chown(place, user.pw_uid, user.pw_gid)
    try:
        copy = [
            "-D",
            str(place / "data"),
            "-h",
            str(primary.place),
            "-U",
            "postgres",
            "-X",
            "stream",
            "-c",
            "fast",
            "-R",
            "-N",
        ]
        subprocess.run([str(PROGRAMS[-1] / "pg_basebackup"), *copy], check=True, cwd=place, **who)
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        standby = Server(place, place / "data", place / "log", who, options)
        try:
            yield standby
        finally:
            standby.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def is_synchronous(primary: Server) -> bool:
    """Whether commits wait for the standby."""
    with psycopg.connect(primary.url) as session:
        return session.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() is not None


@pytest.mark.skipif(not PROGRAMS, reason=server.MISSING)
def test_a_promotion_loses_nothing_that_was_acknowledged_and_is_seen() -> None:
    with server.running() as primary, standby_of(primary) as standby:
        with psycopg.connect(primary.url, autocommit=True) as session:
            session.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            session.execute("SELECT pg_reload_conf()")
        wait_until(lambda: is_synchronous(primary), WAIT_S, "the standby is synchronous")
        store = Postgres(primary.url, limit_s=LIMIT_S)
        by = store.join("one", identity(0), identity(1), 0, LONG_MS)
        before = store.lease(by, LONG_MS, 0).identity
        accepted, is_enough = set[bytes](), threading.Event()

        def accept() -> None:
            with contextlib.suppress(NoAnswerError):
                for number in range(1, HELD_MAX):
                    (row,) = store.accept(by, [Offer(identity(number), 1990, number)])
                    assert row.verdict == Verdict.NEW
                    accepted.add(identity(number))
                    if number == BEFORE:
                        is_enough.set()

        accepting = threading.Thread(target=accept)
        accepting.start()
        assert is_enough.wait(WAIT_S)
        primary.kill()
        accepting.join()
        with psycopg.connect(standby.url, autocommit=True) as session:
            session.execute("SELECT pg_promote()")
        there = Postgres(standby.url, limit_s=LIMIT_S)
        held = {kept.id for kept in there.held(by, bytes(16), HELD_MAX)}
        # The last one had no answer, and may be there.
        assert accepted <= held and len(held) <= len(accepted) + 1
        assert there.lease(by, LONG_MS, 0).identity != before
        store.close()
        there.close()
