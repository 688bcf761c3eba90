"""Named pieces of memory that outlive the processes that use them: in shared memory, or in files on a volume.

*Warning*: Python 3.11's resource tracker unlinks a shared-memory segment when any process that attached to it exits.
``SharedMemory.__init__`` unlinks it if it cannot be mapped, even if another process has made it (seen with
``ulimit -v``). Either would destroy all payments. So ``SharedMemory`` is used here only to make segments, untracked.
Attaching is done by hand, and that code cannot remove anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import cast

from engine.memory.words import WORD_BYTES, Words
from engine.storage import locks

SHARED_MEMORY_DIRECTORY = "/dev/shm"


class HeldError(Exception):
    """Another process holds something that only one process may hold. Holds a sentence."""


class EmptyError(OSError):
    """A segment has no size: whoever made it was killed on the way, before anybody could use it."""


class Segment:
    """Memory as 8-byte words.

    ``words[i]`` is one aligned 8-byte load or store. Other processes see it whole and, on x86-64, in the order of the
    stores (``struct.pack_into`` would write byte by byte).

    Parameters:
      path: the file behind it.
      memory: its bytes; bytes beyond the last whole word are left out.
      descriptor: the file, open.
      is_on_disk: whether :meth:`sync` has anything to do.
    """

    def __init__(self, path: str, memory: SharedMemory | mmap.mmap, descriptor: int, is_on_disk: bool) -> None:
        self.name = os.path.basename(path)
        self._path = path
        self._memory = memory
        self._descriptor = descriptor
        self._is_on_disk = is_on_disk
        buffer = memory.buf if isinstance(memory, SharedMemory) else memory
        assert buffer is not None
        self._bytes = memoryview(buffer)
        self._words = self._bytes[: len(self._bytes) // WORD_BYTES * WORD_BYTES].cast("Q")
        self.words = cast(Words, self._words)  # typeshed's memoryview is wider than Words asks

    @property
    def path(self) -> str:
        """The path where other processes find it."""
        return self._path

    @property
    def lock_path(self) -> str:
        """A path to exactly the attached file, whatever its name is now; it is opened again for locks of its bytes."""
        return f"/proc/self/fd/{self._descriptor}"

    def lock(self, *, shared: bool = False) -> bool:
        """Locks this segment for the calling process until it ends or closes it. False if another process has it.

        ``shared``: the lock excludes only processes that do not share it.
        """
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Gives back the lock of :meth:`lock`."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_current(self) -> bool:
        """Whether its name still leads to this segment: it was neither removed nor replaced."""
        return locks.is_named(self._path, self._descriptor)

    def sync(self) -> None:
        """Returns when everything stored so far is on disk. Raises OSError: then it is not known what is on disk."""
        if self._is_on_disk:
            os.fdatasync(self._descriptor)

    def write_again(self, places: Iterable[int]) -> None:
        """Stores the words at ``places`` once more, so that the next sync writes their pages.

        If the disk refused a page once, a kernel forgets that the page must be written. So the first sync of a process
        that starts later would wrongly succeed. The caller is the one writer of these words.
        """
        words = self.words
        for at in places:
            words[at] = words[at]

    def mark(self, state: int, *places: int) -> None:
        """Says on disk how it is left: ``state`` in the words ``places``. What is in it is on disk before.

        Raises OSError.
        """
        if any(self.words[at] != state for at in places):
            self.sync()
            for at in places:
                self.words[at] = state
            self.sync()

    def close(self) -> None:
        """Detaches. Raises BufferError if a slice of ``words`` is still held."""
        self._words.release()
        self._bytes.release()
        self._memory.close()
        if not isinstance(self._memory, SharedMemory):  # which has closed it
            os.close(self._descriptor)


class Store(ABC):
    """Where segments are kept, by name."""

    @abstractmethod
    def open(self, name: str) -> Segment:
        """Attaches to a segment. It never removes anything, whatever happens.

        Raises FileNotFoundError, EmptyError, OSError.
        """

    @abstractmethod
    def create(self, name: str, length: int) -> Segment:
        """Makes a segment of ``length`` words, all 0. All of its room is taken at once, so it never needs more later.

        Raises FileExistsError, and leaves what is there. Raises OSError if there is no room, and leaves nothing.
        """

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Renames a segment, in one step and durably. It replaces a segment that has the new name."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all segments, whatever engine they belong to."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a segment if it is there. Processes that are attached keep it."""

    @abstractmethod
    def holding(self, name: str, byte: int, wait: bool = True) -> AbstractContextManager[None]:
        """Holds a byte of the lock file ``name``, which lies beside the segments; see :func:`locks.holding`."""


