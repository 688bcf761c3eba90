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
    """A server with its data in the directory ``place``. ``url`` is that of its database ``postgres``."""

    def __init__(self, place: Path, who: dict[str, Any], options: list[str]) -> None:
        self.place = place
        self.url = self.url_of("postgres")
        self._who, self._options = who, options
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [str(PROGRAMS[-1] / "postgres"), "-D", f"{self.place}/data", "-k", str(self.place), *self._options]
        with open(self.place / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.place, **self._who)
        for _ in range(300):
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
                return
            if self._process.poll() is not None:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        raise RuntimeError((self.place / "log").read_text())

    def stop(self) -> None:
        """Ends it at once: it waits for nobody, and writes nothing back."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

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
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    place = Path(tempfile.mkdtemp(prefix="ledger-pg-", dir="/tmp"))  # short: a socket's path has 107 characters at most
    os.chown(place, user.pw_uid, user.pw_gid)
    who: Any = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        subprocess.run(
            [PROGRAMS[-1] / "initdb", "-D", place / "data", "-U", "postgres", "--auth=trust", "-N", "--locale=C",
             "-E", "UTF8"],
            check=True, stdout=subprocess.DEVNULL, cwd=place, **who,
        )  # fmt: skip
        options = [word for name, value in (SETTINGS | settings).items() for word in ("-c", f"{name}={value}")]
        server = Server(place, who, options)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
