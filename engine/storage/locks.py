"""Locks on files, which the kernel frees when their holder dies.

They are Linux's locks of open file descriptions (``F_OFD_SETLK``, see fcntl(2)). Each excludes every other opening of
the file, also in the same process, and in every container that mounts the same file system. The older POSIX record
locks would be lost when the process closes any descriptor of the file.

A holder may be stopped (SIGSTOP, a debugger, a frozen container), and then nobody knows for how long. So every wait has
an end, and an error that says who has the lock and what to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.memory.errors import SegmentError

WAIT_SECONDS = 120.0  # whoever has a lock for longer than the largest memory takes to be made is in trouble
STOPPED_SECONDS = 5.0  # a holder that is stopped is waited for no longer than this; so often it is looked for
TRY_SECONDS = 0.005  # between two tries
_TRIES_MAX = 1000  # if a lock file is removed this often during one wait, something is wrong


class StuckError(SegmentError):
    """A lock could not be had. Holds a sentence that names its holder, and what to do."""


def take(descriptor: int, byte: int, count: int = 1, *, wait: bool = True) -> bool:
    """Locks ``count`` bytes of a file, from ``byte`` on, for this opening of it. False if another opening has one of
    them and ``wait`` is False.

    Raises StuckError if one cannot be had within WAIT_SECONDS, or STOPPED_SECONDS if its holder is stopped.
    """
    if _try(descriptor, byte, count):
        return True
    if not wait:
        return False
    now = time.monotonic()
    deadline, look = now + WAIT_SECONDS, now + STOPPED_SECONDS
    # One after the other, or bytes that others take and free all the time would never be free together. All who take
    # several do so in this order.
    for one in range(byte, byte + count):
        while not _try(descriptor, one, 1):
            time.sleep(TRY_SECONDS)
            now = time.monotonic()
            if now >= look:
                look = now + STOPPED_SECONDS
                found = holders(descriptor, byte, count)
                if now >= deadline or any(holder.is_stopped for holder in found):
                    free(descriptor, byte, count)
                    raise StuckError(_sentence(descriptor, found))
    return True


def free(descriptor: int, byte: int, count: int = 1) -> None:
    """Gives back the bytes that :func:`take` has locked."""
    _set(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte, count)


@contextlib.contextmanager
def holding(path: str, byte: int, wait: bool = True) -> Iterator[None]:
    """Holds byte ``byte`` of the file ``path``, which is made if need be. The holder may remove the file.

    Raises BlockingIOError if another opening has it and ``wait`` is False, StuckError, and OSError.
    """
    for _ in range(_TRIES_MAX):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not take(descriptor, byte, wait=wait):
                raise BlockingIOError(path)
            if is_named(path, descriptor):  # else the file was removed during the wait, and others use a new one
                yield
                return
        finally:
            os.close(descriptor)
    raise OSError(f"{path} is removed again and again")


def is_named(path: str, descriptor: int) -> bool:
    """Whether ``path`` is still the name of the file that is open as ``descriptor``."""
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


class Holder(NamedTuple):
    """A process that has a lock."""

    pid: int
    command: str
    is_stopped: bool


def holders(descriptor: int, byte: int, count: int) -> list[Holder]:
    """Who has one of these bytes, beside this opening; only processes that this one may see. See proc(5), fdinfo."""
    number = str(os.fstat(descriptor).st_ino)
    found = set[int]()
    for path in glob.glob("/proc/[0-9]*/fdinfo/*"):
        _, _, pid, _, opening = path.split("/")
        if (int(pid), int(opening)) == (os.getpid(), descriptor):
            continue
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            for line in Path(path).read_text().splitlines():
                if line.startswith("lock:") and _is_one_of(line.split(), number, byte, count):
                    found.add(int(pid))
    return [holder for pid in sorted(found) if (holder := _holder(pid)) is not None]


def _is_one_of(words: list[str], number: str, byte: int, count: int) -> bool:
    """``words``: ``lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:INODE FIRST LAST``."""
    kind, place, first, last = words[2], words[6], words[7], words[8]
    is_there = kind == "OFDLCK" and place.split(":")[-1] == number
    return is_there and int(first) < byte + count and (last == "EOF" or int(last) >= byte)


def _holder(pid: int) -> Holder | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
    return Holder(pid, " ".join(words), state in "Tt")


def _sentence(descriptor: int, found: list[Holder]) -> str:
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    if not found:
        return f"another process keeps {path} locked, which is not to be seen from here (another container?): end it"
    one = next((holder for holder in found if holder.is_stopped), found[0])
    what = "is stopped and keeps" if one.is_stopped else "keeps"
    remedy = f"let it go on (kill -CONT {one.pid}), or end it (kill -9 {one.pid})" if one.is_stopped else "end it"
    return f"process {one.pid} ({one.command}) {what} {path} locked: {remedy}"


def _try(descriptor: int, byte: int, count: int) -> bool:
    try:
        _set(descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte, count)
    except BlockingIOError:
        return False
    return True


def _set(descriptor: int, command: int, kind: int, byte: int, count: int) -> None:
    # struct flock: type, whence, start, length, and a process id that is 0 for these locks.
    fcntl.fcntl(descriptor, command, struct.pack("hhqqi0q", kind, os.SEEK_SET, byte, count, 0))
