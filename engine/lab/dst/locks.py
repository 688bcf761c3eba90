"""The record locks between API processes in virtual time, and how long one waits for them."""

from __future__ import annotations

from engine.intake.acceptor import STRIPE_TRY_SECONDS, STRIPE_WAIT_SECONDS, FileLock
from engine.lab.dst.model import ViolationError
from engine.lab.dst.scheduler import Scheduler
from engine.memory.hashing import mix
from engine.ring import ids

STANDING_SECONDS_MAX = STRIPE_WAIT_SECONDS + 2 * STRIPE_TRY_SECONDS


class VirtualLocks:
    """Stands in the place of :mod:`engine.storage.locks`, for the kernel. Who finds a lock held finds its holder
    stopped (SIGSTOP): other processes run only while one stands still.
    """

    def __init__(self, seeds: tuple[int, int]) -> None:
        self._seeds = seeds
        self._files: list[int] = []  # of each opening
        self._holders: dict[tuple[int, int], int] = {}  # (file, byte) -> the opening that has it

    def open(self, file: int) -> OpenedLock:
        """Opens file number ``file``."""
        self._files.append(file)
        return OpenedLock(len(self._files) - 1)

    def is_held(self, id_high: int, id_low: int) -> bool:
        """Whether some process, stopped in the middle of it, is accepting what shares a lock with this payment."""
        stripe = ids.stripe(mix(id_high, id_low, *self._seeds))
        return any(byte == stripe for _, byte in self._holders)

    def take(self, descriptor: int, byte: int, count: int = 1, *, wait: bool = True) -> bool:
        """See :func:`engine.storage.locks.take`."""
        assert count == 1 and not wait, "this would stand still with the holder"
        return self._holders.setdefault((self._files[descriptor], byte), descriptor) == descriptor

    def free(self, descriptor: int, byte: int, count: int = 1) -> None:
        """See :func:`engine.storage.locks.free`. A process that dies lets go of them too."""
        del self._holders[self._files[descriptor], byte]


class OpenedLock(FileLock):
    """The real lock, over a file that :class:`VirtualLocks` has opened."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._stuck_until = 0.0

    def close(self) -> None:
        """See the base class."""


class VirtualTime:
    """Stands in the place of the module ``time`` for who waits for a lock. Nothing else happens while one sleeps."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._slept = self._begun = 0.0

    def begin(self) -> None:
        """A process begins to accept a payment."""
        self._begun = self._slept

    def monotonic(self) -> float:
        """Seconds."""
        return self._scheduler.mono_ms / 1000 + self._slept

    def sleep(self, seconds: float) -> None:
        """Raises ViolationError when a process stands still with another one."""
        self._slept += seconds
        if self._slept - self._begun > STANDING_SECONDS_MAX:
            raise ViolationError("an API process stands still with one that is stopped")
