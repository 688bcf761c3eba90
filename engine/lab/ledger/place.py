"""Where the ledger of a run is: nowhere, in a file of SQLite, or in a PostgreSQL of its own. Nothing of it is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engine.lab.ledger.server import Server

OFF: Final = "off"
SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
KINDS: Final = (OFF, SQLITE, POSTGRESQL)
NEEDED: Final = ("sqlalchemy", "alembic", "pysqlite3", "psycopg")  # packages
PARENT: Final = "/var/tmp"  # on a disk, where /tmp may not be
DATABASE: Final = "ledger"
# A kill must not lose what was committed.
SERVER_SETTINGS: Final = {"fsync": "on", "full_page_writes": "on"}
# On a small disk.
SMALL_WAL_MB: Final = 4
SMALL_SETTINGS: Final = {"max_wal_size": "64MB", "min_wal_size": "16MB"}


class PlaceError(Exception):
    """There is no such place on this machine; the text says why."""


@dataclass(frozen=True)
class Place:
    """A ledger's place.

    Parameters:
      kind: one of KINDS.
      url: of the database, ``""`` for none.
      server: PostgreSQL's; None for the others.
    """

    kind: str
    url: str = ""
    server: Server | None = None

    @property
    def variables(self) -> Mapping[str, str]:
        """What the engine is told."""
        return {"ENGINE_LEDGER": "best", "ENGINE_LEDGER_URL": self.url} if self.url else {"ENGINE_LEDGER": OFF}

    def size_bytes(self) -> int:
        """The size of the database, without the log that is written ahead; 0 while there is none."""
        if self.server is not None:
            return self.server.size_bytes(DATABASE)
        if not self.url:
            return 0
        with contextlib.suppress(FileNotFoundError):
            return Path(self.url.removeprefix("sqlite:///")).stat().st_size
        return 0


@contextlib.contextmanager
def place(
    kind: str, logs: Path, mount: Callable[[Path], AbstractContextManager[object]] | None = None
) -> Iterator[Place]:
    """A place for an empty ledger, on a disk.

    Parameters:
      kind: one of KINDS.
      logs: the directory where PostgreSQL's log goes.
      mount: puts a small file system on the directory that it is given, for the database alone.

    Raises PlaceError.
    """
    if kind == OFF:
        yield Place(OFF)
        return
    with ExitStack() as held:
        above = Path(held.enter_context(TemporaryDirectory(prefix="ledger-", dir=PARENT, ignore_cleanup_errors=True)))
        above.chmod(0o711)  # PostgreSQL's user must come through
        data = above / "data"
        data.mkdir()
        if mount is not None:
            held.enter_context(mount(data))
        if kind == SQLITE:
            yield Place(SQLITE, f"sqlite:///{data}/ledger.db")
            return
        server = held.enter_context(_server(data, logs / "postgresql.log", is_small=mount is not None))
        yield Place(POSTGRESQL, server.new_database(DATABASE), server)


@contextlib.contextmanager
def _server(data: Path, log: Path, is_small: bool) -> Iterator[Server]:
    from engine.lab.ledger.server import running  # not every installation has psycopg

    settings = SERVER_SETTINGS | (SMALL_SETTINGS if is_small else {})
    with ExitStack() as held:
        try:
            server = held.enter_context(running(data, log, SMALL_WAL_MB if is_small else None, **settings))
        except (RuntimeError, CalledProcessError, KeyError) as error:
            raise PlaceError(f"PostgreSQL cannot be started: {error}") from error
        yield server
