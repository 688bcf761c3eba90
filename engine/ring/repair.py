"""Making a ring whole again after the machine went down while it was in use. Pure, over words.

What is on disk then is the ring as it was at the last sync, and of everything later any mixture (a sector of 512 bytes
is whole, a slot may lie in two). What the books' redo log says of the ring has been done to it before. Then:

- The head on disk is not below any payment with a 202, for the sync that went before the 202 brought the head too;
  ready is stored after that sync and may be lower. So all with a 202 are whole, one after the other, below the head.
- Beyond the head there may be a whole payment of an API process that was killed before it published. It never counts:
  its customer may have sent it again to another process.
- A payment below ready that is not whole had given its slot away, so it was done: its progress says so, for the log of
  the transaction that did it was on disk before, or else the slot's new payment is whole and may have progress of its
  own. If neither is so the file is damaged.
- Progress was synced before anything was sent: what is still QUEUED was not sent.
- Buckets and links are of no use and made anew.

A disk may also refuse a page while the machine goes on. Then the kernel forgets that the page was to be written, and
reads the old one back when it is used again: to the next process the ring is such a mixture too, but of what was stored
since the last sync only. Whoever writes a ring looks for that when it starts: :func:`take_back`, :func:`check_whole`.
"""

from __future__ import annotations

from engine.memory import layout
from engine.memory.errors import SegmentError
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
        if not ring.is_whole(position) and not _is_given_away(ring, position):
            raise SegmentError(f"the payment at position {position} is damaged")
    head = ready
    while head < words[layout.RING_HEAD_AT] and ring.is_whole(head):
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
            _mend_time(ring, position)
    # A purge that was asked for has nobody who waits for it; one that was done shall not be done again.
    words[layout.RING_PURGE_ASKED_AT] = words[layout.RING_PURGE_DONE_AT]
    words[layout.RING_HEAD_AT] = head
    words[layout.RING_READY_AT] = head


def take_back(words: Words) -> int:
    """Takes back what was never promised because it was not released, if it is not whole any more; returns how many.

    For the one writer of a ring whose payments are released when they are on disk (`sync`), before it does anything
    else. Others may read the ring meanwhile. May be cut short and done again.
    """
    ring = RingReader(words)
    head, whole = ring.head, ring.ready
    while whole < head and (_is_given_away(ring, whole) or (ring.is_whole(whole) and _is_found(ring, whole))):
        whole += 1
    words[layout.RING_HEAD_AT] = whole
    # A killed writer leaves one payment beyond the head; more are there if the head is an old one again. Their buckets
    # may be old ones again too, also after they were mended.
    _chain_anew(ring, whole)
    for slot in range(ring.slots):
        if words[ring.offset(slot) + layout.SLOT_SEQUENCE] > whole:
            words[ring.offset(slot) + layout.SLOT_SEQUENCE] = 0
    return head - whole


def check_whole(words: Words) -> None:
    """Refuses a ring that has lost a payment, where none may be taken back: each had its 202 at once (`disk`).

    For its one writer, before it does anything else. Raises SegmentError.
    """
    ring = RingReader(words)
    for position in range(max(0, ring.head - ring.slots), ring.head):
        if not _is_given_away(ring, position) and not ring.is_whole(position):
            raise SegmentError(f"the payment at position {position} is damaged: the disk has lost a page of this file")
    if any(words[ring.offset(slot) + layout.SLOT_SEQUENCE] > ring.head + 1 for slot in range(ring.slots)):
        raise SegmentError("there are payments beyond its head: the disk has lost a page of this file")


def _is_given_away(ring: RingReader, position: int) -> bool:
    return ring.is_done(position) or ring.is_whole(position + ring.slots)


def _is_found(ring: RingReader, position: int) -> bool:
    at = ring.offset(position)
    found = ring.find(ring.words[at + layout.SLOT_ID_HIGH], ring.words[at + layout.SLOT_ID_LOW])
    return found is not None and found.position == position


def _chain_anew(ring: RingReader, head: int) -> None:
    """Makes those hash chains anew that begin at or beyond ``head``. Their payments are found when it returns."""
    newest: dict[int, int] = {
        bucket: 0
        for bucket in range(layout.RING_HEADER_WORDS, layout.RING_HEADER_WORDS + ring.slots)
        if ring.words[bucket] > head
    }
    if not newest:
        return
    for position in range(max(0, head - ring.slots), head):
        at = ring.offset(position)
        bucket = ring.bucket(ring.words[at + layout.SLOT_ID_HIGH], ring.words[at + layout.SLOT_ID_LOW])
        if bucket in newest and ring.words[at + layout.SLOT_SEQUENCE] == position + 1:
            ring.words[at + layout.SLOT_LINK], newest[bucket] = newest[bucket], position + 1
    for bucket, link in newest.items():
        ring.words[bucket] = link


def _mend_time(ring: RingReader, position: int) -> None:
    """An attempt that was marked and not sent may have an older payment's time; another time harms none that was sent,
    for then the processor is asked which it has."""
    words, at = ring.words, ring.offset(position)
    state = layout.unpack_progress(position, words[at + layout.SLOT_PROGRESS])[0]
    if state == layout.PROCESSING and words[at + layout.SLOT_REQUESTED_MS] < words[at + layout.SLOT_ACCEPTED_MS]:
        words[at + layout.SLOT_REQUESTED_MS] = words[at + layout.SLOT_ACCEPTED_MS]
