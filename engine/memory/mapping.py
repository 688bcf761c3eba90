"""The segments of one engine: their names, and attaching to them."""

from __future__ import annotations

import os

from engine.books.levels import Shape, check_books, lay_out_books, shape
from engine.memory import layout, segment
from engine.memory.segment import Segment
from engine.memory.words import Words
from engine.settings import Settings


def ring_name(settings: Settings, index: int) -> str:
    """Name of the ring of API process ``index``."""
    return f"{settings.name}-ring-{index}"


def books_name(settings: Settings) -> str:
    """Name of the books."""
    return f"{settings.name}-books"


def books_shape(settings: Settings) -> Shape:
    """The shape of the books that the settings ask for."""
    return shape(settings.books_recent_seconds, settings.books_horizon_hours, settings.aside_slots)


def open_ring(settings: Settings, index: int) -> Segment:
    """Attaches to the ring of API process ``index``, making it if need be. Raises SegmentError."""

    def lay_out(words: Words) -> None:
        layout.lay_out_ring(words, settings.ring_slots, segment.random_odd_word(), segment.random_odd_word())

    def check(words: Words) -> str:
        return layout.check_ring(words, settings.ring_slots)

    length = layout.ring_words(settings.ring_slots)
    return segment.open_or_create(ring_name(settings, index), length, _lock_path(settings), lay_out, check)


def open_rings(settings: Settings) -> list[Segment]:
    """All rings, in the order of their index. Raises SegmentError."""
    return [open_ring(settings, index) for index in range(settings.api_processes)]


def open_books(settings: Settings) -> Segment:
    """Attaches to the books, making them if need be. Raises SegmentError."""
    books = books_shape(settings)
    return segment.open_or_create(
        books_name(settings),
        books.words,
        _lock_path(settings),
        lambda words: lay_out_books(words, books, segment.random_odd_word()),
        lambda words: check_books(words, books),
    )


def remove_all(settings: Settings) -> list[str]:
    """Removes all segments of the engine called ``settings.name``, whatever their number; returns their names."""
    prefixes = (f"{settings.name}-ring-", books_name(settings))
    names = [name for name in sorted(os.listdir("/dev/shm")) if name.startswith(prefixes)]
    return [name for name in names if segment.remove(name)]


def _lock_path(settings: Settings) -> str:
    os.makedirs(settings.run_dir, exist_ok=True)
    return f"{settings.run_dir}/segments.lock"
