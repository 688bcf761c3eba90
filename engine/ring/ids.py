"""The id memory: which correlationIds were here before, far beyond what the rings remember. No locks and no files here.

A correlationId is known by 16 bits of its mix (:mod:`engine.memory.hashing`), its *fingerprint*, in the bucket that
other bits of the mix choose. A bucket has 255 places and a cursor; what is remembered goes to the cursor's place, over
the oldest of the bucket. So there is nothing to clear, and the memory is as good after a year as on its first day. What
it says may be wrong in one way only: an id that was never here is taken for known with a chance of 255 / 65,281 when
the bucket is full (0.39 %). That costs a lookup and nothing else, for a payment is never refused because of it.

Several processes write the same memory without atomic instructions. So a bucket is written under the record lock of its
stripe (:class:`engine.intake.acceptor.Acceptor`): both come from the same mix. An insertion has two stores. A kill, or
a loss of power, may lose the second: then a place is left out this time, and its old id is known for longer.

*Limit*: lanes are counted from the low end of a word, which is where a little-endian machine has the first two bytes.
"""

from __future__ import annotations

from typing import cast

from engine.memory import layout
from engine.memory.hashing import mix
from engine.memory.layout import IDS_BUCKET_LANES, IDS_BUCKET_WORDS, STRIPES
from engine.memory.words import Words

_LANE_BITS = 16
_LANE_MASK = 0xFFFF
_LANES_OF_WORD = 4


class IdMemory:
    """The memory in ``words``. The caller holds the stripe of each id that it looks for or adds."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self._groups = words[layout.IDS_BUCKETS_AT] // STRIPES
        self.seeds = words[layout.IDS_SEED_HIGH_AT], words[layout.IDS_SEED_LOW_AT]

    @property
    def number(self) -> int:
        """The number that identifies this memory since the start of the machine; never 0."""
        return self.words[layout.IDS_NUMBER_AT]

    def contains(self, id_high: int, id_low: int) -> bool:
        """Whether the id was remembered, or one with the same fingerprint."""
        return self._has(*self._place(id_high, id_low))

    def remember(self, id_high: int, id_low: int) -> bool:
        """Remembers an id as the newest of its bucket. Returns whether it was there before, as :meth:`contains`."""
        at, fingerprint = self._place(id_high, id_low)
        is_known = self._has(at, fingerprint)
        self._insert(at, fingerprint)
        return is_known

    def remember_once(self, id_high: int, id_low: int) -> None:
        """Remembers an id unless it, or one with the same fingerprint, is there."""
        at, fingerprint = self._place(id_high, id_low)
        if not self._has(at, fingerprint):
            self._insert(at, fingerprint)

    def _insert(self, at: int, fingerprint: int) -> None:
        words = self.words
        cursor = words[at] & _LANE_MASK
        lane = cursor + 1 if cursor < IDS_BUCKET_LANES else 1
        place, shift = at + lane // _LANES_OF_WORD, lane % _LANES_OF_WORD * _LANE_BITS
        # The cursor first: a fingerprint that can be found must never be the one that is written over next.
        words[at] = words[at] & ~_LANE_MASK | lane % IDS_BUCKET_LANES
        words[place] = words[place] & ~(_LANE_MASK << shift) | fingerprint << shift

    def _has(self, at: int, fingerprint: int) -> bool:
        lanes = bytes(cast(bytes, self.words[at : at + IDS_BUCKET_WORDS]))
        wanted = fingerprint.to_bytes(2, "little")
        found = lanes.find(wanted)
        while found % 2 == 1 and found > 0:  # the end of one lane and the beginning of the next
            found = lanes.find(wanted, found + 1)
        return found >= 0

    def _place(self, id_high: int, id_low: int) -> tuple[int, int]:
        """The word at which the bucket of an id begins, and its fingerprint."""
        mixed = mix(id_high, id_low, *self.seeds)
        bucket = ((mixed >> 32) * self._groups >> 32) * STRIPES + stripe(mixed)
        fingerprint = mixed >> _LANE_BITS & _LANE_MASK
        if fingerprint < IDS_BUCKET_LANES:  # it would look like an empty place or like a cursor
            fingerprint += IDS_BUCKET_LANES
        return layout.IDS_HEADER_WORDS + bucket * IDS_BUCKET_WORDS, fingerprint


def ids_buckets(ids: int) -> int:
    """The number of buckets of a memory that reaches back ``ids`` payments.

    It is chosen so that 99.47 % of the ids of exactly that age are remembered, and 99.998 % of those a tenth younger
    (255 places, and 216 ids on average with a Poisson distribution).
    """
    return -(-ids // (layout.IDS_BUCKET_MEAN * STRIPES)) * STRIPES


def ids_words(buckets: int) -> int:
    """Length of the id memory's segment."""
    return layout.IDS_HEADER_WORDS + buckets * IDS_BUCKET_WORDS


def lay_out_ids(words: Words, buckets: int, ring: Words, number: int) -> None:
    """Turns zeroed memory into an empty id memory for ``ring``, ring 0, whose seeds it takes."""
    words[layout.IDS_LAYOUT_AT] = layout.IDS_LAYOUT_VERSION
    words[layout.IDS_BUCKETS_AT] = buckets
    words[layout.IDS_SEED_HIGH_AT] = ring[layout.RING_SEED_HIGH_AT]
    words[layout.IDS_SEED_LOW_AT] = ring[layout.RING_SEED_LOW_AT]
    words[layout.IDS_GENERATION_AT] = ring[layout.RING_GENERATION_AT]
    words[layout.IDS_NUMBER_AT] = number
    words[layout.IDS_MAGIC_AT] = layout.IDS_MAGIC


def check_ids(words: Words, buckets: int, ring: Words) -> str:
    """Why this memory is not an id memory of ``buckets`` buckets for ``ring``, ring 0; ``""`` if it is."""
    if len(words) < layout.IDS_HEADER_WORDS or words[layout.IDS_MAGIC_AT] != layout.IDS_MAGIC:
        return "it was not finished"
    if words[layout.IDS_LAYOUT_AT] != layout.IDS_LAYOUT_VERSION:
        return f"it has layout version {words[layout.IDS_LAYOUT_AT]}, this engine writes {layout.IDS_LAYOUT_VERSION}"
    if words[layout.IDS_BUCKETS_AT] != buckets or len(words) != ids_words(buckets):
        return f"it has {words[layout.IDS_BUCKETS_AT]} buckets, ENGINE_ID_MEMORY asks for {buckets}"
    seeds = ring[layout.RING_SEED_HIGH_AT], ring[layout.RING_SEED_LOW_AT]
    if (words[layout.IDS_SEED_HIGH_AT], words[layout.IDS_SEED_LOW_AT]) != seeds:
        return "ring 0 was made anew, with other seeds"
    return ""


def stripe(mixed: int) -> int:
    """The number of the record lock of an id, from its mix."""
    return mixed % STRIPES
