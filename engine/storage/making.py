"""The segments of one engine as a whole: made, taken over into other sizes, removed. Never one without the rest.

All of them carry one generation, a random number. New ones are made beside, under names that do not count
(:data:`names.NEW`). What makes them true is one renaming, that of the books; then the rings follow, and rings of the
generation that the books have replaced go. So whoever is killed on the way leaves either the old memory, and something
that is thrown away, or the new one, and something that is finished: by whoever comes next (:func:`_finish`). A segment
that is missing later was removed by somebody, with payments, perhaps; then nobody starts.

Whoever calls this holds the engine's lock (:func:`locked`). An engine that is used is never changed: each API process
holds its ring and the dispatcher the books (:meth:`Segment.lock`).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from engine.books.levels import Shape, check_books, lay_out_books, shape
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.memory.words import WORD_BYTES, Words
from engine.storage import migration, names, recovery, sizes
from engine.storage.durability import Durability
from engine.storage.migration import Memory, MisfitError, Unfinished
from engine.storage.segment import Segment, Store
from engine.storage.sizes import Sizes

RESET = "`python -m engine reset --force` removes rings and books with everything that they remember"
# Bytes of the lock file.
_MAKING = 0  # held while segments are looked at or changed
_SUPERVISED = 1  # held by `engine up` for as long as it runs


class Opened(NamedTuple):
    """All segments of an engine."""

    books: Segment
    rings: list[Segment]

    @property
    def memory(self) -> Memory:
        """Their words."""
        return Memory(self.books.words, _shape_of(self.books.words), [ring.words for ring in self.rings])


def locked(store: Store, engine: str) -> AbstractContextManager[None]:
    """Holds the right to look at an engine's segments as a whole, and to change them."""
    return store.holding(names.lock_name(engine), _MAKING)


def supervising(store: Store, engine: str) -> AbstractContextManager[None]:
    """Holds the right to run the engine. Raises BlockingIOError when another process has it."""
    return store.holding(names.lock_name(engine), _SUPERVISED, wait=False)


def make_ready(store: Store, engine: str, asked: Sizes, durability: Durability) -> None:
    """Makes the segments, or gives those that are there the sizes ``asked``, with all that is in them.

    Raises SegmentError when they cannot be made or used, when what is unfinished does not fit, and when the sizes
    differ and the engine is used.
    """
    _finish(store, engine)
    if not _are_there(store, engine):
        _make(store, engine, asked, durability)
        return
    with opened(store, engine) as old:
        have = sizes.read(old.books.words, [ring.words for ring in old.rings])
        if have == asked:
            return
        if not _lock_all(old):
            raise SegmentError(
                f"{have.differences(asked)}. A start with other sizes takes over what is there, but not while the "
                f"engine called {engine} runs: stop it first"
            )
        _settle(old, durability)
        _make(store, engine, asked, durability, old)


def unfinished(store: Store, engine: str, durability: Durability) -> Unfinished:
    """How many payments a removal would forget. Raises SegmentError, also when the engine is used."""
    _finish(store, engine)
    if not _are_there(store, engine):
        return Unfinished(0, 0)
    with opened(store, engine) as there:
        if not _lock_all(there):
            raise SegmentError(f"{engine}: it runs")
        _settle(there, durability)
        try:
            return migration.unfinished(there.memory)
        except MisfitError as error:
            raise SegmentError(str(error)) from error


def used(store: Store, engine: str) -> list[str]:
    """The segments that a process holds, whatever is in them."""
    held = []
    for name in names.own(engine, store.names()):
        with contextlib.suppress(OSError, ValueError), contextlib.closing(store.open(name)) as segment:
            if not segment.lock():
                held.append(name)
    return held


def remove(store: Store, engine: str) -> list[str]:
    """Removes everything, used or not; returns the names of what was there."""
    own = names.own(engine, store.names())
    # The books last: without them nobody knows whether rings are missing.
    for name in sorted(own, key=lambda name: name.startswith(names.books_name(engine))):
        store.remove(name)
    store.remove(names.lock_name(engine))
    return own


