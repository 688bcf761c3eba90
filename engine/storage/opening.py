"""Opens all segments of an engine at once: finds, checks and recovers them. They must be whole and belong together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.books.levels import check_books, shape_of
from engine.books.writer import BooksWriter
from engine.invocation import command
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.memory.words import SECTOR_WORDS, WORD_BYTES, Words
from engine.ring.ring import check_ring
from engine.storage import names, old_layouts, old_memory, recovery
from engine.storage.durability import Durability
from engine.storage.migration import Memory
from engine.storage.segment import Segment, Store

RESET = f"`{command('reset', '--force')}` removes rings and books with everything that they remember"


class Opened(NamedTuple):
    """All segments of an engine, of the layout ``version``."""

    books: Segment
    rings: list[Segment]
    version: int

    @property
    def is_current(self) -> bool:
        """Whether they have today's layout."""
        return self.version == layout.LAYOUT_VERSION

    def lock(self) -> bool:
        """Locks every segment until it is closed. False if another process has one."""
        return all(segment.lock() for segment in (self.books, *self.rings))

    def recover(self, durability: Durability) -> Memory:
        """The memory, recovered after a killed dispatcher or a machine that went down. The caller holds all segments.

        Memory of an old layout is not changed: its words are read as today's. Raises SegmentError.
        """
        if not self.is_current:
            with told_of(self.books.name):
                return old_memory.read(
                    old_layouts.BY_VERSION[self.version],
                    self.books.words,
                    [ring.words for ring in self.rings],
                    time.time_ns() // 1_000_000,
                )
        for index, ring in enumerate(self.rings):
            with told_of(ring.name):
                recovery.recover_ring(ring, index, self.books.words, durability)
        with told_of(self.books.name):
            recovery.recover_books(self.books, durability)
        try:
            finish_log(self.books, self.rings)
        except OSError as error:
            raise SegmentError(f"{self.books.name}: {error}") from error
        return self.memory

    @property
    def memory(self) -> Memory:
        """The words of all segments, which have today's layout."""
        return Memory(self.books.words, shape_of(self.books.words), [ring.words for ring in self.rings])


@contextlib.contextmanager
def opened(store: Store, engine: str) -> Iterator[Opened]:
    """All segments, whatever their layout; closed at the end. Raises SegmentError."""
    found = names.find(engine, store.names())
    with contextlib.ExitStack() as held:

        def attach(name: str, version: int | None = None) -> Segment:
            segment = attached(store, name, version)
            held.callback(segment.close)
            return segment

        name = names.books_name(engine)
        if not found.books:
            raise SegmentError(f"{name}: it was removed, and rings are there. {RESET}")
        books = attach(name)
        version = books.words[layout.BOOKS_LAYOUT_AT]
        count, generation = _ring_count(books.words, len(found.rings)), old_layouts.generations_of_books(books.words)[0]
        for index in sorted(set(range(count)).symmetric_difference(found.rings)):
            what = "it was removed, with every payment in it" if index < count else "it is none of this engine's"
            raise SegmentError(f"{names.ring_name(engine, index)}: {what}. {RESET}")
        rings = [attach(names.ring_name(engine, index), version) for index in found.rings]
        for ring in rings:
            if old_layouts.generation_of_ring(ring.words) != generation:
                raise SegmentError(f"{ring.name}: it is not of one generation with {name}. {RESET}")
        yield Opened(books, rings, version)


def attached(store: Store, name: str, version: int | None = layout.LAYOUT_VERSION) -> Segment:
    """A segment of the kind that its name says, with the right length.

    ``version``: of its layout; None: today's or an old one. Raises SegmentError.
    """
    try:
        segment = store.open(name)
    except (OSError, ValueError) as error:  # ValueError: a mapping of something that is not a file
        raise SegmentError(f"{name}: it cannot be opened: {error}") from error
    complaint = _complaint(segment.words, version, is_books=name.endswith(names.books_name("")))
    if complaint:
        segment.close()
        raise SegmentError(f"{name}: {complaint}. {RESET}")
    return segment


def _complaint(words: Words, version: int | None, is_books: bool) -> str:
    """Why this memory cannot be used; ``""`` if it can."""
    if len(words) <= SECTOR_WORDS:
        return f"it was cut short: {len(words) * WORD_BYTES} bytes are left"
    magic, has = words[layout.BOOKS_MAGIC_AT], words[layout.BOOKS_LAYOUT_AT]
    if magic == (layout.BOOKS_MAGIC if is_books else layout.RING_MAGIC) and has in old_layouts.BY_VERSION:
        if version not in (None, has):
            return f"it has layout version {has}, where {version} is expected"
        old = old_layouts.BY_VERSION[has]
        complaint, length = "", old.books_words(words) if is_books else old.ring_words(words[layout.RING_SLOTS_AT])
    elif is_books:
        found = shape_of(words)
        complaint, length = check_books(words, found), found.words
    else:
        slots = words[layout.RING_SLOTS_AT]
        complaint, length = check_ring(words, slots), layout.ring_words(slots)
    if complaint == "unfinished":
        complaint = "it is not ours, or damaged: its beginning is blank"
    if not complaint and version not in (None, has):
        complaint = f"it has layout version {has}, where {version} is expected"
    if not complaint and len(words) != length:
        complaint = f"it has {len(words)} words and should have {length}"
    return complaint


def _ring_count(books: Words, found: int) -> int:
    """How many rings there must be. Layout 1 does not say it, so it is the number that was found."""
    version = books[layout.BOOKS_LAYOUT_AT]
    if version == layout.LAYOUT_VERSION:
        return books[layout.BOOKS_RINGS_AT]
    rings_at = old_layouts.BY_VERSION[version].rings_at
    return books[rings_at] if rings_at is not None else found


@contextlib.contextmanager
def told_of(name: str) -> Iterator[None]:
    """Adds to errors inside the block the name of the segment, and what to do."""
    try:
        yield
    except (SegmentError, OSError) as error:
        raise SegmentError(f"{name}: {error}. {RESET}") from error


def finish_log(books: Segment, rings: Sequence[Segment]) -> None:
    """Applies the committed log of a killed dispatcher; the caller holds the books. Raises OSError."""

    def sync() -> None:
        for segment in (*rings, books):
            segment.sync()

    BooksWriter(books.words, shape_of(books.words), [ring.words for ring in rings], sync).recover()
