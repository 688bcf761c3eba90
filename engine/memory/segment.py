"""Named pieces of memory that outlive the processes that use them: in shared memory, or in files on a volume.

*Warning*: Python 3.11's resource tracker unlinks a shared-memory segment when any process that attached to it exits,
which would destroy the payments of everybody else. So nothing here is tracked: a segment stays until it is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import cast

from engine.memory.words import WORD_BYTES, Words

SHARED_MEMORY_DIRECTORY = "/dev/shm"


class SegmentError(Exception):
    """A segment cannot be used: it has another layout or size, is damaged, or there is no room for it."""


class Segment:
    """Memory as 8-byte words.

    ``words[i]`` is one aligned 8-byte load or store, seen by other processes whole and, on x86-64, in the order of the
    stores (``struct.pack_into`` would write byte by byte).

    Parameters:
      memory: the bytes; what is beyond the last whole word is left out.
      close: detaches from them.
      descriptor: the file behind them, None for shared memory.
    """

    def __init__(self, memory: SharedMemory | mmap.mmap, descriptor: int | None = None) -> None:
        self._memory = memory
        self._descriptor = descriptor
        buffer = memory.buf if isinstance(memory, SharedMemory) else memory
        assert buffer is not None
        self._bytes = memoryview(buffer)
        self._words = self._bytes[: len(self._bytes) // WORD_BYTES * WORD_BYTES].cast("Q")
        self.words = cast(Words, self._words)  # typeshed's memoryview is wider than Words asks

    def lock(self, *, shared: bool = False) -> bool:
        """Takes this segment for the calling process until it ends or closes it; False when another one has it.

        ``shared``: only from those who do not share it.
        """
        if isinstance(self._memory, SharedMemory):
            descriptor: int = self._memory._fd  # type: ignore[attr-defined]
        else:
            assert self._descriptor is not None
            descriptor = self._descriptor
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sync(self) -> None:
        """Returns when everything stored so far is on disk. Raises OSError; nothing is known to be there then."""
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)

    def write_again(self, places: Iterable[int]) -> None:
        """Stores the words at ``places`` once more, so that the next sync writes the pages in which they are.

        Of a page that the disk refused once, a kernel forgets that it was to be written: a process that starts after
        that must not take its own first sync for success. The caller is the one writer of these words.
        """
        words = self.words
        for at in places:
            words[at] = words[at]

    def close(self) -> None:
        """Detaches. Whoever still holds a slice of ``words`` makes this a BufferError."""
        self._words.release()
        self._bytes.release()
        self._memory.close()
        if self._descriptor is not None:
            os.close(self._descriptor)


class Store(ABC):
    """Where segments are kept, by name."""

    @abstractmethod
    def open(self, name: str) -> Segment:
        """Attaches to a segment. Raises FileNotFoundError."""

    @abstractmethod
    def create(self, name: str, length: int) -> Segment:
        """Makes a segment of ``length`` words, all 0 and all of them there: it never needs room later.

        Raises OSError, and leaves nothing, when there is no room.
        """

    @abstractmethod
    def names(self) -> list[str]:
        """All there are, whoever made them."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a segment if it is there. Whoever is attached keeps what it has."""


class SharedMemoryStore(Store):
    """``multiprocessing.shared_memory``: lives until the machine, or the volume mounted there, ends."""

    def open(self, name: str) -> Segment:
        """See :class:`Store`."""
        return Segment(_UntrackedMemory(name))

    def create(self, name: str, length: int) -> Segment:
        """See :class:`Store`."""
        memory = _UntrackedMemory(name, create=True, size=length * WORD_BYTES)
        try:
            os.posix_fallocate(memory._fd, 0, length * WORD_BYTES)  # type: ignore[attr-defined]
        except OSError:
            self.remove(name)
            raise
        return Segment(memory)

    def names(self) -> list[str]:
        """See :class:`Store`."""
        return sorted(os.listdir(SHARED_MEMORY_DIRECTORY))

    def remove(self, name: str) -> None:
        """See :class:`Store`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{SHARED_MEMORY_DIRECTORY}/{name}")


class FileStore(Store):
    """Files in a directory, mapped into memory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def open(self, name: str) -> Segment:
        """See :class:`Store`."""
        descriptor = os.open(f"{self._directory}/{name}", os.O_RDWR | os.O_CLOEXEC)
        if os.fstat(descriptor).st_size < WORD_BYTES:
            os.close(descriptor)
            raise FileNotFoundError(name)
        return Segment(mmap.mmap(descriptor, 0), descriptor)

    def create(self, name: str, length: int) -> Segment:
        """See :class:`Store`."""
        _make_directory(self._directory)
        path = f"{self._directory}/{name}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, length * WORD_BYTES)
        except OSError:
            os.close(descriptor)
            self.remove(name)
            raise
        os.fsync(descriptor)
        _sync_directory(self._directory)  # the name, too, has to survive
        return Segment(mmap.mmap(descriptor, 0), descriptor)

    def names(self) -> list[str]:
        """See :class:`Store`."""
        return sorted(os.listdir(self._directory)) if os.path.isdir(self._directory) else []

    def remove(self, name: str) -> None:
        """See :class:`Store`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{name}")
            _sync_directory(self._directory)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Holds the file lock ``path``; the kernel lets go of it when the holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_directory(path: str) -> None:
    """Makes a directory and what leads to it; their names survive the loss of power."""
    if not os.path.isdir(path):
        parent = os.path.dirname(os.path.abspath(path))
        _make_directory(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        _sync_directory(parent)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _UntrackedMemory(SharedMemory):
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
