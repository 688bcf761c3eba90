"""The segments of one engine: they are made, taken over and removed together.

Existing memory is taken over into other sizes, for a longer list of processors, or from an older layout
(:mod:`engine.storage.old_layouts`). All of these are done in the same way.

All segments carry one generation, a random number. New segments are made beside the old ones, under names that do not
count yet (:data:`names.NEW`). One renaming, that of the books, puts them in force. Then the rings are renamed, and the
rings of the generation that the books have replaced are removed. So a process that is killed on the way leaves one of
two things: the old memory with a part that must be thrown away, or the new memory with a part that must be finished.
The next process does either (:func:`_finish`). If a segment is missing later, somebody has removed it, perhaps with
payments; then no process starts.

The caller holds the engine's lock (:func:`locked`). An engine in use is never changed: each API process holds its ring,
and the dispatcher holds the books (:meth:`Segment.lock`).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from engine.books import listed
from engine.books.levels import lay_out_books
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.memory.words import SECTOR_WORDS, WORD_BYTES, Words
from engine.storage import list_changes, migration, names, old_layouts, recovery, sizes
from engine.storage.durability import Durability
from engine.storage.migration import Memory, MisfitError, Unfinished
from engine.storage.opening import opened
from engine.storage.segment import Segment, Store
from engine.storage.sizes import Sizes

# Bytes of the lock file.
_MAKING = 0  # held while segments are looked at or changed
_SUPERVISED = 1  # held by `engine up` for as long as it runs


class Taken(NamedTuple):
    """What is taken over: memory that no process uses, its sizes, the identity of its segments, and whether what SQL
    does not have must be kept.
    """

    memory: Memory
    sizes: Sizes
    generation: int
    waits_for_ledger: bool


def locked(store: Store, engine: str) -> AbstractContextManager[None]:
    """Holds the right to look at an engine's segments as a whole, and to change them."""
    return store.holding(names.lock_name(engine), _MAKING)


def supervising(store: Store, engine: str) -> AbstractContextManager[None]:
    """Holds the right to run the engine. Raises BlockingIOError when another process has it."""
    return store.holding(names.lock_name(engine), _SUPERVISED, wait=False)


def make_ready(
    store: Store, engine: str, asked: Sizes | None, durability: Durability, waits_for_ledger: bool = False
) -> None:
    """Makes the segments, or gives existing ones the sizes ``asked`` and today's layout, with all that they hold.

    ``asked``: None leaves the sizes as they are, and makes no segments. ``waits_for_ledger``: payments that are over
    are left out only if SQL has them. Raises SegmentError if the segments cannot be
    made or used, if unfinished payments do not fit, if the memory cannot go on with the new list of processors, and if
    a change is needed while the engine is in use.
    """
    _finish(store, engine)
    if names.find(engine, store.names()).is_empty:
        if asked is not None:
            _make(store, engine, asked, durability)
        return
    with opened(store, engine) as old:
        if old.is_current:
            have = sizes.read(old.books.words, [ring.words for ring in old.rings])
            if asked is None or have == asked:
                return
            reason = f"{have.differences(asked)}. A start with other sizes"
        else:
            reason = f"its memory has layout version {old.version}. A start of an engine with another layout"
        if not old.lock():
            raise SegmentError(
                f"{reason} takes over what is there, but not while the engine called {engine} runs: stop it first"
            )
        memory = old.recover(durability)
        have = sizes.read(memory.books, memory.rings)
        asked = asked or have
        problem = list_changes.complaint(have.processors, asked.processors, memory)
        if problem:
            raise SegmentError(f"{engine}: {problem}")
        generation = old_layouts.generations_of_books(old.books.words)[0]
        _make(store, engine, asked, durability, Taken(memory, have, generation, waits_for_ledger))


def unfinished(store: Store, engine: str, durability: Durability) -> Unfinished:
    """How many payments a removal would forget. Raises SegmentError, also if the engine is in use."""
    _finish(store, engine)
    if names.find(engine, store.names()).is_empty:
        return Unfinished(0, 0)
    with opened(store, engine) as there:
        if not there.lock():
            raise SegmentError(f"{engine}: it runs")
        try:
            return migration.unfinished(there.recover(durability))
        except MisfitError as error:
            raise SegmentError(str(error)) from error


def used(store: Store, engine: str) -> list[str]:
    """The names of the segments that a process holds, whatever is in them."""
    held = []
    for name in names.own(engine, store.names()):
        with contextlib.suppress(OSError, ValueError), contextlib.closing(store.open(name)) as segment:
            if not segment.lock():
                held.append(name)
    return held


def remove(store: Store, engine: str) -> list[str]:
    """Removes everything, used or not; returns the names of what was there."""
    own = names.own(engine, store.names())
    # The books last: without them it cannot be told whether rings are missing.
    for name in sorted(own, key=lambda name: name.startswith(names.books_name(engine))):
        store.remove(name)
    store.remove(names.lock_name(engine))
    return own


