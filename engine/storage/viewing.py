"""Looking at an engine's memory: segments mapped so that nothing can be written, for as long as a look takes.

A look attaches anew, so it always sees the memory that counts. It takes no lock, and no process waits for it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from typing import NamedTuple, cast

from engine.books.levels import Shape, check_books, shape_of
from engine.cluster_settings import MODE
from engine.memory import cell_layout, journal_layout, layout, metrics_layout
from engine.memory.words import SECTOR_WORDS, WORD_BYTES, Words
from engine.ring.ring import check_ring
from engine.settings import Settings
from engine.storage import durability, names
from engine.storage.segment import SHARED_MEMORY_DIRECTORY


class Seen(NamedTuple):
    """What there is of an engine's memory; None, and no rings, where something is missing or of another layout."""

    books: Words | None
    shape: Shape | None
    rings: list[Words]
    journal: Words | None
    metrics: Words | None
    cell: Words | None = None


@contextlib.contextmanager
def seen(settings: Settings) -> Iterator[Seen]:
    """The memory of the engine of these settings, as it is now. Raises OSError where it may not be read."""
    name = settings.host.name
    on_disk = durability.of(settings).is_on_disk
    directory = settings.storage.data_dir if on_disk else SHARED_MEMORY_DIRECTORY
    with contextlib.ExitStack() as held:

        def look(one: str, where: str = directory) -> Words | None:
            return held.enter_context(mapped(f"{where}/{one}"))

        books = look(names.books_name(name))
        if books is not None and not _are_books(books):
            books = None
        rings = [look(names.ring_name(name, index)) for index in range(settings.host.api_processes)]
        whole = [ring for ring in rings if ring is not None and _is_ring(ring)]
        journal, metrics = look(names.journal_name(name)), look(names.metrics_name(name), SHARED_MEMORY_DIRECTORY)
        is_cell = settings.storage.durability == MODE
        cell = look(names.cell_name(name), SHARED_MEMORY_DIRECTORY) if is_cell else None
        yield Seen(
            books,
            shape_of(books) if books is not None else None,
            whole if len(whole) == len(rings) else [],
            journal if journal is not None and _is_journal(journal) else None,
            metrics if metrics is not None and metrics_layout.is_usable(metrics) else None,
            cell if cell is not None and cell_layout.is_usable(cell) else None,
        )


@contextlib.contextmanager
def mapped(path: str) -> Iterator[Words | None]:
    """The words of a file, which cannot be written; None: it is not there, or blank. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        size = os.fstat(descriptor).st_size // WORD_BYTES * WORD_BYTES
        mapping = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) if size else None
    finally:
        os.close(descriptor)
    if mapping is None:
        yield None
        return
    with mapping, memoryview(mapping) as whole, whole.cast("Q") as words:
        yield cast(Words, words)


def _are_books(words: Words) -> bool:
    if len(words) <= SECTOR_WORDS:
        return False
    shape = shape_of(words)
    return not check_books(words, shape) and len(words) == shape.words


def _is_ring(words: Words) -> bool:
    if len(words) <= layout.RING_HEADER_WORDS:
        return False
    slots = words[layout.RING_SLOTS_AT]
    return not check_ring(words, slots) and len(words) == layout.ring_words(slots)


def _is_journal(words: Words) -> bool:
    return (
        len(words) >= journal_layout.HEADER_WORDS
        and words[journal_layout.MAGIC_AT] == journal_layout.JOURNAL_MAGIC
        and words[journal_layout.LAYOUT_AT] == journal_layout.JOURNAL_LAYOUT_VERSION
    )
