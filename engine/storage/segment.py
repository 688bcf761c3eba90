"""Named pieces of memory that outlive the processes that use them: in shared memory, or in files on a volume.

*Warning*: Python 3.11's resource tracker unlinks a shared-memory segment when any process that attached to it exits,
and ``SharedMemory.__init__`` unlinks it when it cannot be mapped, also when somebody else has made it (seen with
``ulimit -v``). Either would destroy the payments of everybody. So ``SharedMemory`` makes segments here, untracked, and
never attaches to one: that is done by hand, and nothing on that way can remove anything.
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
    """Another process has what only one may have. Holds a sentence."""


class EmptyError(OSError):
    """A segment has no size: whoever made it was killed on the way, before anybody could use it."""


class Segment:
    """Memory as 8-byte words.

    ``words[i]`` is one aligned 8-byte load or store, seen by other processes whole and, on x86-64, in the order of the
    stores (``struct.pack_into`` would write byte by byte).

    Parameters:
      path: the file behind it.
      memory: its bytes; what is beyond the last whole word is left out.
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
        """Where others find it."""
        return self._path

    @property
    def lock_path(self) -> str:
        """The very file that is attached to, by whatever name, to be opened once more for locks of its bytes."""
        return f"/proc/self/fd/{self._descriptor}"

    def lock(self, *, shared: bool = False) -> bool:
        """Takes this segment for the calling process until it ends or closes it; False when another one has it.

        ``shared``: only from those who do not share it.
        """
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Gives back what :meth:`lock` has taken."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_current(self) -> bool:
        """Whether whoever attaches by this name now gets this segment: it was not removed, nor another made since."""
        return locks.is_named(self._path, self._descriptor)

    def sync(self) -> None:
        """Returns when everything stored so far is on disk. Raises OSError; nothing is known to be there then."""
        if self._is_on_disk:
            os.fdatasync(self._descriptor)

    def write_again(self, places: Iterable[int]) -> None:
        """Stores the words at ``places`` once more, so that the next sync writes the pages in which they are.

        Of a page that the disk refused once, a kernel forgets that it was to be written: a process that starts after
        that must not take its own first sync for success. The caller is the one writer of these words.
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
        """Detaches. Whoever still holds a slice of ``words`` makes this a BufferError."""
        self._words.release()
        self._bytes.release()
        self._memory.close()
        if not isinstance(self._memory, SharedMemory):  # which has closed it
            os.close(self._descriptor)


class Store(ABC):
    """Where segments are kept, by name."""

    @abstractmethod
    def open(self, name: str) -> Segment:
        """Attaches to a segment, and whatever happens removes nothing.

        Raises FileNotFoundError, EmptyError, OSError.
        """

    @abstractmethod
    def create(self, name: str, length: int) -> Segment:
        """Makes a segment of ``length`` words, all 0 and all of them there: it never needs room later.

        Raises FileExistsError and leaves what is there; raises OSError, and leaves nothing, when there is no room.
        """

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Gives a segment another name, in the place of what has that name, at one stroke and lastingly."""

    @abstractmethod
    def names(self) -> list[str]:
        """All there are, whoever made them."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a segment if it is there. Whoever is attached keeps what it has."""

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
    """``multiprocessing.shared_memory``: lives until the machine, or the volume mounted there, ends."""

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
    """A new segment that is not tracked, and not torn down with words still in use when the process exits."""

    def __init__(self, name: str, size: int) -> None:
        # Python 3.13 has track=False for it; before, not registering is the only way that starts no tracker process.
        # A failure unlinks, and would tell the tracker of that.
        register, unregister = resource_tracker.register, resource_tracker.unregister
        resource_tracker.register = resource_tracker.unregister = lambda *_: None
        try:
            super().__init__(name, create=True, size=size)
        finally:
            resource_tracker.register, resource_tracker.unregister = register, unregister

    def __del__(self) -> None:
        """The kernel unmaps; the base class would complain of the words that rings and books still hold."""
