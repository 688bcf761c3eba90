"""Finds the payments of a ring that are not done, thousands of slots at once. Pure, for the dispatcher.

Nearly all slots of a large ring hold payments that are done. Reading them one by one takes longer than a dispatcher may
be deaf. So the words with the states of a block of slots are copied together, and a block in which everything is done
is recognised by two comparisons of bytes.

Only the dispatcher writes these words, and it is the caller. So they do not change meanwhile. An API process may give a
slot away meanwhile, but only that of a payment that is done.

*Limit*: the bytes of a word are counted from its low end, as in a little-endian machine.
"""

from __future__ import annotations

from array import array
from typing import cast

from engine.memory import layout
from engine.memory.layout import ALREADY, PROCESSING, QUEUED, SLOT_PROGRESS, SLOT_SEQUENCE, SLOT_WORDS
from engine.memory.words import WORD_BYTES
from engine.ring.ring import DONE, RingReader

BLOCK = 1024  # slots that are read together
TOUCHED_TOGETHER = 8  # so many sent payments in a row are not probes among those that wait
_DONE = bytes(DONE)
_TAG = layout.TAG_MASK  # of a position, in the upper half of its progress word


def unfinished(ring: RingReader, positions: range) -> tuple[list[range], list[int]]:
    """Which of ``positions`` wait, as ranges without a gap, and which were sent and are not over, both in order.

    A payment waits if it may be sent anywhere. One was sent if it belongs to a processor: PROCESSING or ALREADY.
    """
    waiting: list[range] = []
    sent: list[int] = []
    start = positions.start
    while start < positions.stop:
        lap_ends = (start // ring.slots + 1) * ring.slots
        block = range(start, min(start + BLOCK, lap_ends, positions.stop))
        progress = _column(ring, block, SLOT_PROGRESS)
        states = bytes(progress[::WORD_BYTES])
        if not _are_done(block, progress, states):
            _add_waiting(waiting, _waiting(ring, block, progress.cast("Q")))
            if PROCESSING in states or ALREADY in states:
                sent += _sent(block, progress.cast("Q"))
        start = block.stop
    return waiting, sent


def first_waiting(ring: RingReader, positions: range) -> int:
    """About where those of ``positions`` begin that were never sent. It is a guess: single probes are among them, and
    whatever is believed because of it must be true in any case.
    """
    low, high = positions.start, positions.stop
    while low < high:
        middle = (low + high) // 2
        beside = range(middle, min(middle + TOUCHED_TOGETHER, positions.stop))
        if all(_is_touched(ring, position) for position in beside):
            low = middle + 1
        else:
            high = middle
    while low < positions.stop and _is_touched(ring, low):
        low += 1
    return low


def _is_touched(ring: RingReader, position: int) -> bool:
    return ring.words[ring.offset(position) + SLOT_PROGRESS] >> 32 == position & _TAG


def _column(ring: RingReader, block: range, field: int) -> memoryview:
    """A copy of the word ``field`` of each slot of ``block``, which lies in one lap, as bytes."""
    begin = ring.offset(block.start)
    column = ring.words[begin + field : begin + len(block) * SLOT_WORDS : SLOT_WORDS]
    return memoryview(memoryview(cast(memoryview, column)).tobytes())


def _are_done(block: range, progress: memoryview, states: bytes) -> bool:
    """Whether each word says that the payment of its own position is done."""
    if states.translate(None, _DONE):
        return False
    first = block.start & _TAG
    own = range(first, first + len(block))
    return own[-1] <= _TAG and progress.cast("I")[1::2].tobytes() == array("I", own).tobytes()


def _waiting(ring: RingReader, block: range, progress: memoryview) -> list[int]:
    """Those whose word is an older payment's, or says QUEUED, and whose slot was not given away."""
    sequences = _column(ring, block, SLOT_SEQUENCE).cast("Q")
    return [
        position
        for position, word, sequence in zip(block, progress, sequences, strict=True)
        if (word >> 32 != position & _TAG or word & 0xFF == QUEUED) and sequence == position + 1
    ]


def _sent(block: range, progress: memoryview) -> list[int]:
    return [
        position
        for position, word in zip(block, progress, strict=True)
        if word & 0xFF in (PROCESSING, ALREADY) and word >> 32 == position & _TAG
    ]


def _add_waiting(runs: list[range], positions: list[int]) -> None:
    """Adds ``positions``, which come after all of ``runs``, as ranges without a gap."""
    if positions and positions[-1] - positions[0] < len(positions):
        pieces = [range(positions[0], positions[-1] + 1)]
    else:
        pieces = [range(position, position + 1) for position in positions]
    for piece in pieces:
        if runs and runs[-1].stop == piece.start:
            runs[-1] = range(runs[-1].start, piece.stop)
        else:
            runs.append(piece)
