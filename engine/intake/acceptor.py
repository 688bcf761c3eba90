"""The acceptor: accepts payments, and finds them again. No HTTP in here.

A correlationId is accepted once over all rings, although each ring has one writer. The two steps "find it in any ring,
then put it in my ring" happen under a lock that all API processes share. It is one of :data:`STRIPES`, chosen by the
id's mix: a byte of the books' own file (:mod:`engine.storage.locks`). So processes that share the memory share the
locks, wherever their run directories are, and one cannot be removed without the other. The id memory is read and
written under the same lock.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from engine.books.reader import BooksReader
from engine.memory import layout
from engine.memory.hashing import mix
from engine.memory.layout import STRIPES
from engine.payment import Payment
from engine.ring import ids
from engine.ring.ids import IdMemory
from engine.ring.ring import LostError, RingReader, RingWriter
from engine.storage import locks

# A stripe is held for tens of microseconds, or as long as its holder waits for its share of a core. Who has it for
# longer is stopped, and then the others must not stand still too.
STRIPE_WAIT_SECONDS = 0.2
STRIPE_TRY_SECONDS = 0.0005  # between two tries
STUCK_SECONDS = 1.0  # for so long after a wait in vain ...
STUCK_WAIT_SECONDS = 0.005  # ... one waits no longer than this


class StripeBusyError(Exception):
    """Another process has had the lock of an id's stripe for too long: it is stopped, perhaps."""


class Verdict(enum.Enum):
    """The result for a payment that was handed in."""

    ACCEPTED = enum.auto()  # in the ring: it survives the death of every process
    SAME = enum.auto()  # it was accepted before, for the same amount
    CONFLICT = enum.auto()  # its correlationId was accepted before, for another amount
    FAILED = enum.auto()  # it was accepted before, and has failed: a correlationId is used only once
    FULL = enum.auto()  # the ring has no room until its oldest payment is settled
    UNRECORDED = enum.auto()  # ... or, where that is asked for, until SQL has its oldest payment


class Usage(NamedTuple):
    """How full a ring is."""

    accepted: int  # since the last purge
    refused: int  # because the ring was full, ever
    full: bool  # whether the next payment would be refused
    unrecorded: bool = False  # ... only because SQL does not have the ring's oldest payment yet


class Place(NamedTuple):
    """Where an accepted payment is, for those who wait until it is kept."""

    ring: RingReader
    position: int
    id_high: int
    id_low: int

    def is_kept(self) -> bool:
        """Whether it is kept already as ENGINE_DURABILITY promises.

        Raises LostError if the disk has refused it, and its process has taken it back.
        """
        payment = self.ring.read(self.position)
        is_here = payment is not None and (payment.id_high, payment.id_low) == (self.id_high, self.id_low)
        is_released = self.position < self.ring.ready
        # A released one that is not here is done, and its slot is given away; unless its very position is another's.
        if not is_here and (not is_released or payment is not None):
            raise LostError
        return is_released


class StripeLock(Protocol):
    """The locks that all API processes share, one for each stripe. ``descriptor``: the file whose bytes are locked."""

    descriptor: int

    def locked(self, stripe: int, count: int = 1) -> AbstractContextManager[None]:
        """Keeps other processes from accepting what belongs to ``count`` stripes from ``stripe`` on.

        Raises StripeBusyError when one stripe cannot be had within STRIPE_WAIT_SECONDS, StuckError for several.
        """

    def close(self) -> None:
        """Closes the file."""


