"""API processes over shared memory, and what all processes have: each can be killed at any point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

from engine.books.levels import Shape
from engine.books.reader import BooksReader
from engine.dispatch.attempt import Now
from engine.intake.acceptor import Acceptor, Place, Verdict
from engine.intake.alarm import Alarm
from engine.intake.committer import Committer
from engine.lab.dst.account import Account
from engine.lab.dst.beside import FastPathBeside
from engine.lab.dst.locks import VirtualLocks, VirtualTime
from engine.lab.dst.memory import Points
from engine.lab.dst.syncing import VirtualAlarm, VirtualSegment
from engine.memory import layout
from engine.memory.doorbell import Bell, Doorbell
from engine.memory.words import Words
from engine.ring.ids import IdMemory
from engine.ring.ring import RingReader, RingWriter


class Waiting(NamedTuple):
    """A customer whose 202 must wait for the disk, until ``until_ms``; ``place`` is None when it need not."""

    account: Account
    place: Place | None
    until_ms: int


class Process:
    """``alive``: it has started; ``busy``: it stands in the middle of a step."""

    name = ""

    def __init__(self) -> None:
        self.alive = False
        self.busy = False

    def boot(self) -> None:
        """Starts anew over whatever shared memory holds."""
        raise NotImplementedError


def lock_file(index: int, starts: int) -> int:
    """The number of the file whose bytes an API process locks: the books' own, whichever process starts, and when."""
    return 0


class ApiProcess(Process):
    """Accepts payments into its own ring, and rings the bell.

    Parameters:
      segments: of the books and all rings, where payments have their 202 only when they are on disk; none: at once.
      ids: the words of the id memory, if there is one.
      waits_for_ledger: a slot is used again when SQL has what became of its payment.
      is_compared: whether the fast path goes through everything that it accepts once more.
      commit_in: asks the world for a commit in so many ms, see :class:`VirtualAlarm`.
    """

    def __init__(
        self,
        index: int,
        shape: Shape,
        books: Words,
        rings: Sequence[Words],
        locks: VirtualLocks,
        time: VirtualTime,
        points: Points,
        bell: Bell,
        *,
        segments: Sequence[VirtualSegment],
        ids: Words | None,
        is_compared: bool,
        waits_for_ledger: bool,
        commit_in: Callable[[ApiProcess, Callable[[], None], int], None],
        committed: Callable[[ApiProcess], None],
    ) -> None:
        super().__init__()
        self.name = f"api {index}"
        self.index = index
        self._shape = shape
        self._books = books
        self._rings = rings
        self._locks = locks
        self._time = time
        self._points = points
        self._doorbell = Doorbell(bell, books)
        self._segments = segments
        self._ids = ids
        self._is_compared = is_compared
        self.waits_for_ledger = waits_for_ledger
        self._commit_in = commit_in
        self._committed = committed
        self._starts = 0
        self._beside: FastPathBeside | None = None
        self.committer: Committer | None = None
        self.waiting: list[Waiting] = []

    def boot(self) -> None:
        self._starts += 1
        self.waiting.clear()
        words, is_synced = self._rings[self.index], bool(self._segments)
        self._own = own = RingWriter(words, is_synced, self.waits_for_ledger)
        rings = [own if index == self.index else RingReader(words) for index, words in enumerate(self._rings)]
        memory = IdMemory(self._ids) if self._ids is not None else None
        lock = self._locks.open(lock_file(self.index, self._starts))
        self.acceptor = Acceptor(rings, own, BooksReader(self._books, self._shape), lock, memory)
        if self._is_compared:
            self.close()
            self._beside = FastPathBeside(rings, own, self._books, self._shape, memory, self._doorbell)
        if self._segments:
            commit_in, committed = partial(self._commit_in, self), partial(self._committed, self)
            self.committer = Committer(
                own,
                self._segments[self.index + 1],
                lambda commit: cast(Alarm, VirtualAlarm(commit, commit_in)),
                committed,
            )
            self.committer.start()

    def accept(self, id_high: int, id_low: int, cents: int, now: Now) -> tuple[Verdict, bool]:
        """What the acceptor says, and whether the fast path would have taken the payment too.

        Raises StripeBusyError and ViolationError.
        """
        self._time.begin()
        interrupts = self._points.interrupts
        before = self._beside.image(id_high, id_low) if self._beside is not None else ()
        verdict = self.acceptor.accept(id_high, id_low, cents, now.wall_ms, now.mono_ms)
        if self._beside is None or self._points.interrupts != interrupts:  # others have stored meanwhile
            return verdict, False
        ms = (now.wall_ms, now.mono_ms)
        return verdict, self._beside.compare(before, verdict, id_high, id_low, cents, ms)

    def close(self) -> None:
        """The world is over."""
        if self._beside is not None:
            self._beside.close()
            self._beside = None

    def is_on_disk(self, ring: int, place: Place) -> bool:
        """Whether a payment of any ring is on disk, or over."""
        return self._segments[ring + 1].has(place.position) or place.ring.read(place.position) is None

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
