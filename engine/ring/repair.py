"""Making a ring whole again after the machine went down while it was in use. Pure, over words.

What is on disk then is the ring as it was at the last sync, and of everything later any mixture. A payment with a 202
was synced; what came after the last sync had no answer yet and was not sent.
"""

from __future__ import annotations

from engine.memory import layout
from engine.memory.segment import SegmentError
from engine.memory.words import Words
from engine.ring.ring import RingReader


def repair(words: Words) -> None:
    """Keeps what is whole, takes the rest back, and makes the hash chains anew. May be cut short and done again.

    Raises SegmentError when a payment is missing that was synced: the file is damaged.
    """
    ring = RingReader(words)
    ready = ring.ready
    oldest = max(0, ready - ring.slots)
    for position in range(oldest, ready):
        # A slot that was being written anew when the power went is lost only if its payment was done.
        if not ring.is_whole(position) and not ring.is_done(position):
            raise SegmentError(f"the payment at position {position} is damaged")
    head = ready
    while head - ready < ring.slots and ring.is_whole(head):
        head += 1
    for slot in range(ring.slots):
        at = ring.offset(slot) + layout.SLOT_SEQUENCE
        sequence = words[at]
        if sequence and not (oldest < sequence <= head and ring.is_whole(sequence - 1)):
            words[at] = 0
    for bucket in range(layout.RING_HEADER_WORDS, layout.RING_HEADER_WORDS + ring.slots):
        words[bucket] = 0
    for position in range(max(0, head - ring.slots), head):
        if ring.is_whole(position):
            ring.chain(position)
    words[layout.RING_HEAD_AT] = head
    words[layout.RING_READY_AT] = head
