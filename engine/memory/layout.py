"""The layout of all shared memory, written down once: field, offset, unit, and who writes it.

Three kinds of segment, all arrays of unsigned 64-bit words (all offsets below are in words):

ring (one for each API process; ``NAME-ring-INDEX``)

====================  ==========  ===========================================================================
words                 writer      content
====================  ==========  ===========================================================================
0 .. 15               API         header: magic, layout version, sizes, hash seeds, head, counters
16 .. 23              dispatcher  header: forgotten_below, purge_done
24 .. 31              ledger      header: how far SQL has this ring
32 ..                 API         buckets, one word each: 1 + newest position whose id hashes there, 0 for none
32 + slots ..         both        slots, SLOT_WORDS each: the first eight words are the API process's,
                                  the last four the dispatcher's
====================  ==========  ===========================================================================

books (one; ``NAME-books``)

====================  ==========  ===========================================================================
words                 writer      content
====================  ==========  ===========================================================================
0 .. 55               dispatcher  header: magic, layout version, shape, version, redo count, floors and heads
                                  of levels, what stands beside the totals, spans of the wall clock
56 .. 63              others      header: what the ledger shows; what console and cells keep here (reserved)
64 .. 127             dispatcher  header: for each of PROCESSORS_MAX processors its name, total and address
128 .. 255            dispatcher  status: what the dispatcher shows of itself (not part of any transaction)
256 ..                dispatcher  redo log: REDO_ENTRIES pairs (address, value)
then                  dispatcher  for each level, for each processor of the list: counts, then cents
then                  dispatcher  parking table: PARKED_WORDS for each entry, PARKED_WAYS entries for each bucket
====================  ==========  ===========================================================================

id memory (one, where ENGINE_ID_MEMORY asks for it; ``NAME-ids``), written by the API processes

====================  ==========================================================================================
words                 content
====================  ==========================================================================================
0 .. 63               header: magic, layout version, buckets, hash seeds, number
64 ..                 buckets, IDS_BUCKET_WORDS each, 256 lanes of 16 bits: a cursor, then fingerprints; written
                      under the record lock of the bucket's stripe only, see :mod:`engine.ring.ids`
====================  ==========================================================================================

*Reserved* words and bits are 0, and nothing reads them: they keep room for extensions that are planned.
Older layouts: :mod:`engine.storage.old_layouts`.

A *position* is the number of a payment in its ring, counted from 0 for ever; position ``p`` is in slot ``p % slots``.
Money is integer cents. Times for people (``..._MS``) are integer milliseconds since 1970 UTC by the wall clock, which
may be set. Ages are measured on the *engine's clock*, see :mod:`engine.memory.clock`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from engine.memory.words import SECTOR_WORDS, WORD_MAX, Words
from engine.processors import PROCESSORS_MAX

LAYOUT_VERSION: Final = 3

# --- ring ------------------------------------------------------------------------------------------------------------

RING_MAGIC: Final = int.from_bytes(b"eng-ring", "little")
RING_MAGIC_AT: Final = 0  # written last when a ring is made
RING_LAYOUT_AT: Final = 1
RING_SLOTS_AT: Final = 2
RING_SEED_HIGH_AT: Final = 3  # odd random numbers, the same for rings made together: see engine/memory/hashing.py
RING_SEED_LOW_AT: Final = 4
RING_HEAD_AT: Final = 5  # positions below it are published: storing it is what accepts a payment
RING_REFUSED_AT: Final = 6  # payments refused because the ring was full
RING_PURGE_ASKED_AT: Final = 7  # raised by 1 to ask the dispatcher to forget everything
RING_READY_AT: Final = 8  # positions below it may be sent: the head, or with ENGINE_DURABILITY=sync what is on disk
RING_BOOT_AT: Final = 9  # the boot of the machine in which it was last opened (files only)
RING_CLOSED_AT: Final = 10  # API: how the API process has left it: UNCLEAN, CLEAN or SYNCED (files only)
RING_SUMMARY_MS_AT: Final = 11  # when a summary was last requested here, perhaps by an audit
RING_GENERATION_AT: Final = 12  # API: the engine's generation, the same in all of its segments; never 0
RING_IDS_AT: Final = 13  # API: the number (IDS_NUMBER_AT) of the id memory that has all ids of this ring, 0 for none
RING_PURGE_WITHDRAWN_AT: Final = 14  # API: the purge_asked that nobody waits for any more
RING_FORGOTTEN_AT: Final = 16  # dispatcher: positions below it were purged
RING_PURGE_DONE_AT: Final = 17  # dispatcher: the purge_asked that has been decided, and carried out if purged says so
RING_CLEAN_AT: Final = 18  # dispatcher: how the dispatcher has left it: UNCLEAN, CLEAN or SYNCED (files only)
RING_PURGED_AT: Final = 19  # dispatcher: the last purge_asked that was carried out; those up to purge_done were refused
RING_LEDGER_AT: Final = 24  # ledger: positions below it are in SQL with their last state; it may go back
RING_LEDGER_PURGE_AT: Final = 25  # ledger: SQL has all that had happened when this purge_asked was raised; 0: unknown
RING_HEADER_WORDS: Final = 32

# How a file was left, and what a loss of power then makes of it:
UNCLEAN: Final = 0  # any mixture of old and new: it cannot be used
CLEAN: Final = 1  # no change: all of it was on disk
SYNCED: Final = 2  # a mixture that can be repaired, because everything was synced in order

SLOT_WORDS: Final = 12
SLOT_SEQUENCE: Final = 0  # position + 1 while the slot holds that whole payment, 0 while it is being written
SLOT_ID_HIGH: Final = 1
SLOT_ID_LOW: Final = 2
SLOT_CENTS: Final = 3
SLOT_ACCEPTED_MS: Final = 4
SLOT_ORIGIN: Final = 5  # the engine's clock at acceptance (ORIGIN_CLOCK_MASK), ORIGIN_SEEN, and the shop's number
SLOT_LINK: Final = 6  # 1 + the next older position of the same bucket, 0 for none
SLOT_CHECK: Final = 7  # slot_check() of the words that the API process has written
SLOT_PROGRESS: Final = 8  # dispatcher: see pack_progress
SLOT_REQUESTED_MS: Final = 9  # dispatcher: requestedAt of the last attempt, and the number of its pin
SLOT_SETTLED: Final = 10  # dispatcher: see pack_settled; until this payment is done, the word is an older payment's
SLOT_FIRST_MS: Final = 11  # dispatcher: earliest requestedAt of several attempts; with REASON_AMOUNT the other cents

ORIGIN_CLOCK_BITS: Final = 44  # 557 years
ORIGIN_CLOCK_MASK: Final = (1 << ORIGIN_CLOCK_BITS) - 1
ORIGIN_SEEN: Final = 1 << ORIGIN_CLOCK_BITS  # the id may have been here before: look it up before anything is sent
ORIGIN_SHOP_SHIFT: Final = 48  # API (reserved): the number of the shop that handed the payment in ...
ORIGIN_SHOP_BITS: Final = 16  # ... has this many bits
PIN_SHIFT: Final = 48  # dispatcher (reserved): the number of a pin, changed with requestedAt by one store ...
PIN_BITS: Final = 16  # ... has this many bits

QUEUED: Final = 0  # waiting, certainly not charged
PROCESSING: Final = 1  # an attempt was begun at the processor: only that processor can say whether it charged
COMPLETED: Final = 2  # charged, and in the books
FAILED: Final = 3  # given up, certainly not charged
PARKED: Final = 4  # the books' parking table has the payment now, and the slot may be given away
CHARGED_BEFORE: Final = 5  # the processor had the id before this payment was accepted; counted beside the books
ALREADY: Final = 6  # as PROCESSING, but the first request with this body was answered with "already there"
STATE_NAMES: Final = (  # as people are told
    "queued", "processing", "completed", "failed", "processing", "completed", "processing",
)  # fmt: skip

# The reason of a payment's state, if the state alone does not say it. TOO_OLD, REFUSED and CANCELLED go with FAILED,
# UNCONFIRMED and AMOUNT with COMPLETED, DECLARED with CHARGED_BEFORE, the others with a parked payment that is a dead
# letter: no lookup can tell its outcome.
REASON_NONE: Final = 0
REASON_TOO_OLD: Final = 1  # ENGINE_GIVE_UP_SECONDS are over, and it was never charged
REASON_REFUSED: Final = 2  # every processor has refused the payment itself
REASON_UNCONFIRMED: Final = 3  # "already there" after an unknown outcome, and no lookup got an answer
REASON_AMOUNT: Final = 4  # the processor has stored another amount: the books have the processor's
REASON_CONTRADICTION: Final = 5  # "already there", and every lookup says that it is not
REASON_NO_LOOKUP: Final = 6  # "already there" to the first request, and no lookup gets an answer
REASON_CLOCK: Final = 7  # the processor's record may be ours or an older one: the clock was set back meanwhile
REASON_ERROR: Final = 8  # the decision about it has raised; the log has the exception
REASON_UNKNOWN: Final = 9  # its outcome has been unknown for ENGINE_DEAD_LETTER_SECONDS
REASON_CANCELLED: Final = 10  # a person has declared that it was not charged; counted beside the books
REASON_DECLARED: Final = 11  # a person has declared that it was charged; counted beside the books
DECLARED: Final = (REASON_CANCELLED, REASON_DECLARED)
REASON_NAMES: Final = (
    None, "too old", "refused", "unconfirmed", "amount differs", "contradictory answers", "no lookup to be had",
    "clock was set", "internal error", "unknown for too long", "cancelled", "declared charged",
)  # fmt: skip

ATTEMPTS_MAX: Final = 0xFFFF  # the counter of attempts stops here
TAG_MASK: Final = 0xFFFFFFFF
_CHECK_A: Final = 0x9E3779B97F4A7C15
_CHECK_B: Final = 0xC2B2AE3D27D4EB4F
_CHECK_C: Final = 0x165667B19E3779F9
_CHECK_D: Final = 0xD6E8FEB86659FD93
_CHECK_E: Final = 0xFF51AFD7ED558CCD
REASON_SHIFT: Final = 48
SETTLED_MS_MASK: Final = (1 << REASON_SHIFT) - 1


def ring_words(slots: int) -> int:
    """Length of a ring's segment."""
    return RING_HEADER_WORDS + slots + slots * SLOT_WORDS