@contextlib.contextmanager
def opened(store: Store, engine: str) -> Iterator[Opened]:
    """All segments, checked to be whole, of one layout and of one engine; closed at the end. Raises SegmentError."""
    found = names.find(engine, store.names())
    with contextlib.ExitStack() as held:

        def attach(name: str) -> Segment:
            segment = attached(store, name)
            held.callback(segment.close)
            return segment

        name = names.books_name(engine)
        if not found.books:
            raise SegmentError(f"{name}: it was removed, and rings are there. {RESET}")
        books = attach(name)
        count, generation = books.words[layout.BOOKS_RINGS_AT], books.words[layout.BOOKS_GENERATION_AT]
        for index in sorted(set(range(count)).symmetric_difference(found.rings)):
            what = "it was removed, with every payment in it" if index < count else "it is none of this engine's"
            raise SegmentError(f"{names.ring_name(engine, index)}: {what}. {RESET}")
        rings = [attach(names.ring_name(engine, index)) for index in found.rings]
        for ring in rings:
            if ring.words[layout.RING_GENERATION_AT] != generation:
                raise SegmentError(f"{ring.name}: it is not of one generation with {name}. {RESET}")
        yield Opened(books, rings)


def attached(store: Store, name: str) -> Segment:
    """A segment that is what its name says, of this layout and as long as it should be. Raises SegmentError."""
    try:
        segment = store.open(name)
    except (OSError, ValueError) as error:  # ValueError: a mapping of something that is no file
        raise SegmentError(f"{name}: it cannot be opened: {error}") from error
    complaint = _complaint(segment.words, is_books=name.endswith(names.books_name("")))
    if complaint:
        segment.close()
        raise SegmentError(f"{name}: {complaint}. {RESET}")
    return segment


def _complaint(words: Words, is_books: bool) -> str:
    """Why this memory cannot be used, ``""`` when it can."""
    if len(words) <= layout.STATUS_AT:
        return f"it was cut short: {len(words) * WORD_BYTES} bytes are left"
    if is_books:
        found = _shape_of(words)
        complaint, length = check_books(words, found), found.words
    else:
        slots = words[layout.RING_SLOTS_AT]
        complaint, length = layout.check_ring(words, slots), layout.ring_words(slots)
    if complaint == "unfinished":
        complaint = "it is not ours, or damaged: its beginning is blank"
    if not complaint and len(words) != length:
        complaint = f"it has {len(words)} words and should have {length}"
    return complaint


def _shape_of(books: Words) -> Shape:
    return shape(
        books[layout.BOOKS_RECENT_SECONDS_AT],
        books[layout.BOOKS_HORIZON_HOURS_AT],
        books[layout.BOOKS_PARKED_SLOTS_AT],
    )


def _are_there(store: Store, engine: str) -> bool:
    found = names.find(engine, store.names())
    return found.books or bool(found.rings)


def _lock_all(segments: Opened) -> bool:
    """Takes every segment; they are given back when they are closed."""
    return all(segment.lock() for segment in (segments.books, *segments.rings))


def _settle(segments: Opened, durability: Durability) -> None:
    """Recovers all after the machine went down, and finishes the transaction that a killed dispatcher has committed."""
    books, rings = segments
    try:
        for index, ring in enumerate(rings):
            with told_of(ring.name):
                recovery.recover_ring(ring, index, books.words, durability)
        with told_of(books.name):
            recovery.recover_books(books, durability)
        finish_log(books, rings)
    except OSError as error:
        raise SegmentError(f"{books.name}: {error}") from error


@contextlib.contextmanager
def told_of(name: str) -> Iterator[None]:
    """Adds to errors of what is done within which segment it is, and what helps."""
    try:
        yield
    except (SegmentError, OSError) as error:
        raise SegmentError(f"{name}: {error}. {RESET}") from error


def finish_log(books: Segment, rings: Sequence[Segment]) -> None:
    """Does what a killed dispatcher had committed; the caller holds the books. Raises OSError."""

    def sync() -> None:
        for segment in (*rings, books):
            segment.sync()

    BooksWriter(books.words, _shape_of(books.words), [ring.words for ring in rings], sync).recover()


