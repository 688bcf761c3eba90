"""The ring: queue, journal and status of one API process's payments, in shared memory.

One process puts payments in (:class:`RingWriter`). The dispatcher takes them out and writes their progress
(:class:`RingReader` and the books' transactions). Every process may search for a correlationId. There are no locks:
each word has one writer, and a payment is published by a sequence, which is stored last.

A correlationId is found through hash chains that never need a deletion. A bucket holds the newest position, each slot
holds the next older position of its bucket, and a chain ends at the slots that have been overwritten.
"""

from __future__ import annotations

import secrets

from engine.memory import layout
from engine.memory.errors import other_version
from engine.memory.hashing import mix
from engine.memory.layout import (
    RING_FORGOTTEN_AT,
    RING_HEAD_AT,
    RING_HEADER_WORDS,
    RING_LEDGER_AT,
    RING_READY_AT,
    SLOT_ACCEPTED_MS,
    SLOT_CENTS,
    SLOT_CHECK,
    SLOT_FIRST_MS,
    SLOT_ID_HIGH,
    SLOT_ID_LOW,
    SLOT_LINK,
    SLOT_ORIGIN,
    SLOT_PROGRESS,
    SLOT_REQUESTED_MS,
    SLOT_SEQUENCE,
    SLOT_SETTLED,
    SLOT_WORDS,
)
from engine.memory.words import WORD_MAX, Words
from engine.payment import Payment

# States in which a slot may be used again.
DONE = (layout.COMPLETED, layout.FAILED, layout.PARKED, layout.CHARGED_BEFORE)


class LostError(Exception):
    """The disk has lost a part of a ring, and it cannot be told which payments are in it. Its writer mends that when it
    starts (:func:`engine.ring.repair.take_back`).
    """


def check_ring(words: Words, slots: int) -> str:
    """Why this memory is not a ring of ``slots`` slots; ``""`` if it is, ``"unfinished"`` if its maker died."""
    if words[layout.RING_MAGIC_AT] != layout.RING_MAGIC:
        return "unfinished" if words[layout.RING_MAGIC_AT] == 0 else "it is not a ring"
    if words[layout.RING_LAYOUT_AT] != layout.LAYOUT_VERSION:
        return other_version(words[layout.RING_LAYOUT_AT])
    if words[layout.RING_SLOTS_AT] != slots:
        return f"it has {words[layout.RING_SLOTS_AT]} slots, ENGINE_RING_SLOTS says {slots}"
    return ""


