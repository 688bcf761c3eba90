"""Many slots of a ring at once: a load for each word costs several times as much as a slice of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from engine.memory import layout
from engine.memory.layout import SLOT_WORDS
from engine.payment import Payment
from engine.ring.ring import RingReader

ALONE: Final = 4  # a run of fewer slots is read slot by slot


def read(ring: RingReader, positions: Sequence[int]) -> list[Payment | None]:
    """The payments at ``positions``, which ascend; None where a slot has been given to another one.

    Each is as :meth:`engine.ring.ring.RingReader.read` has it, at a moment of its own.
    """
    found = list[Payment | None]()
    for begin, end in _runs(positions, ring.slots):
        found += map(ring.read, range(begin, end)) if end - begin < ALONE else _run(ring, begin, end)
    return found


def _run(ring: RingReader, begin: int, end: int) -> Iterator[Payment | None]:
    """The payments from ``begin`` to ``end``, the latter excluded, whose slots stand side by side."""
    words, first = ring.words, ring.offset(begin)
    last = first + (end - begin) * SLOT_WORDS
    # In this order: the dispatcher stores the progress after what it says of a payment's end, and who accepts the next
    # payment into a slot takes the sequence away first.
    progress = _list(words[first + layout.SLOT_PROGRESS : last : SLOT_WORDS])
    slots = _list(words[first:last])
    sequences = _list(words[first + layout.SLOT_SEQUENCE : last : SLOT_WORDS])
    return map(
        _payment,
        range(begin, end),
        sequences,
        progress,
        *(
            slots[field::SLOT_WORDS]
            for field in (
                layout.SLOT_ID_HIGH,
                layout.SLOT_ID_LOW,
                layout.SLOT_CENTS,
                layout.SLOT_ACCEPTED_MS,
                layout.SLOT_ORIGIN,
                layout.SLOT_REQUESTED_MS,
                layout.SLOT_SETTLED,
                layout.SLOT_FIRST_MS,
            )
        ),
    )


def _payment(
    position: int, sequence: int, word: int, id_high: int, id_low: int, cents: int, accepted_ms: int, origin: int,
    requested_ms: int, settled: int, first_ms: int,
) -> Payment | None:  # fmt: skip
    if sequence != position + 1:
        return None
    reason = settled >> layout.REASON_SHIFT
    # As layout.unpack_progress; spelled out, because this is done for every payment.
    if word >> 32 == position & layout.TAG_MASK:
        state, processor, attempts = word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFFFF
    else:
        state, processor, attempts = layout.QUEUED, 0, 0
    if attempts < 2 and not (reason == layout.REASON_AMOUNT and state == layout.COMPLETED):
        first_ms = requested_ms
    return Payment(
        position, id_high, id_low, cents, accepted_ms, state, processor, attempts, requested_ms,
        settled & layout.SETTLED_MS_MASK, reason, origin, first_ms,
    )  # fmt: skip


def _runs(positions: Sequence[int], slots: int) -> Iterator[tuple[int, int]]:
    """Stretches (from, to; to excluded) of positions, of which each is one piece of memory."""
    if isinstance(positions, range):  # of new payments: all but one look have one or two pieces of them
        bounds = [positions.start, *range(-(-(positions.start + 1) // slots) * slots, positions.stop, slots)]
        yield from zip(bounds, [*bounds[1:], positions.stop], strict=True) if positions else ()
        return
    begin = end = positions[0] if positions else 0
    for position in positions:
        if position != end or not position & slots - 1:
            if begin < end:
                yield begin, end
            begin = position
        end = position + 1
    if begin < end:
        yield begin, end


def _list(words: Any) -> list[int]:
    return words.tolist()  # type: ignore[no-any-return]  # of a memoryview or an array