def slot_offset(slots: int, position: int) -> int:
    """Where the slot of ``position`` begins."""
    return RING_HEADER_WORDS + slots + (position & (slots - 1)) * SLOT_WORDS


def slot_places(slots: int, field: int) -> range:
    """Where the word ``field`` of every slot is."""
    return range(slot_offset(slots, 0) + field, ring_words(slots), SLOT_WORDS)


def pack_progress(position: int, state: int, processor: int, attempts: int) -> int:
    """The dispatcher's word of a slot: state, processor and attempts, changed together by one store.

    It carries the low half of the position. So a word that was written for an older payment in the same slot never
    counts as this payment's, although the API process never writes the word.
    """
    shown = attempts if attempts <= ATTEMPTS_MAX else ATTEMPTS_MAX  # `min` is dear, and this is done for every payment
    return (position & TAG_MASK) << 32 | shown << 16 | processor << 8 | state


def unpack_progress(position: int, word: int) -> tuple[int, int, int]:
    """(state, processor, attempts) of ``position``; (QUEUED, 0, 0) when the dispatcher has not touched it."""
    if word >> 32 != position & TAG_MASK:
        return QUEUED, 0, 0
    return word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFFFF


def pack_settled(settled_ms: int, reason: int) -> int:
    """The time at which a payment was done and the reason of its state, in one word."""
    return reason << REASON_SHIFT | settled_ms


