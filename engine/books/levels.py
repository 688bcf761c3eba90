"""How the books are divided by time: levels of buckets. Each level is a circle over a span of the latest time."""

from __future__ import annotations

from dataclasses import dataclass

from engine.memory import layout
from engine.memory.errors import other_version
from engine.memory.words import Words
from engine.processors import PROCESSORS_MAX


@dataclass(frozen=True)
class Level:
    """One level: ``buckets`` buckets of ``width_ms`` each. A bucket has a count and a sum of cents for each processor.

    ``ahead`` buckets are opened (emptied) at a time, so most transactions need not open any.
    ``floor_at`` and ``head_at`` are words of the header; ``counts_at[p]`` and ``cents_at[p]`` begin the arrays.
    """

    width_ms: int
    buckets: int
    ahead: int
    floor_at: int
    head_at: int
    counts_at: tuple[int, ...]
    cents_at: tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """The levels of the books, finest first, where the parking table is, and the length of the segment, in words.

    ``processors``: how many of them the books count for.
    """

    recent_seconds: int
    horizon_hours: int
    levels: tuple[Level, ...]
    parked_at: int
    parked_slots: int
    processors: int
    words: int


def shape(recent_seconds: int, horizon_hours: int, parked_slots: int, processors: int) -> Shape:
    """Three levels: milliseconds for ``recent_seconds``; seconds and minutes for ``horizon_hours``.

    Seconds and minutes reach back at least as far as milliseconds. The minutes only make a long window quick to read.
    """
    assert processors <= PROCESSORS_MAX
    seconds = max(horizon_hours * 3600, recent_seconds)
    # Where a level ends, a reading goes on in the next coarser level, at the first bucket that begins after the bound.
    # That bucket must still be valid, even if the coarser level moved on last, ahead of time. So each level is a little
    # longer than the one before it.
    sizes = ((1, recent_seconds * 1000, 1000), (1000, seconds + 2, 60), (60_000, -(-seconds // 60) + 3, 10))
    at = layout.REDO_AT + 2 * layout.REDO_ENTRIES
    levels = []
    for number, (width_ms, buckets, ahead) in enumerate(sizes):
        total = buckets + ahead
        header = layout.BOOKS_LEVELS_AT + 2 * number
        end = at + 2 * total * processors
        counts_at, cents_at = (tuple(range(first, end, 2 * total)) for first in (at, at + total))
        levels.append(Level(width_ms, total, ahead, header, header + 1, counts_at, cents_at))
        at = end
    assert len(levels) <= layout.LEVELS_MAX
    words = at + parked_slots * layout.PARKED_WORDS
    return Shape(recent_seconds, horizon_hours, tuple(levels), at, parked_slots, processors, words)


def shape_of(books: Words) -> Shape:
    """The shape in the header of the books; :func:`check_books` tells whether it is valid."""
    return shape(
        books[layout.BOOKS_RECENT_SECONDS_AT],
        books[layout.BOOKS_HORIZON_HOURS_AT],
        books[layout.BOOKS_PARKED_SLOTS_AT],
        min(books[layout.BOOKS_PROCESSORS_AT], PROCESSORS_MAX),
    )


def lay_out_books(words: Words, books: Shape, seed: int) -> None:
    """Turns zeroed memory into empty books; ``seed`` is odd."""
    words[layout.BOOKS_LAYOUT_AT] = layout.LAYOUT_VERSION
    words[layout.BOOKS_RECENT_SECONDS_AT] = books.recent_seconds
    words[layout.BOOKS_HORIZON_HOURS_AT] = books.horizon_hours
    words[layout.BOOKS_PARKED_SLOTS_AT] = books.parked_slots
    words[layout.BOOKS_PARKED_SEED_AT] = seed
    words[layout.BOOKS_PROCESSORS_AT] = books.processors
    words[layout.BOOKS_MAGIC_AT] = layout.BOOKS_MAGIC


def check_books(words: Words, books: Shape) -> str:
    """Why this memory is not books of that shape; ``""`` if it is, ``"unfinished"`` if its maker died."""
    if words[layout.BOOKS_MAGIC_AT] != layout.BOOKS_MAGIC:
        return "unfinished" if words[layout.BOOKS_MAGIC_AT] == 0 else "it is not an engine's books"
    if words[layout.BOOKS_LAYOUT_AT] != layout.LAYOUT_VERSION:
        return other_version(words[layout.BOOKS_LAYOUT_AT])
    have = words[layout.BOOKS_RECENT_SECONDS_AT], words[layout.BOOKS_HORIZON_HOURS_AT]
    if have != (books.recent_seconds, books.horizon_hours):
        return (
            f"it holds {have[0]} s by milliseconds and {have[1]} h by seconds, "
            f"ENGINE_BOOKS_RECENT_SECONDS and ENGINE_BOOKS_HORIZON_HOURS say {books.recent_seconds} and "
            f"{books.horizon_hours}"
        )
    if words[layout.BOOKS_PARKED_SLOTS_AT] != books.parked_slots:
        return (
            f"it can park {words[layout.BOOKS_PARKED_SLOTS_AT]} payments, ENGINE_PARKED_SLOTS says {books.parked_slots}"
        )
    if words[layout.BOOKS_PROCESSORS_AT] != books.processors:
        return f"it counts for {words[layout.BOOKS_PROCESSORS_AT]} processors, and not for {books.processors}"
    return ""