class RingReader:
    """Reading a ring from any process.

    Parameters:
      waits_for_ledger: a slot may be used again only when SQL has what became of its payment.
    """

    def __init__(self, words: Words, waits_for_ledger: bool = False) -> None:
        self.words = words
        self.waits_for_ledger = waits_for_ledger
        self.slots = words[layout.RING_SLOTS_AT]
        self._mask = self.slots - 1
        self._base = RING_HEADER_WORDS + self.slots
        self._seed_high = words[layout.RING_SEED_HIGH_AT]
        self._seed_low = words[layout.RING_SEED_LOW_AT]
        self._shift = 64 - (self.slots.bit_length() - 1)

    @property
    def head(self) -> int:
        """The position that the next payment will have, which is also the number of accepted payments."""
        return self.words[RING_HEAD_AT]

    @property
    def ready(self) -> int:
        """Positions below it may be sent."""
        return self.words[RING_READY_AT]

    @property
    def forgotten_below(self) -> int:
        """Positions below it were purged."""
        return self.words[RING_FORGOTTEN_AT]

    def offset(self, position: int) -> int:
        """The word at which the slot of ``position`` begins."""
        return self._base + (position & self._mask) * SLOT_WORDS

    def find(self, id_high: int, id_low: int) -> Payment | None:
        """The payment with this correlationId, or None if the ring does not remember it.

        It takes at most as many steps as the ring has slots, even if the ring is written meanwhile.
        Raises LostError.
        """
        words, head, forgotten = self.words, self.words[RING_HEAD_AT], self.words[RING_FORGOTTEN_AT]
        ready = words[RING_READY_AT]
        bucket = self.bucket(id_high, id_low)
        link = words[bucket]
        for _ in range(self.slots):
            if link == 0:
                return None
            at = self.offset(link - 1)
            if link > head:
                # This payment is just being published, or a killed writer has left it, and the next writer may take it
                # back at any moment. Its link counts only if the bucket still holds it. Otherwise we begin again.
                next_link = words[at + SLOT_LINK]
                if not self.is_whole(link - 1) or words[bucket] != link:
                    head, link = words[RING_HEAD_AT], words[bucket]
                else:
                    link = next_link
                continue
            if words[at + SLOT_SEQUENCE] != link or (link > ready and not self.is_whole(link - 1)):
                break
            if words[at + SLOT_ID_LOW] == id_low and words[at + SLOT_ID_HIGH] == id_high:
                return self.read(link - 1) if link > forgotten else None
            next_link = words[at + SLOT_LINK]
            if words[at + SLOT_SEQUENCE] != link:
                break
            link = next_link
        # It was overwritten, like all older ones. Only what is released can be. What is not, and is not whole, the disk
        # has lost, and with it the way to older payments: "it is not here" would be wrong.
        if link > words[RING_READY_AT]:
            raise LostError
        return None

    def read(self, position: int) -> Payment | None:
        """The payment at ``position``, or None if its slot has been given to another one."""
        words, at = self.words, self.offset(position)
        progress = layout.unpack_progress(position, words[at + SLOT_PROGRESS])
        requested_ms, settled = words[at + SLOT_REQUESTED_MS], words[at + SLOT_SETTLED]
        # While it is open, the word with the reason is still an older payment's.
        differs = progress[0] == layout.COMPLETED and settled >> layout.REASON_SHIFT == layout.REASON_AMOUNT
        payment = Payment(
            position,
            words[at + SLOT_ID_HIGH],
            words[at + SLOT_ID_LOW],
            words[at + SLOT_CENTS],
            words[at + SLOT_ACCEPTED_MS],
            *progress,
            requested_ms,
            settled & layout.SETTLED_MS_MASK,
            settled >> layout.REASON_SHIFT,
            words[at + SLOT_ORIGIN],
            words[at + SLOT_FIRST_MS] if progress[2] > 1 or differs else requested_ms,
        )
        return payment if words[at + SLOT_SEQUENCE] == position + 1 else None

    def is_whole(self, position: int) -> bool:
        """Whether the slot holds the payment at ``position`` exactly as it was put in."""
        words, at = self.words, self.offset(position)
        check = layout.slot_check(
            position,
            words[at + SLOT_ID_HIGH],
            words[at + SLOT_ID_LOW],
            words[at + SLOT_CENTS],
            words[at + SLOT_ACCEPTED_MS],
            words[at + SLOT_ORIGIN],
        )
        return words[at + SLOT_SEQUENCE] == position + 1 and words[at + SLOT_CHECK] == check

    def chain(self, position: int) -> None:
        """Makes ``position`` the newest of its bucket. No other process may use the ring meanwhile."""
        words, at = self.words, self.offset(position)
        bucket = self.bucket(words[at + SLOT_ID_HIGH], words[at + SLOT_ID_LOW])
        words[at + SLOT_LINK] = words[bucket]
        words[bucket] = position + 1

    def is_done(self, position: int) -> bool:
        """Whether the payment at ``position``, which has its slot still, needs the slot no more."""
        word = self.words[self.offset(position) + SLOT_PROGRESS]
        return position < self.forgotten_below or layout.unpack_progress(position, word)[0] in DONE

    @property
    def is_full(self) -> bool:
        """Whether there is no slot for the next payment."""
        oldest = self.words[RING_HEAD_AT] - self.slots
        if oldest < 0:
            return False
        return not self.is_done(oldest) or (self.waits_for_ledger and oldest >= self.words[RING_LEDGER_AT])

    @property
    def is_full_of_unrecorded(self) -> bool:
        """Whether there is no slot for the next payment only because SQL does not have the oldest payment yet."""
        return self.is_full and self.is_done(self.words[RING_HEAD_AT] - self.slots)

    def bucket(self, id_high: int, id_low: int) -> int:
        """The word that has the newest position of those whose ids have the same mix as this one."""
        return RING_HEADER_WORDS + (mix(id_high, id_low, self._seed_high, self._seed_low) >> self._shift)