def pack_home(ring: int, position: int) -> int:
    """The word PARKED_HOME of a payment that had the slot of ``position``."""
    return ring + 1 << ADDRESS_SEGMENT_SHIFT | position


def slot_check(position: int, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int) -> int:
    """A sum over a payment. It is wrong in a slot that was only half written when the power was lost."""
    mixed = id_high * _CHECK_A ^ id_low * _CHECK_B ^ cents * _CHECK_C ^ accepted_ms * _CHECK_D ^ origin * _CHECK_E
    return (mixed ^ position) & WORD_MAX


def lay_out_ring(words: Words, slots: int, seed_high: int, seed_low: int) -> None:
    """Turns zeroed memory into an empty ring. The seeds are odd."""
    words[RING_LAYOUT_AT] = LAYOUT_VERSION
    words[RING_SLOTS_AT] = slots
    words[RING_SEED_HIGH_AT] = seed_high
    words[RING_SEED_LOW_AT] = seed_low
    # Progress words begin with the tag of no position (the tag of position 0 is 0).
    for index in slot_places(slots, SLOT_PROGRESS):
        words[index] = WORD_MAX
    words[RING_MAGIC_AT] = RING_MAGIC


# --- books -----------------------------------------------------------------------------------------------------------

BOOKS_MAGIC: Final = int.from_bytes(b"eng-book", "little")
BOOKS_MAGIC_AT: Final = 0  # written last when the books are made
BOOKS_LAYOUT_AT: Final = 1
BOOKS_RECENT_SECONDS_AT: Final = 2
BOOKS_HORIZON_HOURS_AT: Final = 3
BOOKS_VERSION_AT: Final = 4  # odd while a transaction is being applied, and from before a purge reads the rings on
BOOKS_REDO_COUNT_AT: Final = 5  # entries of the redo log that are valid; storing it commits a transaction
BOOKS_PARKED_SLOTS_AT: Final = 6
BOOKS_PARKED_SEED_AT: Final = 7  # odd random multiplier
BOOKS_PROCESSORS_AT: Final = 8  # how many processors the list has
BOOKS_RINGS_AT: Final = 9  # how many rings the engine has: all of them are made with the books
BOOKS_GENERATION_AT: Final = 10  # the engine's generation, the same in all of its segments; never 0
BOOKS_REPLACED_AT: Final = 11  # generation whose payments these books have taken over (its rings may go); 0 for none
BOOKS_BOOT_AT: Final = 12  # as RING_BOOT_AT
BOOKS_CLEAN_AT: Final = 13  # as RING_CLEAN_AT
BOOKS_REDO_CHECK_AT: Final = 14  # a sum over the redo log (files only): it is wrong if only half of the log is on disk
BOOKS_CLOCK_OFFSET_AT: Final = 15  # engine's clock minus CLOCK_BOOTTIME, in ms, modulo 2^64; set at the opening
BOOKS_LEVELS_AT: Final = 16  # for each level: floor, head (bucket numbers; valid are floor to head, both included)
LEVELS_MAX: Final = 4
BOOKS_PARKED_KEPT_AT: Final = 24  # payments in the parking table that are not settled
BOOKS_PARKED_ERA_AT: Final = 25  # raised by a purge: entries of an older era are free
BOOKS_PARKED_TAKEN_AT: Final = 26  # payments ever parked in this era: if it is 0, no search is needed
BOOKS_DEAD_AT: Final = 27  # dead letters: parked payments with a reason, which only a person can resolve
BOOKS_DISCREPANCIES_AT: Final = 28  # payments of which a processor has stored another amount
BOOKS_UNCONFIRMED_AT: Final = 29  # payments settled without a lookup that shows them
# Sums beside the totals: payments, cents, and how many times SUM_MODULUS must be added to the cents.
BOOKS_FAILED_AT: Final = 30  # payments given up
BOOKS_FAILED_CARRY_AT: Final = 32
BOOKS_BEFORE_AT: Final = 33  # payments that a processor had before they were accepted
BOOKS_BEFORE_CARRY_AT: Final = 35
BOOKS_DECLARED_AT: Final = 36  # payments whose outcome a person has declared, with evidence
BOOKS_DECLARED_CARRY_AT: Final = 38
BOOKS_PARKED_SEQUENCE_AT: Final = 39  # changes of parked places so far, see PARKED_SEQUENCE
BOOKS_SET_BACK_AT: Final = 40  # SET_BACKS_MAX spans that the wall clock has shown twice: from, to (0, 0: none)
SET_BACKS_MAX: Final = 4
BOOKS_ACTS_AT: Final = 48  # operators' commands below this sequence of the command ring are carried out
BOOKS_JOURNAL_AT: Final = 49  # reserved: the journal's sequence: records below it are published
BOOKS_ANCESTORS_AT: Final = range(50, 53)  # the generations before BOOKS_REPLACED_AT's, the latest first
BOOKS_ACT_RESULT_AT: Final = 53  # the result word of the last command that was carried out, see acts_layout
BOOKS_PAUSED_AT: Final = 54  # bit p: a person has paused processor p
BOOKS_FAILED_DROPPED_AT: Final = 55  # payments given up that hold no parking place (any more): only the ledger has them
BOOKS_LEDGER_AT: Final = 56  # ledger: SQL has the changes below this PARKED_SEQUENCE; 0: none; it may go back
BOOKS_EPOCH_AT: Final = 57  # cell's agent (reserved): the epoch in which this cell is a member; 0: of no cluster
BOOKS_LEDGER_STATUS_AT: Final = 58  # ledger: LEDGER_STATUS_WORDS of what it shows of itself, see LedgerStatus
LEDGER_STATUS_WORDS: Final = 3
BOOKS_NAMES_AT: Final = 64  # for each processor its name, in NAME_WORDS words of ASCII with 0 behind it
NAME_WORDS: Final = 4
BOOKS_TOTALS_AT: Final = 96  # for each processor: count, cents
BOOKS_CARRIES_AT: Final = 112  # for each processor: how many times SUM_MODULUS must be added to its cents
BOOKS_FINGERPRINTS_AT: Final = 120  # for each processor: the fingerprint of its address; 0 while nothing was sent
STATUS_AT: Final = 128
STATUS_HEARTBEAT_MS: Final = STATUS_AT  # last pass of the dispatcher
STATUS_ASLEEP: Final = STATUS_AT + 1  # 1 while the dispatcher waits for the doorbell
STATUS_LISTENS: Final = STATUS_AT + 2  # 1 while it listens for answers to payments that an audit may see already
STATUS_CLOCK_MS: Final = STATUS_AT + 3  # the engine's clock at the last pass
STATUS_ERRORS: Final = STATUS_AT + 4  # how often a decision has raised since the dispatcher started
STATUS_SITUATION: Final = STATUS_AT + 5  # what happens to payments now (engine/situation.py); 0: not known yet
STATUS_CONDITIONS: Final = STATUS_AT + 6  # what is known of each processor, 4 bits each (engine/situation.py)
STATUS_SITUATION_MS: Final = STATUS_AT + 7  # the engine's clock when that began: other processors, or another reason
STATUS_PROCESSORS: Final = STATUS_AT + 8  # STATUS_PROCESSOR_WORDS for each processor, see ProcessorStatus
STATUS_PROCESSOR_WORDS: Final = 8
REDO_AT: Final = 256
REDO_ENTRIES: Final = 2048
ADDRESS_SEGMENT_SHIFT: Final = 48  # a redo address is segment << 48 | word; segment 0: books, i + 1: ring i

