"""The doorbell: wakes the dispatcher when it sleeps. A named pipe, so that it works between containers too.

The pipe carries no payments, and a lost ring loses none: the dispatcher also wakes by itself, a little later.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Protocol

from engine.memory.status import StatusBlock
from engine.memory.words import Words


class Bell(Protocol):
    """What the doorbell rings; ``descriptor`` is ready for reading while it rings."""

    descriptor: int

    def ring(self) -> None:
        """Wakes the process that waits for it, or that will wait next."""

    def hush(self) -> None:
        """Discards all rings so far."""

    def close(self) -> None:
        """Closes it: it is not used any more."""


class Pipe:
    """One end of the named pipe at ``path``, which is made if it is missing. Both ends are opened for reading and
    writing, so neither waits for the other.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor = self._open()

    def _open(self) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._path, 0o600)
        return os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def renew(self) -> bool:
        """Goes to the pipe that is at the path by now, under the same descriptor; whether it is another one.

        For when somebody has removed it: who starts later makes a new one. An epoll has to be told of it. Where the
        directory is gone too, it stays with the old one until the next time.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self.descriptor)):
                    return False
            other = self._open()
        except OSError:
            return False
        os.dup2(other, self.descriptor, inheritable=False)
        os.close(other)
        return True

    def ring(self) -> None:
        """See :class:`Bell`."""
        with contextlib.suppress(BlockingIOError):  # a full pipe has rung often enough
            os.write(self.descriptor, b"!")

    def hush(self) -> None:
        """See :class:`Bell`."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Closes this end."""
        os.close(self.descriptor)


class Doorbell:
    """A bell that is rung only while the dispatcher sleeps.

    Parameters:
      bell: what is rung.
      books: the books' words; the dispatcher says there whether it sleeps.
    """

    def __init__(self, bell: Bell, books: Words) -> None:
        self._bell = bell
        self._status = StatusBlock(books)
        self._fence = threading.Lock()

    @property
    def descriptor(self) -> int:
        """The descriptor of the bell."""
        return self._bell.descriptor

    def ring_if_asleep(self) -> None:
        """Called after something was published. It costs one load if the dispatcher is awake."""
        # The load must not overtake the store that published: taking a lock is a full memory barrier.
        with self._fence:
            asleep = self._status.asleep
        if asleep:
            self._bell.ring()

    def fall_asleep(self) -> None:
        """Says that the caller, the dispatcher, is about to wait. It must check once more before it does."""
        with self._fence:
            self._status.asleep = 1
        with self._fence:  # the store above must be visible before the last check
            pass

    def wake_up(self) -> None:
        """Says that the dispatcher is awake, and discards the rings that woke it."""
        self._status.asleep = 0
        self._bell.hush()

    def hush(self) -> None:
        """Takes away the rings so far."""
        self._bell.hush()

    def close(self) -> None:
        """Closes the bell."""
        self._bell.close()
