"""Locks on files, which the kernel frees when their holder dies.

They are Linux's locks of open file descriptions (``F_OFD_SETLK``, see fcntl(2)). Each excludes every other opening of
the file, also in the same process, and in every container that mounts the same file system. The older POSIX record
locks would be lost when the process closes any descriptor of the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator

_TRIES_MAX = 1000  # if a lock file is removed this often during one wait, something is wrong


def take(descriptor: int, byte: int, count: int = 1, *, wait: bool = True) -> bool:
    """Locks ``count`` bytes of a file, from ``byte`` on, for this opening of it. False if another opening has one of
    them and ``wait`` is False.
    """
    try:
        _set(descriptor, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte, count)
    except BlockingIOError:
        return False
    return True


def free(descriptor: int, byte: int, count: int = 1) -> None:
    """Gives back the bytes that :func:`take` has locked."""
    _set(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte, count)


@contextlib.contextmanager
def holding(path: str, byte: int, wait: bool = True) -> Iterator[None]:
    """Holds byte ``byte`` of the file ``path``, which is made if need be. The holder may remove the file.

    Raises BlockingIOError if another opening has it and ``wait`` is False, and OSError.
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


def _set(descriptor: int, command: int, kind: int, byte: int, count: int) -> None:
    # struct flock: type, whence, start, length, and a process id that is 0 for these locks.
    fcntl.fcntl(descriptor, command, struct.pack("hhqqi0q", kind, os.SEEK_SET, byte, count, 0))
