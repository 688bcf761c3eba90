"""Repairs a ring after the machine went down while it was in use. Pure, over words.

The disk then has the ring of the last sync, and any mixture of what was stored later (a sector of 512 bytes is whole; a
slot may lie in two sectors). The books' redo log was applied to the ring before. Then:

- The head on disk is above every payment with a 202, because the sync before the 202 wrote the head too. The word
  *ready* is stored after that sync and may be lower. So all payments with a 202 are whole, one after the other, below
  the head.
- Beyond the head there may be a whole payment of an API process that was killed before it published. It never counts:
  its customer may have sent it again to another process.
- A payment below ready that is not whole had given its slot away, so it was done. Either its progress says so, because
  the log of the transaction was on disk before. Or the slot's new payment is whole, and may have its own progress. If
  neither is true, the file is damaged.
- Progress was synced before anything was sent: a payment that is still QUEUED was not sent.
- Buckets and links cannot be used, and are made anew.

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
    """Keeps whole payments, takes the others back, and makes the hash chains anew. It may be cut short and done again.

    Raises SegmentError if a payment that was synced is missing: the file is damaged.
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
    # No client waits any more for a purge that was asked for, and a purge that was done must not be done again.
    words[layout.RING_PURGE_ASKED_AT] = words[layout.RING_PURGE_DONE_AT]
    words[layout.RING_LEDGER_PURGE_AT] = 0  # the numbers of purges may come again
    words[layout.RING_HEAD_AT] = head
    words[layout.RING_READY_AT] = head


def take_back(words: Words) -> int:
    """Takes back what was never promised because it was not released, if it is not whole any more; returns how many.

    For the one writer of a ring whose payments are released when they are on disk (`sync`), before it does anything
    else. Others may read the ring meanwhile. May be cut short and done again.
    """
    ring = RingReader(words)
    head, whole = ring.head, ring.ready
    while whole < head and (_is_given_away(ring, whole) or (ring.is_whole(whole) and _was_found(ring, whole))):
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


def _was_found(ring: RingReader, position: int) -> bool:
    """Whether nobody can have been told that this payment is not in the ring. If its bucket is older than it, somebody
    may have accepted it again elsewhere. If its bucket is newer, its chain leads to it, or to what the disk has lost:
    then searching it raised LostError. It may have had its 202, though *ready* is old on disk.
    """
    at = ring.offset(position)
    bucket = ring.bucket(ring.words[at + layout.SLOT_ID_HIGH], ring.words[at + layout.SLOT_ID_LOW])
    return ring.words[bucket] > position


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
    """Gives an attempt that was marked but not sent a time of its own, if it has an older payment's time.

    The older payment was sent before it was done, and its SLOT_SETTLED says when that was. An attempt of this payment
    has no earlier time than that, but it may be some milliseconds earlier than the acceptance: a pass may send what was
    accepted after its own moment. Such a time stays, for it may be the one that the processor has.
    """
    words, at = ring.words, ring.offset(position)
    if layout.unpack_progress(position, words[at + layout.SLOT_PROGRESS])[0] != layout.PROCESSING:
        return
    requested_ms, accepted_ms = words[at + layout.SLOT_REQUESTED_MS], words[at + layout.SLOT_ACCEPTED_MS]
    older_done_ms = words[at + layout.SLOT_SETTLED] & layout.SETTLED_MS_MASK
    if requested_ms < accepted_ms and (not requested_ms or requested_ms < older_done_ms):
        words[at + layout.SLOT_REQUESTED_MS] = accepted_ms