SUM_MODULUS: Final = 1 << 63  # cents of a total beyond it are carried into BOOKS_CARRIES_AT

PARKED_WAYS: Final = 8
PARKED_WORDS: Final = 16
PARKED_ERA_AND_STATE: Final = 0  # era << 8 | 1 + state of the payment (QUEUED, PROCESSING ...); all 0: free
PARKED_FREE: Final = 0
PARKED_OPEN: Final = (1 + QUEUED, 1 + PROCESSING, 1 + ALREADY)  # not done: the place is taken
PARKED_ID_HIGH: Final = 1
PARKED_ID_LOW: Final = 2
PARKED_CENTS: Final = 3
PARKED_ACCEPTED_MS: Final = 4
PARKED_ORIGIN: Final = 5  # as SLOT_ORIGIN
PARKED_PROGRESS: Final = 6  # attempts << 16 | processor << 8
PARKED_REQUESTED_MS: Final = 7  # as SLOT_REQUESTED_MS
PARKED_SETTLED: Final = 8  # as SLOT_SETTLED; of an open payment 0, of a dead letter its reason and since when
PARKED_FIRST_MS: Final = 9  # as SLOT_FIRST_MS
PARKED_REFUSALS: Final = 10  # a byte for each processor: refusals, and << 4 those with others charged in between
PARKED_HOME: Final = 11  # the slot that it had: 1 + ring << ADDRESS_SEGMENT_SHIFT | position; 0 for none
PARKED_SEQUENCE: Final = 12  # the number of this place's last change, from 1 on, among those of all places

