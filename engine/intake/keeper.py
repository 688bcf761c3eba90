"""Sees to it that the id memory has every id before it leaves the ring, whatever happened in between.

What is in the ring is found there, so only ids whose slot is used again must be remembered. Accepting remembers each id
before its payment is published. What is left is a memory that is new, or was not used for a while, or has lost with the
power what was not on disk: it has another number than the ring says (RING_IDS_AT), and then whoever writes the ring
remembers all its ids, before it accepts anything.

With ENGINE_DURABILITY=sync ids are on disk before their slots are used again: the memory is synced each quarter of a
lap, in a thread, for it may have many pages to write; and a commit waits for that when half a lap is not on disk. Every
process syncs for its own ring. A sync brings all that the others have written too, so theirs find little to do.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor

from engine.intake.acceptor import Acceptor
from engine.memory import layout
from engine.ring.ids import IdMemory
from engine.ring.ring import RingWriter
from engine.storage.segment import Segment

BATCH = 128  # ids, or pages, for which the others are kept from accepting: about a millisecond
PAGE_WORDS = 512


class Keeper:
    """The id memory as one API process keeps it.

    Parameters:
      acceptor: whose locks are taken; its memory is the one in ``segment``.
      ring: the ring that this process writes.
      executor: where syncing goes on, one after the other.
    """

    def __init__(
        self, acceptor: Acceptor, ring: RingWriter, segment: Segment, executor: Executor | None = None
    ) -> None:
        self._acceptor = acceptor
        self._memory = IdMemory(segment.words)
        self._ring = ring
        self._segment = segment
        self._executor = executor or ThreadPoolExecutor(1)
        self._kept_below = 0  # ids of positions below it are on disk
        self._asked_below = 0  # ... and of these when the sync that runs is done
        self._sync: Future[None] | None = None

    def start(self) -> None:
        """Remembers what the ring has, unless that was done."""
        ring, words, number = self._ring, self._ring.words, self._memory.number
        if words[layout.RING_IDS_AT] == number:
            return
        oldest = max(0, ring.head - ring.slots)
        for begin in range(oldest, ring.head, BATCH):
            with self._acceptor.locked_whole():
                for position in range(begin, min(begin + BATCH, ring.head)):
                    at = ring.offset(position)
                    self._memory.remember_once(words[at + layout.SLOT_ID_HIGH], words[at + layout.SLOT_ID_LOW])
        words[layout.RING_IDS_AT] = number

    def write_again(self) -> None:
        """Makes the first sync write all of it, also what the disk had refused a process before."""
        pages = range(0, len(self._segment.words), PAGE_WORDS)
        for begin in range(0, len(pages), BATCH):
            with self._acceptor.locked_whole():
                self._segment.write_again(pages[begin : begin + BATCH])

    def keep(self, head: int) -> None:
        """Called with each commit, before any of it may be sent: all ids are on disk then but the last half lap's.

        ``head``: of the ring when the commit began.

        Raises OSError: what was to be brought to disk may be lost.
        """
        while True:
            is_overdue = self.is_overdue(head)
            if self._sync is not None and (is_overdue or self._sync.done()):
                self._sync.result()
                self._sync, self._kept_below = None, self._asked_below
            if self._sync is None and head - self._kept_below >= self._ring.slots // 4:
                self._asked_below = head
                self._sync = self._executor.submit(self._segment.sync)
            if not is_overdue:
                return

    def is_overdue(self, head: int) -> bool:
        """Whether so many ids are not on disk that one should wait for it."""
        return head - self._kept_below >= self._ring.slots // 2

    def stop(self) -> None:
        """Brings to disk what there is. Raises OSError."""
        self._executor.shutdown()
        if self._sync is not None:
            self._sync.result()
        self._segment.sync()
