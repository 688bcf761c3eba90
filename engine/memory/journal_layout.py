"""The layout of the journal: what happened, in the order in which it happened. One for each engine, ``NAME-journal``.

====================  ===========================================================================================
words                 content
====================  ===========================================================================================
0 .. 15               header: magic, layout version, slots, number, boot, generation
16 .. 23              header: claimed, published
64 ..                 records, RECORD_WORDS each: record ``s`` is in slot ``s % slots``
====================  ===========================================================================================

The dispatcher is the one writer. It stores *claimed* before it writes records, and *published* when they are whole. So
a reader may believe a copy of record ``s`` if ``s`` was below *published* before it copied, and if *claimed* is at most
``s + slots`` afterwards. Records that were written over are lost to it; their number is known.

A payment that is charged at once has one record. Its request has none of its own: while it is in flight, the payment's
slot has the same words. A dispatcher that starts after a crash records what it finds so (LEFT).

Older layouts are not read: the journal is made anew, under a new number.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

JOURNAL_MAGIC: Final = int.from_bytes(b"eng-jrnl", "little")
JOURNAL_LAYOUT_VERSION: Final = 1
MAGIC_AT: Final = 0  # written last when the journal is made
LAYOUT_AT: Final = 1
SLOTS_AT: Final = 2  # a power of two
NUMBER_AT: Final = 3  # random, never 0, new whenever the journal is made: sequences of one number can be compared
BOOT_AT: Final = 4  # the boot of the machine in which the journal was made
GENERATION_AT: Final = 5  # the engine's generation
CLAIMED_AT: Final = 16  # records below it may be in writing, so those `slots` below it may be written over
PUBLISHED_AT: Final = 17  # records below it are whole
HEADER_WORDS: Final = 64

RECORD_WORDS: Final = 8
# kind, processor, code, 1 + ring (0: parked, or none), number of the attempt, status; then whole words: at_ms (wall
# clock, UTC), id_high, id_low, first, position (or parking place), second, 1 + sequence.
RECORD: Final = struct.Struct("BBBBHHQQQQQQQ")  # native: half as dear

TOOK_BITS: Final = 32  # `second` of an answer: 1 + sequence of its SENT, above TOOK_BITS of what it took in us
TOOK_MASK: Final = (1 << TOOK_BITS) - 1
DROPPED: Final = 0xFF  # code of an answer that is not waited for: another one has decided
STATUS_NO_ANSWER: Final = 0x8000  # a status from here on: no answer came; less this it is libcurl's error (CURLE_...)


class Kind(IntEnum):
    """What a record says, and what is in its fields."""

    STARTED = 1  # a dispatcher has started: no request that was sent before is waited for any more
    LEFT = 2  # it found a payment whose attempt ``number`` may have been sent; code: state; first: requestedAt
    SENT = 3  # a request leaves that a slot does not show; code: one of Sent; first: requestedAt; second: cents
    ANSWERED = 4  # a request has ended; code: verdict or DROPPED; status; first: requestedAt; second: see TOOK_BITS.
    # CHARGED also ends the payment.
    LOOKED_UP = 5  # a lookup has ended; as ANSWERED, but first: requestedAt as the processor has it, 0 if it says none
    ENDED = 6  # a payment has ended otherwise; code: state; status: reason; first: requestedAt; second: cents
    PARKED = 7  # it is in the parking table now; code: state; status: reason, of a dead letter; first, second: as ENDED
    HEALTH = 8  # a query for health has ended; code: one of Health; first: minResponseTime in ms
    STATE = 9  # a processor is observed in another state; code: the new one; first: failures in ppm; second: how long
    # an attempt is expected to take, in ms
    FEE = 10  # a processor has told its fee; first: ppm
    PURGED = 11  # one for each ring: what was below ``position`` is forgotten; first: the books' new era
    ACT = 12  # an operator's command was carried out; code: its result; number: the act; first, second: the action's
    # id in SQL; position: the result word; the id is 0 for an act on a processor


class Sent(IntEnum):
    """The code of SENT."""

    REQUEST = 0
    LOOKUP = 1
    BESIDE = 2  # a lookup beside a request that is under way


class Health(IntEnum):
    """The code of HEALTH."""

    WORKING = 0
    FAILING = 1
    SILENT = 2  # no answer, or none that can be read


def journal_words(slots: int) -> int:
    """Length of the journal's segment."""
    return HEADER_WORDS + slots * RECORD_WORDS


def record_offset(slots: int, sequence: int) -> int:
    """Where the record ``sequence`` begins."""
    return HEADER_WORDS + (sequence & (slots - 1)) * RECORD_WORDS


assert GENERATION_AT < CLAIMED_AT and PUBLISHED_AT < HEADER_WORDS and RECORD.size == 8 * RECORD_WORDS