class FileLock:
    """One byte of the file ``path`` for each stripe. The file is the books' own (:attr:`Segment.lock_path`)."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._stuck_until = 0.0  # time.monotonic()

    @contextmanager
    def locked(self, stripe: int, count: int = 1) -> Iterator[None]:
        """See :class:`StripeLock`."""
        if count > 1:
            locks.take(self.descriptor, stripe, count)
        else:
            self._take(stripe)
        try:
            yield
        finally:
            locks.free(self.descriptor, stripe, count)

    def _take(self, stripe: int) -> None:
        if locks.take(self.descriptor, stripe, wait=False):
            return
        now = time.monotonic()
        deadline = now + (STUCK_WAIT_SECONDS if now < self._stuck_until else STRIPE_WAIT_SECONDS)
        while now < deadline:
            time.sleep(STRIPE_TRY_SECONDS)
            if locks.take(self.descriptor, stripe, wait=False):
                return
            now = time.monotonic()
        self._stuck_until = now + STUCK_SECONDS
        raise StripeBusyError(f"stripe {stripe}")

    def close(self) -> None:
        """See :class:`StripeLock`."""
        os.close(self.descriptor)


class Acceptor:
    """Accepts payments into one ring, and finds them in all rings and in the books.

    Parameters:
      rings: all rings in the order of their index.
      own: the index of the ring that this process writes.
      books: has the payments that were parked.
      lock: excludes the other API processes.
      memory: remembers ids for longer than the rings do; None: there is none.
    """

    def __init__(
        self,
        rings: Sequence[RingReader],
        own: RingWriter,
        books: BooksReader,
        lock: StripeLock,
        memory: IdMemory | None = None,
    ) -> None:
        assert any(ring is own for ring in rings)
        self._rings = rings
        self._books = books
        self._own = own
        self._alone = len(rings) == 1
        self.memory = memory
        # The seeds are the same for all processes, even if there is no id memory.
        self._seeds = rings[0].words[layout.RING_SEED_HIGH_AT], rings[0].words[layout.RING_SEED_LOW_AT]
        assert memory is None or memory.seeds == self._seeds
        self._lock = lock

    def accept(self, id_high: int, id_low: int, cents: int, now_ms: int, clock_ms: int) -> Verdict:
        """Accepts a payment, at most once for each correlationId.

        Parameters:
          now_ms, clock_ms: the time of its acceptance, by the wall clock and by the engine's.

        Raises BooksBusyError, LostError and StripeBusyError.
        """
        if self._alone:
            return self._accept(id_high, id_low, cents, now_ms, clock_ms)
        with self._lock.locked(ids.stripe(mix(id_high, id_low, *self._seeds))):
            return self._accept(id_high, id_low, cents, now_ms, clock_ms)

    def locked_whole(self) -> AbstractContextManager[None]:
        """Keeps other processes from accepting anything, and from writing the id memory."""
        return self._lock.locked(0, STRIPES)

    def _accept(self, id_high: int, id_low: int, cents: int, now_ms: int, clock_ms: int) -> Verdict:
        known = self.find(id_high, id_low)
        if known is not None:
            if known.cents != cents:
                return Verdict.CONFLICT
            return Verdict.FAILED if known.state == layout.FAILED else Verdict.SAME
        if not self._own.has_room():
            # Before the id is remembered: a payment that is refused comes again.
            return Verdict.UNRECORDED if self._own.is_full_of_unrecorded else Verdict.FULL
        origin = clock_ms
        if self.memory is not None and self.memory.remember(id_high, id_low):
            origin |= layout.ORIGIN_SEEN
        self._own.fill(id_high, id_low, cents, now_ms, origin)
        return Verdict.ACCEPTED

    def find(self, id_high: int, id_low: int) -> Payment | None:
        """The payment with this correlationId, wherever it is, or None. Raises BooksBusyError and LostError."""
        for ring in self._rings:
            payment = ring.find(id_high, id_low)
            if payment is not None:
                return payment if payment.state != layout.PARKED else self._parked(payment)
        # The books come last: a payment is in the books before its slot is given away.
        return self._books.parked(id_high, id_low)

    def _parked(self, payment: Payment) -> Payment:
        """A payment that was parked, as the books have it; they forget a payment only when it is done."""
        known = self._books.parked(payment.id_high, payment.id_low)
        return known or payment._replace(state=layout.COMPLETED, settled_ms=0)

    def place(self, id_high: int, id_low: int) -> Place | None:
        """Where a payment is that was accepted; None: its slot has been given away, so it was done or parked.

        Raises LostError.
        """
        for ring in self._rings:
            payment = ring.find(id_high, id_low)
            if payment is not None:
                return Place(ring, payment.position, id_high, id_low)
        return None

    @property
    def lock_descriptor(self) -> int:
        """The file of the locks: a byte for each stripe."""
        return self._lock.descriptor

    def usage(self) -> list[Usage]:
        """How full each ring is."""
        return [_usage(ring) for ring in self._rings]

    def own_usage(self) -> Usage:
        """How full the ring is that this process writes."""
        return _usage(self._own)

    def close(self) -> None:
        """Closes the file of the locks."""
        self._lock.close()


def _usage(ring: RingReader) -> Usage:
    refused = ring.words[layout.RING_REFUSED_AT]
    return Usage(ring.head - ring.forgotten_below, refused, ring.is_full, ring.is_full_of_unrecorded)
