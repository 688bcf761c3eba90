"""The layout of the memory between a cell's agent, its API processes and its dispatcher: ``NAME-cell``, one for each
cell, only with ENGINE_DURABILITY=cluster. docs/cells.md says what it is for.

====================  ==========  ===========================================================================
words                 writer      content
====================  ==========  ===========================================================================
0 .. 15               maker       header: magic, layout version, rings, slots, generation
16 .. 47              agent       header: term, epoch, what may be done until when, how far mail has come
48 .. 63              dispatcher  header: life, term, how far mail has come, until when the books are complete
64 ..                 agent       mail to the dispatcher: MAIL_SLOTS messages of MESSAGE_WORDS each
then                  dispatcher  mail to the agent, in the same form
then                  agent       for each ring, for each slot: what the store says of the payment in it
====================  ==========  ===========================================================================

A *term* is a span in which nothing is taken back: from the moment that the agent begins with what an epoch holds until
the epoch is over, or the agent or the dispatcher is another process. Mail and verdicts say their term. What an earlier
term has said counts no more.

Nothing in here outlives an agent and a dispatcher that are both new: the store has it all. So older layouts are not
read, and memory that does not fit is made anew.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from engine.memory.words import Words

CELL_MAGIC: Final = int.from_bytes(b"eng-cell", "little")
CELL_LAYOUT_VERSION: Final = 1
MAGIC_AT: Final = 0  # written last when it is made
LAYOUT_AT: Final = 1
RINGS_AT: Final = 2
SLOTS_AT: Final = 3  # of each ring
GENERATION_AT: Final = 4  # the engine's generation: rings and books that were made anew need another one

TERM_AT: Final = 16  # agent: the number of the term, from 1 on; never the same twice
EPOCH_AT: Final = 17  # agent: the epoch in the store; 0: it has none
CELL_AT: Final = 18  # agent: the cell's number in the store
ERA_AT: Final = 19  # agent: the store's era
MAY_BEGIN_MS_AT: Final = 20  # agent: the engine's clock until which payments are accepted, and sent for the first time
HEARTBEAT_MS_AT: Final = 21  # agent: the engine's clock at its last pass
HEARD_MS_AT: Final = 22  # agent: the engine's clock when the store answered a renewal last
AHEAD_MS_AT: Final = 23  # agent: how far the wall clock is ahead of the store's, modulo 2^64
LIVING_AT: Final = 24  # agent: cells whose lease runs
HELD_AT: Final = 25  # agent: open payments that this cell holds
ADOPTED_AT: Final = 26  # agent: how many of them were pinned by an earlier life or by another cell, and are open
STANDING_AT: Final = 27  # agent: how the cell stands among the others, one of Standing
TO_DISPATCHER_TAIL_AT: Final = 32  # agent: messages below it are published
TO_AGENT_HEAD_AT: Final = 33  # agent: messages below it are read

LIFE_AT: Final = 48  # dispatcher: random, another one for each process
TAKEN_UP_AT: Final = 49  # dispatcher: the term that it has begun with
COMPLETE_MS_AT: Final = 50  # dispatcher: UTC; the books have all that any cell has settled with an earlier requestedAt
TO_DISPATCHER_HEAD_AT: Final = 56  # dispatcher: messages below it are read
TO_AGENT_TAIL_AT: Final = 57  # dispatcher: messages below it are published

MAIL_AT: Final = 64
MAIL_SLOTS: Final = 8192  # in each direction; a power of two
MESSAGE_WORDS: Final = 8
MAIL_WORDS: Final = MAIL_SLOTS * MESSAGE_WORDS
VERDICTS_AT: Final = MAIL_AT + 2 * MAIL_WORDS

# A verdict: the low half of the position, 16 bits of the term, 8 bits of a reason, 8 bits of what the store says.
UNKNOWN: Final = 0
HELD: Final = 1  # the store has it for this cell, by this very offer: it is paid from its slot
ELSEWHERE: Final = 2  # the store had it before, for the same amount: it is not paid from this slot
CONFLICT: Final = 3  # the store had it before, for another amount
FAILED: Final = 4  # the store had it before, and it was given up for this reason
AWAY: Final = 5  # nothing is known: whoever handed it in must hand it in again
_TERM_MASK: Final = 0xFFFF


class Standing(IntEnum):
    """How a cell stands among the others."""

    JOINING = 0  # it has no epoch
    WAITING = 1  # it has one, and no lease yet
    LIVES = 2  # it accepts, and sends
    WITHOUT_LEASE = 3  # the store has not answered for as long as a lease
    APART = 4  # its clock is too far from the store's: it sends nothing for the first time
    LEAVING = 5  # it was asked to stop


def cell_words(rings: int, slots: int) -> int:
    """Length of the segment."""
    return VERDICTS_AT + rings * slots


def lay_out_cell(words: Words, rings: int, slots: int, generation: int) -> None:
    """Turns zeroed memory into that of a cell that has begun nothing."""
    words[LAYOUT_AT] = CELL_LAYOUT_VERSION
    words[RINGS_AT], words[SLOTS_AT] = rings, slots
    words[GENERATION_AT] = generation
    words[MAGIC_AT] = CELL_MAGIC


def is_usable(words: Words) -> bool:
    """Whether it can be read."""
    is_whole = len(words) >= VERDICTS_AT and words[MAGIC_AT] == CELL_MAGIC
    return is_whole and words[LAYOUT_AT] == CELL_LAYOUT_VERSION


def complaint(words: Words, rings: int, slots: int, generation: int) -> str:
    """Why this memory is not that of the cell with these rings; ``""`` if it is."""
    if len(words) < VERDICTS_AT or words[MAGIC_AT] != CELL_MAGIC:
        return "it was not finished"
    if words[LAYOUT_AT] != CELL_LAYOUT_VERSION:
        return f"it has layout version {words[LAYOUT_AT]}, this engine writes {CELL_LAYOUT_VERSION}"
    if (words[RINGS_AT], words[SLOTS_AT], words[GENERATION_AT]) != (rings, slots, generation):
        return "rings and books were made anew"
    return ""


def verdict_at(slots: int, ring: int, position: int) -> int:
    """Where the verdict on the payment at ``position`` of this ring is."""
    return VERDICTS_AT + ring * slots + (position & (slots - 1))


def ahead_ms(words: Words) -> int:
    """How far the wall clock is ahead of the store's; below 0: behind."""
    ahead = words[AHEAD_MS_AT]
    return ahead - (1 << 64) if ahead >> 63 else ahead


def pack_verdict(position: int, term: int, verdict: int, reason: int = 0) -> int:
    """A verdict as one word."""
    return (position & 0xFFFFFFFF) << 32 | (term & _TERM_MASK) << 16 | reason << 8 | verdict


def unpack_verdict(word: int, position: int, term: int) -> tuple[int, int]:
    """(verdict, reason) on the payment at ``position``. It is AWAY when it was said in another term than ``term``."""
    if word >> 32 != position & 0xFFFFFFFF or word & 0xFF == UNKNOWN:
        return UNKNOWN, 0
    if word >> 16 & _TERM_MASK != term & _TERM_MASK:
        return AWAY, 0
    return word & 0xFF, word >> 8 & 0xFF


assert STANDING_AT < TO_DISPATCHER_TAIL_AT and TO_AGENT_HEAD_AT < LIFE_AT and TO_AGENT_TAIL_AT < MAIL_AT
assert MAIL_SLOTS & (MAIL_SLOTS - 1) == 0
