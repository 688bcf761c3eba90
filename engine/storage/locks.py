"""Locks on files, which the kernel frees when their holder dies.

They are Linux's locks of open file descriptions (``F_OFD_SETLK``, see fcntl(2)): each excludes every other opening of
the file, in this process too, and in every container that mounts the same file system. The older POSIX record locks
would go with the first descriptor of the file that the process closes, whoever had opened it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator

_TRIES_MAX = 1000  # a lock file that is removed so often while it is waited for is being removed by somebody for sport


def take(descriptor: int, byte: int, count: int = 1, *, wait: bool = True) -> bool:
    """Takes ``count`` bytes of a file, from ``byte`` on, for this opening of it; False when another one has one of them
    and ``wait`` is False.
    """
    try:
        _set(descriptor, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte, count)
    except BlockingIOError:
        return False
    return True


def free(descriptor: int, byte: int, count: int = 1) -> None:
    """Gives back what :func:`take` has taken."""
    _set(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte, count)


@contextlib.contextmanager
def holding(path: str, byte: int, wait: bool = True) -> Iterator[None]:
    """Holds byte ``byte`` of the file ``path``, which is made if need be. Whoever holds it may remove the file.

    Raises BlockingIOError when another one has it and ``wait`` is False, and OSError.
    """
    for _ in range(_TRIES_MAX):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not take(descriptor, byte, wait=wait):
                raise BlockingIOError(path)
            if is_named(path, descriptor):  # else it was removed while this process waited, and others use a new one
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
