"""The doorbell: wakes the dispatcher when it sleeps. A named pipe, so that it works between containers too.

The pipe carries no payments and a lost ring loses none: the dispatcher also looks by itself, a little later.
"""

from __future__ import annotations

import contextlib
import os
import threading

from engine.memory.layout import STATUS_ASLEEP
from engine.memory.words import Words


class Doorbell:
    """One end of the pipe at ``path``; both ends are opened for reading and writing: neither waits for the other.

    Parameters:
      path: the named pipe, made if it is not there.
      books: the books' words; the dispatcher says there whether it sleeps.
    """

    def __init__(self, path: str, books: Words) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._books = books
        self._fence = threading.Lock()

    def ring_if_asleep(self) -> None:
        """Called after something was published. Costs a load when the dispatcher is awake."""
        # The load must not overtake the store that published: taking a lock is a full memory barrier.
        with self._fence:
            asleep = self._books[STATUS_ASLEEP]
        if asleep:
            with contextlib.suppress(BlockingIOError):  # a full pipe has rung often enough
                os.write(self.descriptor, b"!")

    def fall_asleep(self) -> None:
        """Says that the caller, the dispatcher, is about to wait; it must look once more before it does."""
        with self._fence:
            self._books[STATUS_ASLEEP] = 1
        with self._fence:  # the store above must be out before the last look
            pass

    def wake_up(self) -> None:
        """Says that the dispatcher is awake and takes away the rings that woke it."""
        self._books[STATUS_ASLEEP] = 0
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Closes this end."""
        os.close(self.descriptor)
