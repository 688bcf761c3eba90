"""Reads memory of an old layout as if it had today's. The old memory itself is only read.

So an engine may be started, killed and started again on the way. Until the new memory is in force, the old memory stays
as its own engine has left it, and that engine may go on with it. The recovery after a crash or a loss of power
(:mod:`engine.storage.recovery`) is done here to copies.

What layout 1 did not keep:

- An engine's clock. Ages were measured on the wall clock. So the engine's clock begins at the time of the wall clock,
  and a payment keeps its time of acceptance, but never a later one than now.
- The earliest requestedAt of several attempts. The time of acceptance is used for it, because it is not later.
- Why a payment has failed. There was only one reason: it was too old.
- A generation, see :data:`engine.storage.old_layouts.GENERATION_OF_LAYOUT_1`.
- Fingerprints of addresses. The first addresses that are set count as the right ones.
- Spans of a wall clock that was set back. None are known.
- The slot that a parked payment had. It is found by its id.
- Dead letters, discrepancies, what was charged before, refusals: there were none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import overload

from engine.books import listed
from engine.books.writer import log_check
from engine.memory import clock, layout
from engine.memory.errors import SegmentError
from engine.memory.words import Words, zeros
from engine.ring import repair
from engine.storage import old_layouts, recovery
from engine.storage.migration import Memory
from engine.storage.old_layouts import OldLayout

Entry = tuple[int, int]  # of a redo log: word of a segment, value
_WORD_MASK = (1 << layout.ADDRESS_SEGMENT_SHIFT) - 1
_KEPT, _SETTLED = 1, 2  # what layout 1 says of a parked payment


def read(old: OldLayout, books: Words, rings: Sequence[Words], now_ms: int) -> Memory:
    """All of an engine's memory, in today's layout; ``now_ms``: the wall clock.

    Raises SegmentError if the memory was not left whole when the machine went down.
    """
    log = _log(old, books)
    today_rings = []
    for index, words in enumerate(rings):
        try:
            today_rings.append(_ring(old, words, log.get(index + 1, []), now_ms))
        except SegmentError as error:
            raise SegmentError(f"ring {index}: {error}") from error
    return _books(old, _copy(books, log[0]) if 0 in log else books, today_rings, now_ms)


def _log(old: OldLayout, books: Words) -> dict[int, list[Entry]]:
    """The committed log of a killed dispatcher: for each segment (0: books, i + 1: ring i) its entries."""
    count = books[layout.BOOKS_REDO_COUNT_AT]
    if books[old.boot_at] != recovery.boot():
        recovery.check_state(books[old.clean_at])
        if books[old.clean_at] == layout.SYNCED and not (
            count <= old.redo_entries and books[old.check_at] == log_check(books, old.redo_at, count)
        ):
            count = 0  # the log had not reached the disk: nothing of it has been applied
    log: dict[int, list[Entry]] = {}
    for at in range(old.redo_at, old.redo_at + 2 * count, 2):
        address, value = books[at], books[at + 1]
        log.setdefault(address >> layout.ADDRESS_SEGMENT_SHIFT, []).append((address & _WORD_MASK, value))
    return log


def _ring(old: OldLayout, words: Words, log: Sequence[Entry], now_ms: int) -> Words:
    """A ring in today's layout, with ``log`` applied; the old words themselves if they need no change."""
    is_rebooted = words[layout.RING_BOOT_AT] != recovery.boot()
    if is_rebooted:
        recovery.check_state(words[layout.RING_CLEAN_AT])
        recovery.check_state(words[layout.RING_CLOSED_AT])
    if log or (is_rebooted and old is old_layouts.LAYOUT_2):
        words = _copy(words, log)
    if old is old_layouts.LAYOUT_1:
        words = _ring_of_layout_1(words, now_ms)
    if is_rebooted:
        repair.repair(words)
    return words


def _ring_of_layout_1(words: Words, now_ms: int) -> Words:
    """The same payments in slots of today."""
    old, slots = old_layouts.LAYOUT_1, words[layout.RING_SLOTS_AT]
    today = zeros(layout.ring_words(slots))
    begin = layout.slot_offset(slots, 0)
    today[:begin] = words[:begin]
    _rearrange(words, begin, old.slot_words, old.slot, today, begin, layout.SLOT_WORDS)
    for at in range(begin, len(today), layout.SLOT_WORDS):
        position = today[at + layout.SLOT_SEQUENCE] - 1
        if position < 0:
            continue
        # In its sum, the word that did not exist counts as 0.
        is_whole = today[at + layout.SLOT_CHECK] == _check(today, at, position)
        today[at + layout.SLOT_ORIGIN] = min(today[at + layout.SLOT_ACCEPTED_MS], now_ms)
        today[at + layout.SLOT_CHECK] = _check(today, at, position) ^ (not is_whole)
        today[at + layout.SLOT_FIRST_MS] = min(
            today[at + layout.SLOT_ACCEPTED_MS], today[at + layout.SLOT_REQUESTED_MS]
        )
        if layout.unpack_progress(position, today[at + layout.SLOT_PROGRESS])[0] == layout.FAILED:
            settled_ms = today[at + layout.SLOT_SETTLED]
            today[at + layout.SLOT_SETTLED] = layout.pack_settled(settled_ms, layout.REASON_TOO_OLD)
    return today


def _check(words: Words, at: int, position: int) -> int:
    """The sum over the payment of the slot at ``at``."""
    return layout.slot_check(
        position,
        words[at + layout.SLOT_ID_HIGH],
        words[at + layout.SLOT_ID_LOW],
        words[at + layout.SLOT_CENTS],
        words[at + layout.SLOT_ACCEPTED_MS],
        words[at + layout.SLOT_ORIGIN],
    )


