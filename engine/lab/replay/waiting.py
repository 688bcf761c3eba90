"""The payments that wait: the dispatcher's own backlog, over a ring that holds a whole load from the beginning."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import cast

from engine.dispatch.backlog import Backlog
from engine.memory import layout
from engine.memory.words import WORD_BYTES, Words
from engine.ring.ring import RingReader

NEVER_US = 1 << 62
SEED = 1  # of the ring's hashes; nothing is looked up


class Waiting:
    """Payment k, the k-th that is accepted, is position k of the only ring. Its times are in µs instead of ms.

    Parameters:
      accepted_us: when each is accepted, in order.
    """

    def __init__(self, accepted_us: Sequence[int]) -> None:
        slots = 1 << len(accepted_us).bit_length()
        words = array("Q", bytes(layout.ring_words(slots) * WORD_BYTES))
        layout.lay_out_ring(cast(Words, words), slots, SEED, SEED)
        self._ring = RingReader(cast(Words, words))
        begin, step = self._ring.offset(0) + layout.SLOT_ORIGIN, layout.SLOT_WORDS
        words[begin : begin + step * len(accepted_us) : step] = array("Q", accepted_us)
        self._accepted_us = [*accepted_us, NEVER_US]
        self._backlog = Backlog([self._ring])
        self.head = 0  # so many were accepted by now

    def accept(self, now_us: int) -> None:
        """Takes in what has been accepted until now."""
        head, accepted_us = self.head, self._accepted_us
        while accepted_us[head] <= now_us:
            head += 1
        if head != self.head:
            self.head = self._ring.words[layout.RING_READY_AT] = head

    @property
    def next_us(self) -> int:
        """When the next one is accepted."""
        return self._accepted_us[self.head]

    @property
    def count(self) -> int:
        """How many wait: they may be sent anywhere and are not in flight."""
        return self._backlog.waiting

    def accepted_us(self, payment: int) -> int:
        """When a payment is accepted."""
        return self._accepted_us[payment]

    def oldest_us(self) -> int:
        """When the one that :meth:`take` takes was accepted; one waits."""
        return self._backlog.oldest_ms()

    def newest_us(self) -> int:
        """The same of the one that a probe takes."""
        return self._backlog.newest_ms()

    def take(self, is_probe: bool) -> int:
        """Takes the payment to send next; one waits."""
        return (self._backlog.take_newest() if is_probe else self._backlog.take())[1]

    def put_back(self, payment: int) -> None:
        """It was sent, and is certainly not charged."""
        self._backlog.put_back(0, payment)