class RingWriter(RingReader):
    """Puts payments in: exactly one process does so for each ring.

    Opening it takes back a payment that a killed writer had not published: its client never got an answer.

    Parameters:
      is_synced: payments may be sent only after :meth:`release`, when the caller has brought them to disk.
      waits_for_ledger: see :class:`RingReader`.
    """

    def __init__(self, words: Words, is_synced: bool = False, waits_for_ledger: bool = False) -> None:
        super().__init__(words, waits_for_ledger)
        self._is_synced = is_synced
        head = words[RING_HEAD_AT]
        at = self.offset(head)
        if words[at + SLOT_SEQUENCE] == head + 1:
            bucket = self.bucket(words[at + SLOT_ID_HIGH], words[at + SLOT_ID_LOW])
            if words[bucket] == head + 1:
                words[bucket] = words[at + SLOT_LINK]
            words[at + SLOT_SEQUENCE] = 0
        if not is_synced:
            words[RING_READY_AT] = head

    def has_room(self) -> bool:
        """Whether a payment can be put in; if not, it counts as refused. Who was told so may :meth:`fill` a slot."""
        if not self.is_full:
            return True
        self.words[layout.RING_REFUSED_AT] += 1
        return False

    def put(self, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int) -> bool:
        """Accepts a payment where there is room, as :meth:`fill` does. False: the ring is full."""
        if not self.has_room():
            return False
        self.fill(id_high, id_low, cents, accepted_ms, origin)
        return True

    def fill(self, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int) -> None:
        """Accepts a payment; ``origin``: SLOT_ORIGIN. From then on it survives the death of every process.

        The caller has made sure that the correlationId is not in any ring, and that :meth:`has_room`, which is not
        looked at again: the ledger's word may go back meanwhile.
        """
        # The head is not cached here: engine/intake/fast_path.c, in this same process, puts payments in too.
        words, position = self.words, self.words[RING_HEAD_AT]
        assert position < self.slots or self.is_done(position - self.slots), "its slot is in use"
        assert 0 < cents <= WORD_MAX and 0 <= origin <= WORD_MAX
        at = self.offset(position)
        assert words[at + SLOT_SEQUENCE] != position + 1, "it is there already"
        bucket = self.bucket(id_high, id_low)
        # The order matters. 0 removes the old payment before its words change. The sequence says that the slot is
        # whole. The bucket makes the payment findable. The head, stored last, accepts it.
        words[at + SLOT_SEQUENCE] = 0
        words[at + SLOT_ID_HIGH] = id_high
        words[at + SLOT_ID_LOW] = id_low
        words[at + SLOT_CENTS] = cents
        words[at + SLOT_ACCEPTED_MS] = accepted_ms
        words[at + SLOT_ORIGIN] = origin
        words[at + SLOT_LINK] = words[bucket]
        words[at + SLOT_CHECK] = layout.slot_check(position, id_high, id_low, cents, accepted_ms, origin)
        words[at + SLOT_SEQUENCE] = position + 1
        words[bucket] = position + 1
        words[RING_HEAD_AT] = position + 1
        if not self._is_synced:
            words[RING_READY_AT] = position + 1
        assert words[RING_READY_AT] <= words[RING_HEAD_AT]

    def note_summary(self, now_ms: int) -> None:
        """Tells the dispatcher that a summary was requested."""
        self.words[layout.RING_SUMMARY_MS_AT] = now_ms

    def take_out(self, position: int) -> None:
        """Takes a payment out of its slot that was not released: it is not to be paid from here.

        The slot keeps its place in the chain, but nobody finds its id any more, and it has no cents.
        """
        assert self.words[RING_READY_AT] <= position < self.words[RING_HEAD_AT]
        words, at = self.words, self.offset(position)
        nobody = secrets.randbits(128)
        words[at + SLOT_ID_HIGH], words[at + SLOT_ID_LOW] = nobody >> 64, nobody & WORD_MAX
        words[at + SLOT_CENTS] = 0
        words[at + SLOT_CHECK] = layout.slot_check(
            position, nobody >> 64, nobody & WORD_MAX, 0, words[at + SLOT_ACCEPTED_MS], words[at + SLOT_ORIGIN]
        )

    def release(self, below: int) -> None:
        """Lets the dispatcher send the positions below ``below``: they are on disk."""
        assert self.words[RING_READY_AT] <= below <= self.words[RING_HEAD_AT]
        self.words[RING_READY_AT] = below