def _make(store: Store, engine: str, asked: Sizes, durability: Durability, old: Opened | None = None) -> None:
    """Makes all segments, with what is in ``old`` if it is given, and makes them true; :func:`_finish` comes next."""
    books_shape = asked.shape
    plan = None
    if old is not None:
        try:
            plan = migration.plan(old.memory, asked.api_processes, asked.ring_slots, books_shape, random_odd_word)
        except MisfitError as error:
            raise SegmentError(f"{engine}: {old_sizes(old).differences(asked)}, but {error}") from error
    lengths = {names.books_name(engine): books_shape.words}
    for index in range(asked.api_processes):
        lengths[names.ring_name(engine, index)] = layout.ring_words(asked.ring_slots)
    made: list[Segment] = []
    try:
        for name, length in lengths.items():
            made.append(_create(store, name, length))
        books, *rings = made
        # The id memory goes on with the seeds of ring 0.
        seeds = None
        if old is not None:
            first = old.rings[0].words
            seeds = first[layout.RING_SEED_HIGH_AT], first[layout.RING_SEED_LOW_AT]
        _lay_out(books.words, [ring.words for ring in rings], asked, durability, seeds)
        if plan is not None and old is not None:
            new = Memory(books.words, books_shape, [ring.words for ring in rings])
            migration.carry_over(plan, old.memory, new)
            books.words[layout.BOOKS_REPLACED_AT] = old.books.words[layout.BOOKS_GENERATION_AT]
        for segment in made:
            segment.sync()
    except (SegmentError, OSError) as error:
        _discard(store, engine)
        raise SegmentError(str(error)) from error
    finally:
        for segment in made:
            segment.close()
    store.rename(names.books_name(engine) + names.NEW, names.books_name(engine))  # from here on it is true
    _finish(store, engine)


def _create(store: Store, name: str, length: int) -> Segment:
    try:
        return store.create(name + names.NEW, length)
    except OSError as error:
        raise SegmentError(f"{name}: it cannot be made with its {length * WORD_BYTES} bytes: {error}") from error


def _lay_out(
    books: Words, rings: Sequence[Words], asked: Sizes, durability: Durability, seeds: tuple[int, int] | None
) -> None:
    """Makes zeroed memory an engine's that has accepted nothing; ``seeds``: of ring 0, None for new ones."""
    generation = secrets.randbits(64) or 1
    lay_out_books(books, asked.shape, random_odd_word())
    books[layout.BOOKS_GENERATION_AT] = generation
    books[layout.BOOKS_RINGS_AT] = len(rings)
    books[layout.BOOKS_BOOT_AT] = recovery.boot()
    books[layout.BOOKS_CLEAN_AT] = durability.state_of_new
    for words in rings:
        words[layout.RING_BOOT_AT] = recovery.boot()
        words[layout.RING_CLEAN_AT] = words[layout.RING_CLOSED_AT] = durability.state_of_new
        words[layout.RING_GENERATION_AT] = generation
        layout.lay_out_ring(words, asked.ring_slots, *(seeds or (random_odd_word(), random_odd_word())))
        seeds = None


def _finish(store: Store, engine: str) -> None:
    """Finishes what somebody was making when he was killed, or throws it away. Changes nothing when all is as usual."""
    found = names.find(engine, store.names())
    generation, replaced = 0, 0
    if found.books and not found.new_books:
        with (
            contextlib.suppress(OSError, ValueError),
            contextlib.closing(store.open(names.books_name(engine))) as books,
        ):
            if len(books.words) > layout.STATUS_AT and books.words[layout.BOOKS_LAYOUT_AT] == layout.LAYOUT_VERSION:
                generation = books.words[layout.BOOKS_GENERATION_AT]
                replaced = books.words[layout.BOOKS_REPLACED_AT]
    for index in found.new_rings:
        name = names.ring_name(engine, index)
        if generation and _generation_of_ring(store, name + names.NEW) == generation:
            store.rename(name + names.NEW, name)
    if replaced:
        for index in found.rings:
            name = names.ring_name(engine, index)
            if _generation_of_ring(store, name) == replaced:
                store.remove(name)
    _discard(store, engine)


def _discard(store: Store, engine: str) -> None:
    """Throws away what is under names that do not count."""
    for name in names.own(engine, store.names()):
        if name.endswith(names.NEW):
            store.remove(name)


def _generation_of_ring(store: Store, name: str) -> int:
    """0 when it cannot be told."""
    with contextlib.suppress(OSError, ValueError), contextlib.closing(store.open(name)) as ring:
        if len(ring.words) > layout.RING_HEADER_WORDS and ring.words[layout.RING_MAGIC_AT] == layout.RING_MAGIC:
            return ring.words[layout.RING_GENERATION_AT]
    return 0


def old_sizes(old: Opened) -> Sizes:
    """The sizes of segments that are there."""
    return sizes.read(old.books.words, [ring.words for ring in old.rings])


def random_odd_word() -> int:
    """A random odd number of 64 bits, a multiplier for hashing that an outsider cannot guess."""
    return secrets.randbits(64) | 1
