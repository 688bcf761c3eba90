"""Group commit: with ENGINE_DURABILITY=sync a 202 waits until its payment is on disk.

The loop itself waits for the disk. A payment that comes meanwhile would have to wait for the next commit anyway, and
all payments that have come by then are committed together.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from engine.intake import problem
from engine.intake.acceptor import Place
from engine.intake.alarm import Alarm
from engine.intake.held import Later
from engine.intake.keeper import Keeper
from engine.intake.problem import Answer
from engine.logs.logger import Logger
from engine.memory import layout
from engine.memory.words import SECTOR_WORDS
from engine.ring.ring import LostError, RingWriter
from engine.storage.segment import Segment

GATHER_MS = 1  # from the first payment to its commit: others may join

log = Logger(__name__)


class Committer:
    """Brings the ring of one API process to disk.

    Parameters:
      ring, segment: the ring and its segment.
      make_alarm: makes the alarm that calls :meth:`commit`.
      committed: called after each commit.
      keeper: brings the id memory to disk, if there is one.
    """

    def __init__(
        self,
        ring: RingWriter,
        segment: Segment,
        make_alarm: Callable[[Callable[[], None]], Alarm],
        committed: Callable[[], None],
        keeper: Keeper | None = None,
    ) -> None:
        self._ring = ring
        self._segment = segment
        self._alarm = make_alarm(self.commit)
        self._committed = committed
        self._keeper = keeper
        self._is_set = False

    def start(self) -> None:
        """Brings to disk what a killed process had accepted, and the pages that the disk had refused from it."""
        slots = self._ring.slots
        buckets = range(layout.RING_HEADER_WORDS, layout.slot_offset(slots, 0), SECTOR_WORDS)
        self._segment.write_again((layout.RING_HEAD_AT, *buckets, *layout.slot_places(slots, layout.SLOT_SEQUENCE)))
        self.commit()

    def gather(self) -> None:
        """Asks for a commit soon. After half a lap of payments it is made at once: the keeper relies on that."""
        if self._keeper is not None and self._ring.head - self._ring.ready >= self._ring.slots // 2:
            self.commit()
        elif not self._is_set:
            self._is_set = True
            self._alarm.set(GATHER_MS)

    def wait(self, place: Place | None) -> Answer | Later:
        """What the customer gets whose payment is at ``place``: 202 when it is on disk. None: it was given away."""

        def done() -> Answer | None:
            try:
                if place is None or place.is_kept():
                    return problem.ACCEPTED
            except LostError:
                return problem.LOST
            self.gather()  # it is in another process's ring, which has not committed it yet
            return None

        return done() or done

    def commit(self) -> None:
        """Brings all payments to disk and lets them be sent.

        If the disk refuses, the process ends and no 202 is sent. A kernel treats a page that it could not write as
        written, so a second try would wrongly succeed. The next process writes everything again.
        """
        self._is_set = False
        head = self._ring.head
        try:
            self._segment.sync()
            if self._keeper is not None:
                self._keeper.keep(head)
        except OSError as error:
            log.critical("disk_failed", reason=str(error))
            os._exit(1)
        self._ring.release(head)
        self._committed()
