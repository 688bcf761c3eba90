"""A named piece of shared memory that outlives the processes that use it.

*Warning*: Python 3.11's resource tracker unlinks a segment when any process that attached to it exits, which would
destroy the payments of everybody else. So nothing here is tracked: a segment stays until :func:`remove`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import cast

from engine.memory.words import WORD_BYTES, Words


class SegmentError(Exception):
    """A segment cannot be used: it has another layout or size, or the machine has no room for it."""


class _Memory(SharedMemory):
    """A segment that is not tracked, and not torn down with words still in use when the process exits."""

    def __init__(self, name: str, create: bool = False, size: int = 0) -> None:
        # Python 3.13 has track=False for it; before, not registering is the only way that starts no tracker process.
        register = resource_tracker.register
        resource_tracker.register = lambda *_: None
        try:
            super().__init__(name, create, size)
        finally:
            resource_tracker.register = register

    def __del__(self) -> None:
        """The kernel unmaps; the base class would complain of the words that rings and books still hold."""


class Segment:
    """Shared memory as 8-byte words.

    ``words[i]`` is one aligned 8-byte load or store, seen by other processes whole and, on x86-64, in the order of the
    stores (``struct.pack_into`` would write byte by byte).
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._bytes = memoryview(_buffer(memory))
        self._words = self._bytes.cast("Q")
        self.words = cast(Words, self._words)  # typeshed's memoryview is wider than Words asks

    def close(self) -> None:
        """Detaches. Whoever still holds a slice of ``words`` makes this a BufferError."""
        self._words.release()
        self._bytes.release()
        self._memory.close()


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Holds the file lock ``path``; the kernel lets go of it when the holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def open_or_create(
    name: str, length: int, lock_path: str, lay_out: Callable[[Words], None], check: Callable[[Words], str]
) -> Segment:
    """Attaches to the segment ``name``, making it first if it is not there.

    Parameters:
      name: without a slash; the segment is /dev/shm/``name``.
      length: in words.
      lock_path: a file lock that all who may make this segment share.
      lay_out: writes the first content of a new segment, all of whose words are 0. Its last store must be what
        ``check`` looks at first, so that a maker killed half-way leaves something that is made anew.
      check: returns why an existing segment cannot be used, ``""`` when it can, ``"unfinished"`` when its maker died.

    Raises SegmentError for one that cannot be used.
    """
    with locked(lock_path):
        with contextlib.suppress(FileNotFoundError):
            memory = _Memory(name)
            complaint = _complaint(memory, length, check)
            if not complaint:
                return Segment(memory)
            memory.close()
            if complaint != "unfinished":
                raise SegmentError(
                    f"shared memory {name}: {complaint}. `python -m engine reset` removes it together with the "
                    "payments that it remembers."
                )
            os.unlink(f"/dev/shm/{name}")
        try:
            memory = _Memory(name, create=True, size=length * WORD_BYTES)
            # Every page is written once now: memory is laid out at the start and never grows after it.
            os.posix_fallocate(memory._fd, 0, length * WORD_BYTES)  # type: ignore[attr-defined]
        except OSError as error:
            raise SegmentError(f"shared memory {name}: cannot make {length * WORD_BYTES} bytes: {error}") from error
        segment = Segment(memory)
        lay_out(segment.words)
        return segment


def remove(name: str) -> bool:
    """Removes the segment ``name``; returns whether it was there. Whoever is attached keeps what it has."""
    try:
        os.unlink(f"/dev/shm/{name}")
    except FileNotFoundError:
        return False
    return True


def random_odd_word() -> int:
    """A random odd number of 64 bits, a multiplier for hashing that an outsider cannot guess."""
    return secrets.randbits(64) | 1


def _complaint(memory: SharedMemory, length: int, check: Callable[[Words], str]) -> str:
    if memory.size < WORD_BYTES * 8:
        return "unfinished"
    view = memoryview(_buffer(memory))
    words = view[: memory.size // WORD_BYTES * WORD_BYTES].cast("Q")
    try:
        complaint = check(cast(Words, words))
        if not complaint and memory.size != length * WORD_BYTES:
            complaint = f"it has {memory.size} bytes and should have {length * WORD_BYTES}"
    finally:
        words.release()
        view.release()
    return complaint


def _buffer(memory: SharedMemory) -> memoryview[int]:
    assert memory.buf is not None, "the segment is closed"
    return memory.buf
