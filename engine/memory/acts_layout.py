"""The layout of the command ring: what operators ask of the dispatcher. One for each engine, ``NAME-acts``.

====================  ===========================================================================================
words                 content
====================  ===========================================================================================
0 .. 15               header: magic, layout version, slots, number, boot, generation
16                    commands: head
64 ..                 entries, ENTRY_WORDS each: command ``s`` is in entry ``s % slots``
====================  ===========================================================================================

An operator's command writes the words of an entry, then the head, while it holds the record lock of the segment's first
byte. The dispatcher is the one writer of the entry's result. How far the dispatcher has come is in the books
(``BOOKS_ACTS_AT``), where one transaction changes it together with what the command does. So a command is done once, or
not at all. The transaction also has the result (``BOOKS_ACT_RESULT_AT``); a dispatcher that starts tells it again.

The ring is no record: who asked, and why, is in SQL before a command is here. Older layouts are not read, and after the
machine went down the ring is made anew. What was not carried out by then is asked again by a person.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

ACTS_MAGIC: Final = int.from_bytes(b"eng-acts", "little")
ACTS_LAYOUT_VERSION: Final = 1
MAGIC_AT: Final = 0  # written last when the ring is made
LAYOUT_AT: Final = 1
SLOTS_AT: Final = 2  # a power of two
NUMBER_AT: Final = 3  # random, never 0, new whenever the ring is made
BOOT_AT: Final = 4  # the boot of the machine in which it was made
GENERATION_AT: Final = 5  # the engine's generation
HEAD_AT: Final = 16  # commands below it are published
HEADER_WORDS: Final = 64

SLOTS: Final = 1024
WAITING_MAX: Final = SLOTS // 2  # commands that wait at once; so a result can be read until as many others are done

ENTRY_WORDS: Final = 16
ENTRY_SEQUENCE: Final = 0  # 1 + the command's sequence
ENTRY_KIND: Final = 1  # one of Act, and << 8 the number of a processor
ENTRY_ACTION_HIGH: Final = 2  # the id of the action in SQL, 16 bytes
ENTRY_ACTION_LOW: Final = 3
ENTRY_ID_HIGH: Final = 4  # the payment; 0 for an act on a processor
ENTRY_ID_LOW: Final = 5
ENTRY_EXPECTED: Final = 6  # what the operator saw, see pack_expected
ENTRY_RESULT: Final = 8  # dispatcher: pack_result once it is carried out, 0 before


class Act(IntEnum):
    """What an operator asks for. The numbers are stored in memory and in SQL."""

    ASK = 1  # look the payment up, now
    RETRY = 2  # send a payment again that has failed
    CHARGED = 3  # its processor has charged it: somebody has proof
    CANCEL = 4  # it was not charged, and will not be: somebody has proof
    PAUSE = 5  # the processor gets no new payments
    RESUME = 6  # it does again


class Result(IntEnum):
    """What became of a command. The numbers are stored in memory and in SQL."""

    DONE = 1
    NOT_FOUND = 2  # no parking place has the payment
    CHANGED = 3  # it is not in the state any more that the operator saw
    OVER = 4  # it has ended
    NOT_DEAD = 5  # it is no dead letter: the engine still works on it
    MAY_BE_CHARGED = 6  # it is not certain that it was not charged
    NOT_CHARGED = 7  # it is certain that it was not charged
    UNDER_WAY = 8  # a request for it may still be under way
    AS_IT_IS = 9  # the processor is paused, or not, already
    NOT_KNOWN = 10  # no such act or processor


class Command(NamedTuple):
    """A command. ``expected``: see :func:`pack_expected`; ``processor`` is 0 for an act on a payment."""

    act: int
    action_high: int
    action_low: int
    id_high: int = 0
    id_low: int = 0
    expected: int = 0
    processor: int = 0


class Carried(NamedTuple):
    """A command's result, and the state and reason of its payment before and after; all 0 for a processor's."""

    result: int
    before: int = 0
    before_reason: int = 0
    after: int = 0
    after_reason: int = 0


def acts_words(slots: int) -> int:
    """Length of the segment."""
    return HEADER_WORDS + slots * ENTRY_WORDS


def entry_offset(slots: int, sequence: int) -> int:
    """Where the entry of the command ``sequence`` begins."""
    return HEADER_WORDS + (sequence & (slots - 1)) * ENTRY_WORDS


def pack_expected(state: int, reason: int, attempts: int) -> int:
    """What an operator saw of a payment, in one word."""
    return attempts << 16 | reason << 8 | state


def pack_result(one: Carried) -> int:
    """A result as one word; never 0."""
    return one.after_reason << 32 | one.after << 24 | one.before_reason << 16 | one.before << 8 | one.result


def unpack_result(word: int) -> Carried:
    """What :func:`pack_result` was given."""
    return Carried(word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFF, word >> 24 & 0xFF, word >> 32 & 0xFF)


assert GENERATION_AT < HEAD_AT < HEADER_WORDS and ENTRY_RESULT < ENTRY_WORDS