# --- id memory -------------------------------------------------------------------------------------------------------

MIX_A: Final = 0xBF58476D1CE4E5B9  # splitmix64's multipliers
MIX_B: Final = 0x94D049BB133111EB

STRIPES: Final = 1024  # record locks of one byte each, with which API processes exclude each other; a power of two

IDS_MAGIC: Final = int.from_bytes(b"eng-ids\0", "little")
IDS_LAYOUT_VERSION: Final = 2  # the id memory's own version: changes of other segments do not change it
IDS_MAGIC_AT: Final = 0  # written last when the memory is made
IDS_LAYOUT_AT: Final = 1
IDS_BUCKETS_AT: Final = 2  # a multiple of STRIPES: bucket % STRIPES is the stripe under which a bucket is written
IDS_SEED_HIGH_AT: Final = 3  # the seeds of ring 0, which choose the stripe even if there is no id memory
IDS_SEED_LOW_AT: Final = 4
IDS_GENERATION_AT: Final = 5  # the engine's generation, the same in all of its segments
IDS_NUMBER_AT: Final = 6  # random, never 0, new after each boot of the machine: see RING_IDS_AT
IDS_BOOT_AT: Final = 7  # as RING_BOOT_AT
IDS_HEADER_WORDS: Final = 64  # 512 bytes, like a bucket: a sector, which a disk writes whole
IDS_BUCKET_WORDS: Final = 64
IDS_BUCKET_LANES: Final = 255  # fingerprints of a bucket, in the lanes 1 to 255; lane 0 plus 1 is written next
IDS_BUCKET_MEAN: Final = 216  # mean ids of a bucket, among the ids that the memory is set to remember