class _Directory(Store):
    """Segments as files of one directory."""

    def __init__(self, directory: str, is_on_disk: bool) -> None:
        self._directory = directory
        self._is_on_disk = is_on_disk

    def open(self, name: str) -> Segment:
        """See :class:`Store`."""
        path = self._path(name)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size < WORD_BYTES:
                raise EmptyError("it is empty")
            return Segment(path, mmap.mmap(descriptor, 0), descriptor, self._is_on_disk)
        except BaseException:
            os.close(descriptor)
            raise

    def rename(self, old: str, new: str) -> None:
        """See :class:`Store`."""
        os.rename(self._path(old), self._path(new))
        self._sync_names()

    def names(self) -> list[str]:
        """See :class:`Store`."""
        return sorted(os.listdir(self._directory)) if os.path.isdir(self._directory) else []

    def remove(self, name: str) -> None:
        """See :class:`Store`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))
            self._sync_names()

    def holding(self, name: str, byte: int, wait: bool = True) -> AbstractContextManager[None]:
        """See :class:`Store`."""
        if self._is_on_disk:
            _make_directory(self._directory)
        return locks.holding(self._path(name), byte, wait)

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name}"

    def _sync_names(self) -> None:
        if self._is_on_disk:
            _sync_directory(self._directory)


class SharedMemoryStore(_Directory):
    """``multiprocessing.shared_memory``: it lives until the machine goes down, or until its volume is removed."""

    def __init__(self) -> None:
        super().__init__(SHARED_MEMORY_DIRECTORY, is_on_disk=False)

    def create(self, name: str, length: int) -> Segment:
        """See :class:`Store`."""
        memory = _UntrackedMemory(name, length * WORD_BYTES)
        descriptor: int = memory._fd  # type: ignore[attr-defined]
        try:
            os.posix_fallocate(descriptor, 0, length * WORD_BYTES)
        except OSError:
            self.remove(name)  # this process has just made it
            memory.close()
            raise
        return Segment(self._path(name), memory, descriptor, is_on_disk=False)


class FileStore(_Directory):
    """Files in a directory, mapped into memory."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory, is_on_disk=True)

    def create(self, name: str, length: int) -> Segment:
        """See :class:`Store`."""
        _make_directory(self._directory)
        path = self._path(name)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, length * WORD_BYTES)
            os.fsync(descriptor)
            self._sync_names()  # the name, too, has to survive
            return Segment(path, mmap.mmap(descriptor, 0), descriptor, is_on_disk=True)
        except OSError:
            os.close(descriptor)
            self.remove(name)  # this process has just made it
            raise


def _make_directory(path: str) -> None:
    """Makes a directory and its parents; their names survive a loss of power."""
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
    """A new segment that is not tracked, and not torn down with words still in use when the process exits."""

    def __init__(self, name: str, size: int) -> None:
        # Python 3.13 has track=False for this. Before, only skipping the registration starts no tracker process. A
        # failure unlinks the segment, and would also unregister it.
        register, unregister = resource_tracker.register, resource_tracker.unregister
        resource_tracker.register = resource_tracker.unregister = lambda *_: None
        try:
            super().__init__(name, create=True, size=size)
        finally:
            resource_tracker.register, resource_tracker.unregister = register, unregister

    def __del__(self) -> None:
        """Does nothing: the kernel unmaps. The base class would complain of words that rings and books still hold."""
