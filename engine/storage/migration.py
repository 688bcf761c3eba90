"""Takes over the contents of an engine's memory into new memory of other sizes. Pure, over words.

First :func:`plan` says where everything goes, and refuses if there is no room. Then :func:`carry_over` copies.
Unfinished payments are copied with all that is known of them: in the rings in the order of age, in the parking table as
they are. Payments that are done are copied as far as there is room, the newest first: clients may ask for their status,
or send them again. Totals, counters and the engine's clock stay the same. The levels of the books keep what the new
levels can hold.

No process may use the old memory meanwhile, and its redo log must have been applied. The old memory is not changed, so
this may be cut short anywhere and begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.books import listed, parked
from engine.books.levels import Level, Shape, lay_out_books
from engine.memory import layout
from engine.memory.words import Words, packed, zeros
from engine.ring.ring import DONE, RingReader

SEEDS_MAX = 100  # seeds of the parking table that are tried until every open payment finds a place

# Words of the header that belong to these books alone; all others are taken over.
_OWN_WORDS = frozenset(
    (
        layout.BOOKS_MAGIC_AT,
        layout.BOOKS_LAYOUT_AT,
        layout.BOOKS_RECENT_SECONDS_AT,
        layout.BOOKS_HORIZON_HOURS_AT,
        layout.BOOKS_VERSION_AT,
        layout.BOOKS_REDO_COUNT_AT,
        layout.BOOKS_PARKED_SLOTS_AT,
        layout.BOOKS_PARKED_SEED_AT,
        layout.BOOKS_BOOT_AT,
        layout.BOOKS_CLEAN_AT,
        layout.BOOKS_REDO_CHECK_AT,
        layout.BOOKS_GENERATION_AT,
        layout.BOOKS_RINGS_AT,
        layout.BOOKS_REPLACED_AT,
        layout.BOOKS_PROCESSORS_AT,
        *layout.BOOKS_ANCESTORS_AT,
        layout.BOOKS_LEDGER_AT,
        *range(layout.BOOKS_LEDGER_STATUS_AT, layout.BOOKS_NAMES_AT),
        *range(layout.BOOKS_NAMES_AT, layout.BOOKS_TOTALS_AT),
    )
)


class MisfitError(Exception):
    """Unfinished payments do not fit, or cannot be read. Holds a sentence."""


class Memory(NamedTuple):
    """The words of an engine."""

    books: Words
    shape: Shape
    rings: Sequence[Words]


class Slot(NamedTuple):
    """The place of a payment in the old rings; ``clock_ms``: when it was accepted."""

    clock_ms: int
    ring: int
    position: int


class Plan(NamedTuple):
    """Where everything goes.

    ``rings``: for each new ring, the payments that it gets, in the order of its positions. ``seed``: of the new parking
    table. ``parked``: for each new parking place, the old one.
    """

    rings: list[list[Slot]]
    seed: int
    parked: dict[int, int]


class Unfinished(NamedTuple):
    """How many payments are not done."""

    in_rings: int
    parked: int


def unfinished(memory: Memory) -> Unfinished:
    """How many payments are waiting or under way, and how many are parked. Raises MisfitError."""
    waiting, _ = _payments(memory.rings)
    return Unfinished(len(waiting), sum(1 for _ in parked.open_payments(memory.books.__getitem__, memory.shape)))


def plan(
    old: Memory,
    ring_count: int,
    ring_slots: int,
    shape: Shape,
    draw: Callable[[], int],
    waits_for_ledger: bool = False,
) -> Plan:
    """Where everything goes in ``ring_count`` rings of ``ring_slots`` and books of ``shape``; ``draw`` gives seeds.

    ``waits_for_ledger``: what is over, and not in SQL, has room as if it were not over. Raises MisfitError.
    """
    if waits_for_ledger and any(ring[layout.RING_LEDGER_AT] < ring[layout.RING_FORGOTTEN_AT] for ring in old.rings):
        raise MisfitError("payments that a purge has ended are not in the ledger yet: start once with the old sizes")
    waiting, done = _payments(old.rings, waits_for_ledger)
    if len(waiting) > ring_count * ring_slots:
        what = "unfinished, or not in the ledger" if waits_for_ledger else "unfinished"
        raise MisfitError(
            f"{len(waiting)} payments are {what}, and ENGINE_API_PROCESSES x ENGINE_RING_SLOTS has room for "
            f"{ring_count} x {ring_slots}"
        )
    # In each ring, payments that are done come first, so that it can reuse their slots before it has to wait.
    dealt = [waiting[index::ring_count] for index in range(ring_count)]
    room = [ring_slots - len(slots) for slots in dealt]
    targets = (index for level in range(ring_slots) for index in range(ring_count) if level < room[index])
    remembered: list[list[Slot]] = [[] for _ in range(ring_count)]
    for slot, index in zip(reversed(done), targets, strict=False):
        remembered[index].append(slot)
    rings = [newest_first[::-1] + slots for newest_first, slots in zip(remembered, dealt, strict=True)]
    return Plan(rings, *_plan_parked(old, shape, draw, waits_for_ledger))


def carry_over(plan: Plan, old: Memory, new: Memory) -> None:
    """Fills ``new``, whose rings are laid out and whose books are all 0, with what ``old`` holds."""
    old_rings = [RingReader(words) for words in old.rings]
    accepted = sum(ring.head - ring.forgotten_below for ring in old_rings)
    homes: dict[int, int] = {}  # the words PARKED_HOME, of old and of new
    for index, (words, slots) in enumerate(zip(new.rings, plan.rings, strict=True)):
        # The number of all positions stays the number of all accepted payments: the first ring has the positions of
        # payments that are not remembered any more.
        head = len(slots) if index else accepted - sum(map(len, plan.rings[1:]))
        _carry_ring(words, head, slots, old_rings)
        for position, slot in enumerate(slots, head - len(slots)):
            homes[layout.pack_home(slot.ring, slot.position)] = layout.pack_home(index, position)
        words[layout.RING_SUMMARY_MS_AT] = max((ring.words[layout.RING_SUMMARY_MS_AT] for ring in old_rings), default=0)
    _carry_books(plan, old, new, homes)
    new.rings[0][layout.RING_REFUSED_AT] = sum(ring.words[layout.RING_REFUSED_AT] for ring in old_rings)


def _payments(rings: Sequence[Words], waits_for_ledger: bool = False) -> tuple[list[Slot], list[Slot]]:
    """All payments that the rings hold, the oldest first: those that are not done, and those that are done.

    ``waits_for_ledger``: what SQL does not have is not done.
    """
    waiting: list[Slot] = []
    done: list[Slot] = []
    for index, words in enumerate(rings):
        ring = RingReader(words)
        for position in range(max(0, ring.head - ring.slots, ring.forgotten_below), ring.head):
            at = ring.offset(position)
            if words[at + layout.SLOT_SEQUENCE] != position + 1:
                if not ring.is_done(position):
                    raise MisfitError(f"ring {index} is damaged at position {position}")
                continue
            if not ring.is_whole(position):
                raise MisfitError(f"ring {index} is damaged at position {position}")
            state = layout.unpack_progress(position, words[at + layout.SLOT_PROGRESS])[0]
            slot = Slot(words[at + layout.SLOT_ORIGIN] & layout.ORIGIN_CLOCK_MASK, index, position)
            is_recorded = not waits_for_ledger or position < words[layout.RING_LEDGER_AT]
            (done if state in DONE and is_recorded else waiting).append(slot)
    return sorted(waiting), sorted(done)


def _carry_ring(words: Words, head: int, slots: Sequence[Slot], old_rings: Sequence[RingReader]) -> None:
    """Puts ``slots`` at the last positions below ``head``."""
    ring = RingReader(words)
    first = head - len(slots)
    for position in range(max(0, head - ring.slots), first):  # their payments were done, and are not remembered
        words[ring.offset(position) + layout.SLOT_PROGRESS] = layout.pack_progress(position, layout.COMPLETED, 0, 0)
    for position, slot in enumerate(slots, first):
        old = old_rings[slot.ring]
        begin = old.offset(slot.position)
        values = [old.words[begin + field] for field in range(layout.SLOT_WORDS)]
        progress = layout.unpack_progress(slot.position, values[layout.SLOT_PROGRESS])
        values[layout.SLOT_SEQUENCE] = position + 1
        values[layout.SLOT_CHECK] = layout.slot_check(
            position,
            values[layout.SLOT_ID_HIGH],
            values[layout.SLOT_ID_LOW],
            values[layout.SLOT_CENTS],
            values[layout.SLOT_ACCEPTED_MS],
            values[layout.SLOT_ORIGIN],
        )
        values[layout.SLOT_PROGRESS] = layout.pack_progress(position, *progress)
        at = ring.offset(position)
        words[at : at + layout.SLOT_WORDS] = packed(values)
        ring.chain(position)
    words[layout.RING_HEAD_AT] = head
    words[layout.RING_READY_AT] = head


def _carry_books(plan: Plan, old: Memory, new: Memory, homes: Mapping[int, int]) -> None:
    words = new.books
    lay_out_books(words, new.shape, plan.seed)
    for at in range(layout.REDO_AT):
        if at not in _OWN_WORDS:
            words[at] = old.books[at]
    for have, want in zip(old.shape.levels, new.shape.levels, strict=True):
        _carry_level(old.books, have, words, want)
    for place, old_place in plan.parked.items():
        begin, at = (
            shape.parked_at + number * layout.PARKED_WORDS
            for shape, number in ((old.shape, old_place), (new.shape, place))
        )
        words[at : at + layout.PARKED_WORDS] = old.books[begin : begin + layout.PARKED_WORDS]
        words[at + layout.PARKED_HOME] = homes.get(old.books[begin + layout.PARKED_HOME], 0)
        words[at + layout.PARKED_REFUSALS] &= (1 << 8 * new.shape.processors) - 1
    _forget_others(old.books, words)


def _forget_others(old: Words, new: Words) -> None:
    """Empties the words of processors that are not in the list any more, or not in the same place.

    They have settled nothing (:mod:`engine.storage.list_changes`), but they may have an address and a status.
    """
    had, has = listed.read(old), listed.read(new)
    for number, name in enumerate(had):
        if has[number : number + 1] != (name,):
            new[layout.BOOKS_FINGERPRINTS_AT + number] = 0
            new[layout.BOOKS_PAUSED_AT] &= ~(1 << number)
            begin = layout.STATUS_PROCESSORS + number * layout.STATUS_PROCESSOR_WORDS
            new[begin : begin + layout.STATUS_PROCESSOR_WORDS] = zeros(layout.STATUS_PROCESSOR_WORDS)


def _carry_level(old: Words, have: Level, new: Words, want: Level) -> None:
    """Copies the valid buckets that the new level can hold."""
    floor, head = old[have.floor_at], old[have.head_at]
    if floor <= head:  # else nothing is valid, and the next opening must see why
        floor = max(floor, head - want.buckets + 1)
        arrays = (*zip(have.counts_at, want.counts_at, strict=False), *zip(have.cents_at, want.cents_at, strict=False))
        for source, target in arrays:  # of the processors that both have
            for first, end in _spans(floor, head + 1, have.buckets, want.buckets):
                begin, at, count = source + first % have.buckets, target + first % want.buckets, end - first
                new[at : at + count] = old[begin : begin + count]
    new[want.floor_at], new[want.head_at] = floor, head


def _spans(first: int, end: int, *lengths: int) -> Iterator[tuple[int, int]]:
    """The numbers from ``first`` up to ``end``, in pieces that do not wrap around in circles of these lengths."""
    while first < end:
        stop = min(end, *(first + length - first % length for length in lengths))
        yield first, stop
        first = stop


def _plan_parked(
    old: Memory, shape: Shape, draw: Callable[[], int], waits_for_ledger: bool = False
) -> tuple[int, dict[int, int]]:
    """A seed of the parking table with which every open payment finds a place, and what each new place gets."""
    get = old.books.__getitem__
    read = [parked.read(get, old.shape, place) for place in range(old.shape.parked_slots)]
    known = [payment for payment in read if payment is not None]
    kept = [
        payment
        for payment in known
        if 1 + payment.state in layout.PARKED_OPEN
        or (waits_for_ledger and not parked.is_recorded(get, old.shape, payment.position))
    ]
    done = [payment for payment in known if payment not in kept]
    done.sort(key=lambda payment: payment.settled_ms, reverse=True)
    # With the old seed all find a place in a table of the same size, or of a multiple of it, but for that of an old
    # layout, whose buckets were others.
    seed = get(layout.BOOKS_PARKED_SEED_AT)
    for _ in range(SEEDS_MAX):
        ids = [[(one.position, one.id_high, one.id_low) for one in payments] for payments in (kept, done)]
        taken: dict[int, int] = {}
        if _place(taken, ids[0], shape, seed) == len(kept):
            _place(taken, ids[1], shape, seed)
            return seed, taken
        seed = draw()
    raise MisfitError(f"{len(kept)} payments are parked, and ENGINE_PARKED_SLOTS={shape.parked_slots} cannot hold them")


def _place(taken: dict[int, int], payments: Iterable[tuple[int, int, int]], shape: Shape, seed: int) -> int:
    """Gives as many as possible of (old place, high and low half of the id) a place; returns how many."""
    placed = 0
    for old_place, id_high, id_low in payments:
        # The seed is the only word of the books that a bucket depends on.
        free = (place for place in parked.bucket(lambda _: seed, shape, id_high, id_low) if place not in taken)
        place = next(free, None)
        if place is not None:
            taken[place] = old_place
            placed += 1
    return placed