def _make(store: Store, engine: str, asked: Sizes, durability: Durability, old: Taken | None = None) -> None:
    """Makes all segments, with the contents of ``old`` if given, and puts them in force; :func:`_finish` comes next."""
    books_shape = asked.shape
    plan = None
    if old is not None:
        try:
            plan = migration.plan(
                old.memory,
                asked.api_processes,
                asked.ring_slots,
                books_shape,
                random_odd_word,
                old.waits_for_ledger,
            )
        except MisfitError as error:
            others = old.sizes.differences(asked) or f"its memory becomes one of layout {layout.LAYOUT_VERSION}"
            raise SegmentError(f"{engine}: {others}, but {error}") from error
    lengths = {names.books_name(engine): books_shape.words}
    for index in range(asked.api_processes):
        lengths[names.ring_name(engine, index)] = layout.ring_words(asked.ring_slots)
    made: list[Segment] = []
    try:
        for name, length in lengths.items():
            made.append(_create(store, name, length))
        books, *rings = made
        _lay_out(books.words, [ring.words for ring in rings], asked, durability, _seeds(old))
        if plan is not None and old is not None:
            new = Memory(books.words, books_shape, [ring.words for ring in rings])
            migration.carry_over(plan, old.memory, new)
            _descend(books.words, old)
        for segment in made:
            segment.sync()
    except (SegmentError, OSError) as error:
        _discard(store, engine)
        raise SegmentError(str(error)) from error
    finally:
        for segment in made:
            segment.close()
    store.rename(names.books_name(engine) + names.NEW, names.books_name(engine))  # now the new memory is in force
    _finish(store, engine)


def _descend(books: Words, old: Taken) -> None:
    """New books say whose payments they have taken over, and whose those had taken over before."""
    had, places = old.memory.books, (layout.BOOKS_REPLACED_AT, *layout.BOOKS_ANCESTORS_AT)
    ancestors = [old.generation, *(had[at] for at in places)]
    for at, generation in zip(places, ancestors, strict=False):
        books[at] = generation


def _seeds(old: Taken | None) -> tuple[int, int] | None:
    """The seeds of ring 0, which the id memory needs to go on; None for new ones."""
    if old is None or not old.memory.rings:
        return None
    first = old.memory.rings[0]
    return first[layout.RING_SEED_HIGH_AT], first[layout.RING_SEED_LOW_AT]


def _create(store: Store, name: str, length: int) -> Segment:
    try:
        return store.create(name + names.NEW, length)
    except OSError as error:
        raise SegmentError(f"{name}: it cannot be made with its {length * WORD_BYTES} bytes: {error}") from error


def _lay_out(
    books: Words, rings: Sequence[Words], asked: Sizes, durability: Durability, seeds: tuple[int, int] | None
) -> None:
    """Makes zeroed memory an engine's that has accepted nothing; ``seeds``: of its rings, None for new ones."""
    seeds = seeds or (random_odd_word(), random_odd_word())
    generation = secrets.randbits(64) or 1
    lay_out_books(books, asked.shape, random_odd_word())
    listed.write(asked.processors, books)
    books[layout.BOOKS_GENERATION_AT] = generation
    books[layout.BOOKS_RINGS_AT] = len(rings)
    books[layout.BOOKS_BOOT_AT] = recovery.boot()
    books[layout.BOOKS_CLEAN_AT] = durability.state_of_new
    for words in rings:
        words[layout.RING_BOOT_AT] = recovery.boot()
        words[layout.RING_CLEAN_AT] = words[layout.RING_CLOSED_AT] = durability.state_of_new
        words[layout.RING_GENERATION_AT] = generation
        layout.lay_out_ring(words, asked.ring_slots, *seeds)


def _finish(store: Store, engine: str) -> None:
    """Finishes what a killed process was making, or throws it away. Changes nothing if all is as usual.

    That process may have been an engine of an older layout.
    """
    found = names.find(engine, store.names())
    generation, replaced = 0, 0
    if found.books and not found.new_books:
        with (
            contextlib.suppress(OSError, ValueError),
            contextlib.closing(store.open(names.books_name(engine))) as books,
        ):
            if len(books.words) > SECTOR_WORDS and books.words[layout.BOOKS_MAGIC_AT] == layout.BOOKS_MAGIC:
                generation, replaced = old_layouts.generations_of_books(books.words)
    for name, index in found.new_rings.items():
        if generation and _generation_of_ring(store, name) == generation:
            store.rename(name, names.ring_name(engine, index))
    if replaced:
        for index in found.rings:
            name = names.ring_name(engine, index)
            if _generation_of_ring(store, name) == replaced:
                store.remove(name)
    _discard(store, engine)


def _discard(store: Store, engine: str) -> None:
    """Throws away segments under names that do not count."""
    for name in names.own(engine, store.names()):
        if names.is_new(engine, name):
            store.remove(name)


def _generation_of_ring(store: Store, name: str) -> int:
    """The generation of the ring called ``name``; 0 if it cannot be told."""
    with contextlib.suppress(OSError, ValueError), contextlib.closing(store.open(name)) as ring:
        if len(ring.words) > layout.RING_HEADER_WORDS and ring.words[layout.RING_MAGIC_AT] == layout.RING_MAGIC:
            return old_layouts.generation_of_ring(ring.words)
    return 0


def random_odd_word() -> int:
    """A random odd number of 64 bits, a multiplier for hashing that clients cannot guess."""
    return secrets.randbits(64) | 1