def _books(old: OldLayout, books: Words, rings: Sequence[Words], now_ms: int) -> Memory:
    """The books in today's layout. Their levels are read in place."""
    shape = old_layouts.shape_of(books)
    parked_at = layout.REDO_AT
    front = zeros(parked_at + shape.parked_slots * layout.PARKED_WORDS)
    for today, then, count in old.header:
        front[today : today + count] = books[then : then + count]
    front[layout.BOOKS_MAGIC_AT] = layout.BOOKS_MAGIC
    front[layout.BOOKS_LAYOUT_AT] = layout.LAYOUT_VERSION
    front[layout.BOOKS_PROCESSORS_AT] = len(old_layouts.NAMES)
    listed.write(old_layouts.NAMES, front)
    front[layout.BOOKS_RINGS_AT] = len(rings)
    front[layout.BOOKS_GENERATION_AT] = old_layouts.generations_of_books(books)[0]
    _rearrange(books, old.parked_at(books), old.parked_words, old.parked, front, parked_at, layout.PARKED_WORDS)
    if old is old_layouts.LAYOUT_1:
        _mend_header_of_layout_1(front, now_ms)
        _mend_parked_of_layout_1(front, parked_at, _homes(rings), now_ms)
    elif books[old.boot_at] != recovery.boot():
        clock.go_on(front)
    shift = len(front) + old.levels_at - shape.levels[0].counts_at[0]
    moved = tuple(
        replace(
            level,
            counts_at=tuple(at + shift for at in level.counts_at),
            cents_at=tuple(at + shift for at in level.cents_at),
        )
        for level in shape.levels
    )
    words = _Joined(front, books)
    return Memory(words, replace(shape, levels=moved, parked_at=parked_at, words=len(words)), rings)


def _mend_header_of_layout_1(front: Words, now_ms: int) -> None:
    for cents_at, carry_at in (
        *((layout.BOOKS_TOTALS_AT + 2 * one + 1, layout.BOOKS_CARRIES_AT + one) for one in range(2)),
        (layout.BOOKS_FAILED_AT + 1, layout.BOOKS_FAILED_CARRY_AT),
    ):
        front[carry_at], front[cents_at] = divmod(front[cents_at], layout.SUM_MODULUS)
    front[layout.STATUS_CLOCK_MS] = now_ms
    clock.go_on(front)


def _mend_parked_of_layout_1(front: Words, parked_at: int, homes: Mapping[tuple[int, int], int], now_ms: int) -> None:
    states = {_KEPT: 1 + layout.PROCESSING, _SETTLED: 1 + layout.COMPLETED}
    for at in range(parked_at, len(front), layout.PARKED_WORDS):
        word = front[at + layout.PARKED_ERA_AND_STATE]
        state = states.get(word & 0xFF, layout.PARKED_FREE)
        if state != layout.PARKED_FREE:
            front[at + layout.PARKED_ERA_AND_STATE] = word & ~0xFF | state
            accepted_ms = front[at + layout.PARKED_ACCEPTED_MS]
            front[at + layout.PARKED_ORIGIN] = min(accepted_ms, now_ms)
            front[at + layout.PARKED_FIRST_MS] = min(accepted_ms, front[at + layout.PARKED_REQUESTED_MS])
            key = front[at + layout.PARKED_ID_HIGH], front[at + layout.PARKED_ID_LOW]
            front[at + layout.PARKED_HOME] = homes.get(key, 0)


def _homes(rings: Sequence[Words]) -> dict[tuple[int, int], int]:
    """The word PARKED_HOME of each parked payment that still has its slot, by its id."""
    homes = {}
    for index, words in enumerate(rings):
        for at in range(layout.slot_offset(words[layout.RING_SLOTS_AT], 0), len(words), layout.SLOT_WORDS):
            position = words[at + layout.SLOT_SEQUENCE] - 1
            state = layout.unpack_progress(position, words[at + layout.SLOT_PROGRESS])[0]
            if position >= 0 and state == layout.PARKED:
                key = words[at + layout.SLOT_ID_HIGH], words[at + layout.SLOT_ID_LOW]
                homes[key] = layout.pack_home(index, position)
    return homes


def _rearrange(
    source: Words, first: int, width: int, places: Iterable[int | None], target: Words, begin: int, new_width: int
) -> None:
    """Copies records of ``width`` words to records of ``new_width``: word n of each was the word ``places[n]``."""
    records = (len(source) - first) // width
    for word, place in enumerate(places):
        if place is not None:
            for record in range(records):
                target[begin + record * new_width + word] = source[first + record * width + place]


def _copy(words: Words, log: Iterable[Entry]) -> Words:
    """A copy in private memory, with a log applied."""
    made = zeros(len(words))
    made[:] = words[:]
    for at, value in log:
        made[at] = value
    return made


class _Joined:
    """Two pieces of words, one behind the other, for reading only. A slice must lie in one of them."""

    def __init__(self, first: Words, second: Words) -> None:
        self._first = first
        self._second = second
        self._border = len(first)

    def __len__(self) -> int:
        return self._border + len(self._second)

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Words: ...
    def __getitem__(self, index: int | slice, /) -> int | Words:
        if isinstance(index, int):
            return self._first[index] if index < self._border else self._second[index - self._border]
        if index.start < self._border:
            assert index.stop <= self._border
            return self._first[index]
        return self._second[index.start - self._border : index.stop - self._border]

    def __setitem__(self, index: int | slice, value: int | Words, /) -> None:
        raise TypeError("memory of an old layout is only read")