# --- what must hold -------------------------------------------------------------------------------------------------

# No two fields of a header share a word: each begins where the one before it ends, at the earliest.
_RING_HEADER: Final = (
    (RING_MAGIC_AT, RING_PURGE_WITHDRAWN_AT + 1), (RING_FORGOTTEN_AT, 4), (RING_LEDGER_AT, 2), (RING_HEADER_WORDS, 0),
)  # fmt: skip
_BOOKS_HEADER: Final = (
    (BOOKS_MAGIC_AT, BOOKS_CLOCK_OFFSET_AT + 1), (BOOKS_LEVELS_AT, 2 * LEVELS_MAX),
    *((at, 1) for at in range(BOOKS_PARKED_KEPT_AT, BOOKS_UNCONFIRMED_AT + 1)), (BOOKS_FAILED_AT, 2),
    (BOOKS_FAILED_CARRY_AT, 1), (BOOKS_BEFORE_AT, 2), (BOOKS_BEFORE_CARRY_AT, 1), (BOOKS_DECLARED_AT, 2),
    (BOOKS_DECLARED_CARRY_AT, 1), (BOOKS_PARKED_SEQUENCE_AT, 1), (BOOKS_SET_BACK_AT, 2 * SET_BACKS_MAX),
    (BOOKS_ACTS_AT, 1), (BOOKS_JOURNAL_AT, 1), (BOOKS_ANCESTORS_AT[0], 3), (BOOKS_ACT_RESULT_AT, 1),
    (BOOKS_PAUSED_AT, 1), (BOOKS_FAILED_DROPPED_AT, 1), (BOOKS_LEDGER_AT, 1), (BOOKS_EPOCH_AT, 1),
    (BOOKS_LEDGER_STATUS_AT, LEDGER_STATUS_WORDS),
    (BOOKS_NAMES_AT, NAME_WORDS * PROCESSORS_MAX), (BOOKS_TOTALS_AT, 2 * PROCESSORS_MAX),
    (BOOKS_CARRIES_AT, PROCESSORS_MAX), (BOOKS_FINGERPRINTS_AT, PROCESSORS_MAX), (STATUS_AT, 8),
    (STATUS_PROCESSORS, STATUS_PROCESSOR_WORDS * PROCESSORS_MAX), (REDO_AT, 2 * REDO_ENTRIES),
)  # fmt: skip
for _fields in (_RING_HEADER, _BOOKS_HEADER):
    assert all(at + words <= after for (at, words), (after, _) in pairwise(_fields))
assert RING_FORGOTTEN_AT % 8 == 0 and RING_LEDGER_AT % 8 == 0  # writers do not share a cache line of 8 words
assert SLOT_FIRST_MS + 1 == SLOT_WORDS and PARKED_SEQUENCE < PARKED_WORDS
assert BOOKS_REDO_CHECK_AT < SECTOR_WORDS <= BOOKS_NAMES_AT  # a log's length and check are on disk in one write
assert ORIGIN_SEEN < 1 << ORIGIN_SHOP_SHIFT and ORIGIN_SHOP_SHIFT + ORIGIN_SHOP_BITS == PIN_SHIFT + PIN_BITS == 64
assert len(STATE_NAMES) == ALREADY + 1 and len(REASON_NAMES) == REASON_DECLARED + 1
