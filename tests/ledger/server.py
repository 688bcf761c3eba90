"""A PostgreSQL of a test's own: in a temporary directory, on a Unix socket, by a user that is not root."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian has them
# Nothing that a test writes must outlive the machine.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "5s",
    "dynamic_shared_memory_type": "mmap",
}


class Server:
    """A running server. ``url`` is that of its database ``postgres``."""

    def __init__(self, place: Path, process: subprocess.Popen[bytes]) -> None:
        self.place = place
        self.process = process
        self.url = self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.place}"

    def new_database(self, name: str, template: str = "template1") -> str:
        """Makes a copy of an empty database, or of another one that nobody is in; returns its address."""
        make = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(make)
        return self.url_of(name)

    def backends(self, database: str) -> list[int]:
        """Process ids of the server that somebody else's connections to a database have."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", (database,))
            return [pid for (pid,) in found]


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A server with these settings, as long as the block lasts; its user is ``postgres`` where root runs the tests."""
    programs = PROGRAMS[-1]
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    place = Path(tempfile.mkdtemp(prefix="ledger-pg-", dir="/tmp"))  # short: a socket's path has 107 characters at most
    os.chown(place, user.pw_uid, user.pw_gid)
    who: Any = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    data = place / "data"
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-N", "--locale=C", "-E", "UTF8"],
            check=True, stdout=subprocess.DEVNULL, cwd=place, **who,
        )  # fmt: skip
        options = [word for name, value in (SETTINGS | settings).items() for word in ("-c", f"{name}={value}")]
        with open(place / "log", "wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", place, *options], stdout=log, stderr=log, cwd=place, **who
            )
        server = Server(place, process)
        try:
            _wait_for(server)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _wait_for(server: Server) -> None:
    for _ in range(200):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.url, connect_timeout=2):
            return
        if server.process.poll() is not None:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(0.1)
    raise RuntimeError((server.place / "log").read_text())
