"""What the engine stands on: directories, their file systems and rights, room in memory, descriptors."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from engine.doctor.finding import Finding, good, wrong
from engine.memory import acts_layout, journal_layout, layout
from engine.memory.words import WORD_BYTES
from engine.ring import ids
from engine.settings import Settings
from engine.storage import disks, durability, filesystem, names, sizes
from engine.storage.segment import SHARED_MEMORY_DIRECTORY
from engine.supervise import others

LEFT_MIN: Final = 0.1  # of a disk, as in the alert DiskNearlyFull
_NOT_OURS = stat.S_IWGRP | stat.S_IWOTH


def look(settings: Settings) -> list[Finding]:
    """All of it."""
    rooms = disks.rooms(settings)
    return [rights(settings), *directories(settings), room(settings), *left(rooms), descriptors(settings)]


def rights(settings: Settings) -> Finding:
    """Whether what belongs to the engine is this user's."""
    name = "owner"
    complaint = others.complaint(settings)
    if complaint:
        told = " ".join(complaint.split())
        return wrong(name, told, "run the engine as the user who has them, or give them to this one (chown -R)")
    return good(name, "nothing of the engine is another user's")


def directories(settings: Settings) -> Iterator[Finding]:
    """Whether the directories can be used, by the engine alone, and last as long as they must."""
    yield _directory("run directory", "ENGINE_RUN_DIR", settings.host.run_dir)
    if not durability.of(settings).is_on_disk:
        return
    path = settings.storage.data_dir
    found = _directory("data directory", "ENGINE_DATA_DIR", path)
    yield found
    if os.path.isdir(path):
        complaint = filesystem.complaint(path)
        if complaint:
            yield wrong("file system", f"ENGINE_DATA_DIR={path}: {complaint}", "payments with a 202 would be lost")
        else:
            yield good("file system", f"{path} is on a local disk")


def room(settings: Settings, free_bytes: Callable[[str], int] | None = None) -> Finding:
    """Whether the memory of the engine fits where it is kept.

    ``free_bytes``: of the file system of a directory; None asks the kernel.
    """
    name = "room"
    directory = others.memory_directory(settings)
    try:
        there = sum(
            os.stat(os.path.join(directory, one)).st_size
            for one in names.own(settings.host.name, os.listdir(directory))
        )
        free = (free_bytes or _free_bytes)(directory)
    except OSError as error:
        return wrong(name, f"{directory} cannot be looked at: {error.strerror}", "make it, and give it to the engine")
    missing = needed_bytes(settings) - there
    told = f"{directory} has {_mb(free)} free, and the engine needs {_mb(max(0, missing))} more than it has there"
    if missing <= free:
        return good(name, told)
    remedy = "make it larger, or ENGINE_RING_SLOTS, ENGINE_ID_MEMORY or ENGINE_JOURNAL_SLOTS smaller (docs/memory.md)"
    if directory == SHARED_MEMORY_DIRECTORY:
        remedy += "; in a container: shm_size, or MEMORY_BLOCKS of docker-compose.yml"
    return wrong(name, told, remedy)


def left(rooms: Iterable[tuple[str, disks.Room]]) -> Iterator[Finding]:
    """Whether disks have a tenth left, as the alert wants it. What shared memory needs is :func:`room`'s."""
    for place, found in rooms:
        if place == "memory" or not found.size:
            continue
        told = f"{found.free / found.size:.0%} of {_mb(found.size)} are left where the engine keeps {place}"
        if found.free >= found.size * LEFT_MIN:
            yield good(f"{place} disk", told)
        else:
            yield wrong(f"{place} disk", told, "make room, not among the engine's files (docs/operations.md)")


def descriptors(settings: Settings, hard: int | None = None) -> Finding:
    """Whether the dispatcher may have as many sockets as the settings let it use.

    ``hard``: the hard limit of descriptors; None asks the kernel for this process's, which is its children's too.
    """
    name = "descriptors"
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    needed = settings.descriptors_max
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return good(name, f"{needed:,} are needed at most, and allowed")
    return wrong(
        name,
        f"a process may have {allowed:,} here, and the dispatcher may need {needed:,}: a request without a "
        "socket looks like a processor that fails",
        f"raise the hard limit (ulimit -Hn {needed}, LimitNOFILE=), or lower ENGINE_IN_FLIGHT_MAX",
    )


def needed_bytes(settings: Settings) -> int:
    """The bytes of all segments of an engine with these settings."""
    words = settings.host.api_processes * layout.ring_words(settings.storage.ring_slots)
    words += sizes.asked(settings).shape.words
    if settings.storage.id_memory:
        words += ids.ids_words(ids.ids_buckets(settings.storage.id_memory))
    if settings.ledger.is_on:
        words += journal_layout.journal_words(settings.ledger.journal_slots) + acts_layout.acts_words(acts_layout.SLOTS)
    return words * WORD_BYTES


def _directory(name: str, variable: str, path: str) -> Finding:
    """Whether only the engine's user can change what is in a directory."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        parent = os.path.dirname(os.path.abspath(path))
        if os.access(parent, os.W_OK):
            return good(name, f"{path} is not there yet; the first start makes it")
        return wrong(name, f"{variable}={path} is not there, and cannot be made", "make it, and give it to the engine")
    except OSError as error:
        return wrong(name, f"{variable}={path}: {error.strerror}", "give it to the engine's user")
    if not stat.S_ISDIR(found.st_mode):
        return wrong(name, f"{variable}={path} is no directory", "name a directory")
    if found.st_uid not in (os.geteuid(), 0):
        return wrong(name, f"{variable}={path} belongs to user {found.st_uid}", f"chown {os.geteuid()} {path}")
    if found.st_mode & _NOT_OURS:
        return wrong(
            name,
            f"{variable}={path} has mode {stat.S_IMODE(found.st_mode):o}: others can change where payments go",
            f"chmod go-w {path}",
        )
    if not os.access(path, os.W_OK | os.X_OK):
        return wrong(name, f"{variable}={path} cannot be written by this user", "give it to the engine's user")
    return good(name, f"{path} is the engine's own")


def _free_bytes(directory: str) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
