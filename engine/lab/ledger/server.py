"""A PostgreSQL of a run's own: in a temporary directory, on a Unix socket, by a user that is not root."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian has them
MISSING = "Debian's package postgresql is not installed, and `make setup` could not install it"
START_S_MAX = 30.0
RESTART_PAUSE_S = 0.5  # as systemd's RestartSec would be set
ASK_PAUSE_S = 0.2  # each question is a process of the server
# Nothing that a test writes must outlive the machine. A measurement sets fsync and full_page_writes.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "5s",
    "dynamic_shared_memory_type": "mmap",
    "recovery_init_sync_method": "syncfs",  # after a kill: file by file it takes seconds
}


class Server:
    """A server with its socket in the directory ``place``. ``url`` is that of its database ``postgres``.

    Parameters:
      data: the directory of its data.
      log: the file of what it says.
      who: the user whose it is, as `subprocess` takes it.
      options: of the command line.

    Raises RuntimeError with its log when it does not start.
    """

    def __init__(self, place: Path, data: Path, log: Path, who: dict[str, Any], options: list[str]) -> None:
        self.place = place
        self.url = self.url_of("postgres")
        self._data, self._log, self._who, self._options = data, log, who, options
        self._restart_at = self._ask_at = 0.0
        self.start()

    def start(self) -> None:
        """Starts it, again and again if one that was killed is in its way, and waits until it answers."""
        self._spawn()
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s:
            if self.answers():
                return
            self.tend()
            time.sleep(0.05)
        raise RuntimeError(self._log.read_text())

    def stop(self) -> None:
        """Ends it at once: it waits for nobody, and writes nothing back."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def kill(self) -> int | None:
        """kill -9 of its first process, the others end then; its process id, None when it does not run."""
        if self._process.poll() is not None:
            return None
        self._process.kill()
        self._process.wait()
        return self._process.pid

    def kill_backend(self, database: str) -> int | None:
        """kill -9 of one of its processes that serve a database; the server then ends all others, and recovers.

        Returns the process id, None when there is none at the moment.
        """
        with contextlib.suppress(psycopg.OperationalError, ProcessLookupError):
            for pid in self.backends(database)[:1]:
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

    def tend(self) -> None:
        """Starts it again when it has ended, as a service manager would: until it stays. Waits for nothing."""
        now_s = time.monotonic()
        if self._process.poll() is not None and now_s >= self._restart_at:
            # Until the last process of the one that was killed has gone, the new one says so and ends.
            self._restart_at = now_s + RESTART_PAUSE_S
            self._spawn()

    @property
    def pid(self) -> int:
        """The process id of its first process."""
        return self._process.pid

    def answers(self) -> bool:
        """Whether it takes connections. It is asked every ASK_PAUSE_S at most; meanwhile the answer is no."""
        if time.monotonic() < self._ask_at:
            return False
        self._ask_at = time.monotonic() + ASK_PAUSE_S
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False

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

    def size_bytes(self, database: str) -> int:
        """The size of a database, without the log that is written ahead."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT pg_database_size(%s)", (database,)).fetchone()
            return int(row[0]) if row else 0

    def _spawn(self) -> None:
        command = [str(PROGRAMS[-1] / "postgres"), "-D", str(self._data), "-k", str(self.place), *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.place, **self._who)


@contextlib.contextmanager
def running(
    data: Path | None = None, log: Path | None = None, wal_segment_mb: int | None = None, **settings: str
) -> Iterator[Server]:
    """A server with these settings, as long as the block lasts; its user is ``postgres`` where root runs it.

    Parameters:
      data: an empty directory for its data; by default one of its own, which is removed.
      log: the file of what it says, which is kept; by default one that is removed.
      wal_segment_mb: the size of its log's files, where it is not the usual one.

    Raises RuntimeError when PostgreSQL is not installed or does not start.
    """
    if not PROGRAMS:
        raise RuntimeError(MISSING)
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    place = Path(tempfile.mkdtemp(prefix="ledger-pg-", dir="/tmp"))  # short: a socket's path has 107 characters at most
    data = data or place / "data"
    data.mkdir(exist_ok=True)
    for path in (place, data):
        os.chown(path, user.pw_uid, user.pw_gid)
    who: Any = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        subprocess.run(
            [PROGRAMS[-1] / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-N", "--locale=C", "-E", "UTF8",
             *([f"--wal-segsize={wal_segment_mb}"] if wal_segment_mb else [])],
            check=True, stdout=subprocess.DEVNULL, cwd=place, **who,
        )  # fmt: skip
        options = [word for name, value in (SETTINGS | settings).items() for word in ("-c", f"{name}={value}")]
        server = Server(place, data, log or place / "log", who, options)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
