"""How much room is left where the engine keeps something."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.settings import Settings
from engine.storage import durability
from engine.storage.segment import SHARED_MEMORY_DIRECTORY

_SQLITE: Final = "sqlite:///"


class Room(NamedTuple):
    """Of a file system, in bytes: what anybody may still write there, and all that it can hold."""

    free: int
    size: int


def rooms(settings: Settings) -> Iterator[tuple[str, Room]]:
    """The places of an engine with these settings that this process sees, each with its room.

    ``memory`` is shared memory, ``data`` where rings and books are files, ``run`` has sockets and nginx's files, and
    ``ledger`` is the directory of a ledger in SQLite. A disk of PostgreSQL is not seen from here.
    """
    for place, directory in _places(settings):
        try:
            found = os.statvfs(directory)
        except OSError:
            continue  # not there yet, or not to be seen by this process
        yield place, Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _places(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "memory", SHARED_MEMORY_DIRECTORY
    yield "run", settings.host.run_dir
    if durability.of(settings).is_on_disk:
        yield "data", settings.storage.data_dir
    if settings.ledger.is_on and settings.ledger_url.startswith(_SQLITE):
        yield "ledger", os.path.dirname(settings.ledger_url.removeprefix(_SQLITE)) or "."
