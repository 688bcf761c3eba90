"""Ensures that the id memory has every id before the id leaves the ring, whatever happened in between.

An id in the ring is found there, so only ids whose slot is used again must be in the memory. Accepting a payment adds
its id before the payment is published. One case is left: the memory is new, or was not used for a while, or a loss of
power has lost a part that was not on disk. Then it has another number than the ring says (RING_IDS_AT), and the writer
of the ring adds all ids of the ring before it accepts anything.

With ENGINE_DURABILITY=sync, ids are on disk before their slots are used again. The memory is synced each quarter of a
lap, in a thread, because it may have many pages to write. A commit waits for that when half a lap is not on disk. Every
process syncs for its own ring. A sync also writes what the other processes have stored, so their syncs find little to
do.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor

from engine.intake.acceptor import Acceptor
from engine.memory import layout
from engine.memory.words import PAGE_WORDS
from engine.ring.ids import IdMemory
from engine.ring.ring import RingWriter
from engine.storage.segment import Segment

BATCH = 128  # ids, or pages, that are handled while other processes may not accept: about a millisecond


class Keeper:
    """Keeps the id memory for one API process.

    Parameters:
      acceptor: has the locks; its id memory is in ``segment``.
      ring: the ring that this process writes.
      executor: runs the syncs, one after the other.
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
        """Adds all ids of the ring, unless that was done already.

        Raises StuckError when a process that is stopped keeps others from accepting.
        """
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
        """Makes the first sync write all of it, even pages that the disk had refused from an earlier process.

        Raises StuckError, as :meth:`start`.
        """
        pages = range(0, len(self._segment.words), PAGE_WORDS)
        for begin in range(0, len(pages), BATCH):
            with self._acceptor.locked_whole():
                self._segment.write_again(pages[begin : begin + BATCH])

    def keep(self, head: int) -> None:
        """Called with each commit, before its payments may be sent. Then all ids but the last half lap's are on disk.

        ``head``: the head of the ring when the commit began.

        Raises OSError: ids that should be on disk may be lost.
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
        """Whether so many ids are not on disk that the commit should wait for them."""
        return head - self._kept_below >= self._ring.slots // 2

    def stop(self) -> None:
        """Brings everything to disk. Raises OSError."""
        self._executor.shutdown()
        if self._sync is not None:
            self._sync.result()
        self._segment.sync()
