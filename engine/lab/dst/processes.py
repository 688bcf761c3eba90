"""API processes over shared memory, and what all processes have: each can be killed at any point."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from engine.books.levels import Shape
from engine.books.reader import BooksReader
from engine.intake.acceptor import Acceptor
from engine.lab.dst.memory import Points
from engine.memory import layout
from engine.memory.doorbell import Bell, Doorbell
from engine.memory.hashing import mix
from engine.memory.words import Words
from engine.ring import ids
from engine.ring.ring import RingReader, RingWriter


class Process:
    """``alive``: it has started; ``busy``: it stands in the middle of a step."""

    name = ""

    def __init__(self) -> None:
        self.alive = False
        self.busy = False

    def boot(self) -> None:
        """Starts anew over whatever shared memory holds."""
        raise NotImplementedError


class VirtualLock:
    """The record locks between API processes: the port of :class:`engine.intake.acceptor.Acceptor` that is no file.

    A process that finds one held would wait: the world asks before.
    """

    descriptor = -1

    def __init__(self, seeds: tuple[int, int]) -> None:
        self._seeds = seeds
        self._held: set[int] = set()

    def is_held(self, id_high: int, id_low: int) -> bool:
        """Whether some process, stopped in the middle of it, is accepting what shares a lock with this payment."""
        return ids.stripe(mix(id_high, id_low, *self._seeds)) in self._held

    @contextlib.contextmanager
    def locked(self, stripe: int, count: int = 1) -> Iterator[None]:
        """Holds locks; a process that dies lets go of them."""
        stripes = set(range(stripe, stripe + count))
        assert not stripes & self._held
        self._held |= stripes
        try:
            yield
        finally:
            self._held -= stripes

    def close(self) -> None:
        """There is nothing to close."""


class ApiProcess(Process):
    """Accepts payments into its own ring, and rings the bell."""

    def __init__(
        self,
        index: int,
        shape: Shape,
        books: Words,
        rings: Sequence[Words],
        lock: VirtualLock,
        points: Points,
        bell: Bell,
    ) -> None:
        super().__init__()
        self.name = f"api {index}"
        self.index = index
        self._shape = shape
        self._books = books
        self._rings = rings
        self._lock = lock
        self._points = points
        self._doorbell = Doorbell(bell, books)

    def boot(self) -> None:
        self._own = own = RingWriter(self._rings[self.index])
        rings = [own if index == self.index else RingReader(words) for index, words in enumerate(self._rings)]
        self.acceptor = Acceptor(rings, own, BooksReader(self._books, self._shape), self._lock)

    def ring_bell(self) -> None:
        """Something was published. The process may die before it says so."""
        self._points.reach()
        self._doorbell.ring_if_asleep()

    def note_summary(self, now_ms: int) -> None:
        """Tells the dispatcher that a summary was asked for."""
        self._own.note_summary(now_ms)

    def ask_purge(self) -> None:
        """Asks the dispatcher to forget everything."""
        self._rings[self.index][layout.RING_PURGE_ASKED_AT] += 1
        self.ring_bell()
