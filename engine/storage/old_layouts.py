"""The offsets of memory before layout 3. :mod:`engine.storage.old_memory` reads such memory with them.

Some things are the same in every layout, and therefore not in here: magic number, layout version and sizes in words 0
to 7 of a header, the whole header of a ring, its buckets behind it, the levels of the books, and the packing of a
slot's words.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.books import levels
from engine.books.levels import Shape
from engine.memory import layout
from engine.memory.words import Words
from engine.processors import CONTEST_NAMES

NAMES = CONTEST_NAMES  # the only processors that the old layouts have room for
# Stands for the generation of layout 1, whose segments have none: its rings may go when books say that it is replaced.
GENERATION_OF_LAYOUT_1 = 1
_ABSENT = None


@dataclass(frozen=True)
class OldLayout:
    """One old layout; all numbers are words.

    ``header``: runs of words of the books' header and status, as (place today, old place, how many); other words did
    not exist. ``redo_at``, ``redo_entries``: the redo log; the levels came after it. ``boot_at``, ``clean_at``,
    ``check_at``: the words of the books that :mod:`engine.storage.recovery` uses. ``generation_at``, ``replaced_at``,
    ``rings_at``: of the books, None if the layout had no such word. ``slot``, ``parked``: for each word of a slot, or
    of a parking place, in today's order, its old place.
    """

    version: int
    header: tuple[tuple[int, int, int], ...]
    redo_at: int
    redo_entries: int
    boot_at: int
    clean_at: int
    check_at: int
    generation_at: int | None
    replaced_at: int | None
    rings_at: int | None
    slot_words: int
    slot: tuple[int | None, ...]
    parked_words: int
    parked: tuple[int | None, ...]

    @property
    def levels_at(self) -> int:
        """Where the levels of the books began."""
        return self.redo_at + 2 * self.redo_entries

    def parked_at(self, books: Words) -> int:
        """Where the parking table of these books begins."""
        shape = shape_of(books)
        return self.levels_at + shape.parked_at - shape.levels[0].counts_at[0]

    def ring_words(self, slots: int) -> int:
        """Length of a ring's segment."""
        return layout.RING_HEADER_WORDS + slots + slots * self.slot_words

    def books_words(self, books: Words) -> int:
        """Length that these books should have."""
        return self.parked_at(books) + books[layout.BOOKS_PARKED_SLOTS_AT] * self.parked_words


# fmt: off
LAYOUT_1 = OldLayout(
    version=1,
    header=(
        (layout.BOOKS_RECENT_SECONDS_AT, 2, 2), (layout.BOOKS_PARKED_SLOTS_AT, 6, 2),
        (layout.BOOKS_LEVELS_AT, 16, 6), (layout.BOOKS_PARKED_KEPT_AT, 14, 1), (layout.BOOKS_PARKED_ERA_AT, 15, 1),
        (layout.BOOKS_PARKED_TAKEN_AT, 24, 1), (layout.BOOKS_FAILED_AT, 12, 2), (layout.BOOKS_TOTALS_AT, 8, 4),
    ),
    redo_at=128, redo_entries=1024, boot_at=25, clean_at=26, check_at=27,
    generation_at=None, replaced_at=None, rings_at=None,
    slot_words=10, slot=(0, 1, 2, 3, 4, _ABSENT, 5, 6, 7, 8, 9, _ABSENT),
    parked_words=8, parked=(0, 1, 2, 3, 4, _ABSENT, 5, 6, 7, _ABSENT, _ABSENT, _ABSENT),
)
LAYOUT_2 = OldLayout(
    version=2,
    header=(
        (layout.BOOKS_RECENT_SECONDS_AT, 2, 2), (layout.BOOKS_PARKED_SLOTS_AT, 6, 2),
        (layout.BOOKS_CLOCK_OFFSET_AT, 29, 1), (layout.BOOKS_LEVELS_AT, 16, 6), (layout.BOOKS_PARKED_KEPT_AT, 14, 1),
        (layout.BOOKS_PARKED_ERA_AT, 15, 1), (layout.BOOKS_PARKED_TAKEN_AT, 24, 1), (layout.BOOKS_DEAD_AT, 34, 1),
        (layout.BOOKS_DISCREPANCIES_AT, 32, 1), (layout.BOOKS_UNCONFIRMED_AT, 33, 1),
        (layout.BOOKS_FAILED_AT, 12, 2), (layout.BOOKS_FAILED_CARRY_AT, 45, 1), (layout.BOOKS_BEFORE_AT, 30, 2),
        (layout.BOOKS_BEFORE_CARRY_AT, 46, 1), (layout.BOOKS_SET_BACK_AT, 56, 8), (layout.BOOKS_TOTALS_AT, 8, 4),
        (layout.BOOKS_CARRIES_AT, 37, 2), (layout.BOOKS_FINGERPRINTS_AT, 48, 2), (layout.STATUS_AT, 64, 24),
    ),
    redo_at=128, redo_entries=2048, boot_at=25, clean_at=26, check_at=27,
    generation_at=28, replaced_at=36, rings_at=35,
    slot_words=12, slot=tuple(range(12)),
    parked_words=12, parked=tuple(range(12)),
)
# fmt: on
BY_VERSION = {old.version: old for old in (LAYOUT_1, LAYOUT_2)}
for _old in BY_VERSION.values():
    assert len(_old.slot) == layout.SLOT_WORDS and len(_old.parked) <= layout.PARKED_WORDS
    assert all(then + count <= _old.redo_at and today + count <= layout.REDO_AT for today, then, count in _old.header)


def shape_of(books: Words) -> Shape:
    """The shape that books of an old layout have today."""
    return levels.shape(
        books[layout.BOOKS_RECENT_SECONDS_AT],
        books[layout.BOOKS_HORIZON_HOURS_AT],
        books[layout.BOOKS_PARKED_SLOTS_AT],
        len(NAMES),
    )


def generation_of_ring(words: Words) -> int:
    """The generation of a ring of any layout."""
    is_first = words[layout.RING_LAYOUT_AT] == LAYOUT_1.version
    return GENERATION_OF_LAYOUT_1 if is_first else words[layout.RING_GENERATION_AT]


def generations_of_books(words: Words) -> tuple[int, int]:
    """The generation of books of any layout, and the one that they have replaced; 0 for none."""
    version = words[layout.BOOKS_LAYOUT_AT]
    if version == layout.LAYOUT_VERSION:
        return words[layout.BOOKS_GENERATION_AT], words[layout.BOOKS_REPLACED_AT]
    old = BY_VERSION.get(version)
    if old is None:
        return 0, 0
    if old.generation_at is None or old.replaced_at is None:
        return GENERATION_OF_LAYOUT_1, 0
    return words[old.generation_at], words[old.replaced_at]
