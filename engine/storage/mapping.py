"""Attaching to the segments of an engine: processes get their rings and books here.

The first process makes the segments, or gives existing ones other sizes (:mod:`engine.storage.making`). It also
recovers them after the machine went down (:mod:`engine.storage.recovery`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence

from engine.books.levels import Shape
from engine.logs.logger import Logger
from engine.memory import layout, ordering
from engine.memory.errors import SegmentError
from engine.memory.words import WORD_BYTES
from engine.ring import ids
from engine.settings import Settings
from engine.storage import durability, filesystem, fingerprints, making, names, opening, pages, recovery, sizes
from engine.storage.migration import Memory
from engine.storage.segment import EmptyError, HeldError, Segment, Store

HOLD_TRIES = 40  # with HOLD_PAUSE_SECONDS between them: the time that a predecessor has to end
HOLD_PAUSE_SECONDS = 0.1

log = Logger(__name__)


def ring_name(settings: Settings, index: int) -> str:
    """Name of the ring of API process ``index``."""
    return names.ring_name(settings.host.name, index)


def books_name(settings: Settings) -> str:
    """Name of the books."""
    return names.books_name(settings.host.name)


def books_shape(settings: Settings) -> Shape:
    """The shape of the books that the settings ask for."""
    return sizes.asked(settings).shape


def store(settings: Settings) -> Store:
    """The store of the engine's segments."""
    return durability.of(settings).store(settings.storage.data_dir)


def open_ring(settings: Settings, index: int) -> Segment:
    """Attaches to the ring of API process ``index``. Raises SegmentError."""
    with _ready(settings) as kept:
        return _open_ring(settings, kept, index)


def open_rings(settings: Settings) -> list[Segment]:
    """Attaches to all rings, in the order of their index. Raises SegmentError."""
    with _ready(settings) as kept:
        return [_open_ring(settings, kept, index) for index in range(settings.host.api_processes)]


def open_books(settings: Settings) -> Segment:
    """Attaches to the books. Raises SegmentError."""
    with _ready(settings) as kept, contextlib.ExitStack() as unless_it_fails:
        books = opening.attached(kept, books_name(settings))
        unless_it_fails.callback(books.close)
        with opening.told_of(books.name):
            recovery.recover_books(books, durability.of(settings))
        unless_it_fails.pop_all()
        return books


def open_ids(settings: Settings, ring: Segment) -> Segment | None:
    """Attaches to the id memory, making it if need be; None when ENGINE_ID_MEMORY is 0. ``ring`` is ring 0.

    It is only an aid: if it has another size or other seeds, it is made anew, and the log says so. But no process may
    go on with the old one meanwhile, so all processes that use it share its lock. Raises SegmentError.
    """
    if settings.storage.id_memory == 0:
        return None
    name, buckets = names.ids_name(settings.host.name), ids.ids_buckets(settings.storage.id_memory)
    with _ready(settings) as kept:
        try:
            segment = kept.open(name)
        except FileNotFoundError:
            segment = _make_ids(kept, name, buckets, ring)
        except EmptyError:  # left by an engine that gave it its name before its size
            kept.remove(name)
            segment = _make_ids(kept, name, buckets, ring)
        except (OSError, ValueError) as error:
            raise SegmentError(f"{name}: it cannot be opened: {error}") from error
        complaint = ids.check_ids(segment.words, buckets, ring.words)
        if complaint:
            is_free = segment.lock()
            segment.close()
            if not is_free:
                raise SegmentError(f"{name}: {complaint}, and a process uses it as it is; stop all API processes first")
            log.warning("ids_replaced", segment=name, reason=complaint)
            kept.remove(name)
            segment = _make_ids(kept, name, buckets, ring)
        if segment.words[layout.IDS_BOOT_AT] != recovery.boot():  # it may lack ids that were not on disk
            segment.words[layout.IDS_NUMBER_AT] = making.random_odd_word()
            segment.words[layout.IDS_BOOT_AT] = recovery.boot()
        segment.lock(shared=True)
        return segment


def _make_ids(kept: Store, name: str, buckets: int, ring: Segment) -> Segment:
    """Makes the id memory beside, and gives it its name when it is whole; see :data:`names.NEW`."""
    length = ids.ids_words(buckets)
    try:
        made = kept.create(name + names.NEW, length)
    except OSError as error:
        raise SegmentError(f"{name}: it cannot be made with its {length * WORD_BYTES} bytes: {error}") from error
    ring.sync()  # or its seeds may be lost with the power
    made.words[layout.IDS_BOOT_AT] = recovery.boot()
    ids.lay_out_ids(made.words, buckets, ring.words, making.random_odd_word())
    made.close()
    kept.rename(name + names.NEW, name)
    return kept.open(name)


def hold(segment: Segment, held: str) -> None:
    """Makes the calling process the only owner of a segment, until it ends or closes it. Waits a little for another.

    ``held``: says in the error who the other owner is. Raises HeldError, and SegmentError if the segment was replaced.
    """
    for _ in range(HOLD_TRIES):
        if segment.lock():
            break
        time.sleep(HOLD_PAUSE_SECONDS)
    else:
        raise HeldError(f"{segment.name} is held: {held}")
    problem = lost([segment])
    if problem:
        raise SegmentError(problem)


def lost(segments: Iterable[Segment]) -> str:
    """Which of the segments have been replaced or removed, so that a process that attaches now gets others; "" if none.

    A process that goes on with such a segment accepts payments that no dispatcher sends, or sends payments that no API
    process accepted. The check costs one system call for each segment.
    """
    gone = [segment.name for segment in segments if not segment.is_current()]
    if not gone:
        return ""
    return (
        f"{', '.join(gone)}: removed, or made anew, while this process used it. Whatever it holds is lost when the "
        "last process that uses it ends"
    )


@contextlib.contextmanager
def supervising(settings: Settings) -> Iterator[None]:
    """Holds the right to run the engine of this name. Raises HeldError, SegmentError."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(making.supervising(_usable(settings), settings.host.name))
        except BlockingIOError:
            raise HeldError(_runs_already(settings)) from None
        except OSError as error:
            raise SegmentError(f"{names.lock_name(settings.host.name)}: {error}") from error
        yield


def wait_until_free(settings: Settings) -> None:
    """Waits a little for processes that are about to end.

    Raises HeldError when the engine's segments stay held, SegmentError.
    """
    kept = _usable(settings)
    for _ in range(HOLD_TRIES):
        with making.locked(kept, settings.host.name):
            used = making.used(kept, settings.host.name)
        if not used:
            return
        time.sleep(HOLD_PAUSE_SECONDS)
    raise HeldError(f"{_runs_already(settings)} (a process holds {', '.join(used)})")


def check_processors(settings: Settings, books: Segment, rings: Sequence[Segment]) -> None:
    """Refuses a changed address of a processor at which payments are unresolved. The caller holds the books.

    Raises SegmentError.
    """
    opening.finish_log(books, rings)
    memory = Memory(books.words, books_shape(settings), [ring.words for ring in rings])
    problem = fingerprints.complaint(settings.processors.urls, memory)
    if problem:
        raise SegmentError(problem)


def keep_processors(settings: Settings, books: Segment, rings: Sequence[Segment]) -> None:
    """As :func:`check_processors`, and stores the addresses: these are the processors now. For the dispatcher."""
    check_processors(settings, books, rings)
    fingerprints.keep(settings.processors.urls, books.words)
    books.sync()  # before anything is sent there


def remove_all(settings: Settings) -> list[str]:
    """Removes all segments of the engine called ``settings.host.name``, used or not; returns their names."""
    kept = store(settings)
    pages.remove(settings)
    if not names.own(settings.host.name, kept.names()) and names.lock_name(settings.host.name) not in kept.names():
        return []
    with making.locked(kept, settings.host.name):
        return making.remove(kept, settings.host.name)


def _open_ring(settings: Settings, kept: Store, index: int) -> Segment:
    with contextlib.ExitStack() as unless_it_fails:
        ring = opening.attached(kept, ring_name(settings, index))
        unless_it_fails.callback(ring.close)
        with (
            contextlib.closing(opening.attached(kept, books_name(settings))) as books,
            opening.told_of(ring.name),
        ):
            recovery.recover_ring(ring, index, books.words, durability.of(settings))
        unless_it_fails.pop_all()
        return ring


@contextlib.contextmanager
def _ready(settings: Settings) -> Iterator[Store]:
    """The store, with all segments in the sizes of the settings, locked during the block. Raises SegmentError."""
    kept = _usable(settings)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(making.locked(kept, settings.host.name))
        except OSError as error:
            raise SegmentError(f"{names.lock_name(settings.host.name)}: {error}") from error
        making.make_ready(
            kept, settings.host.name, sizes.asked(settings), durability.of(settings), settings.ledger.is_required
        )
        yield kept


def _usable(settings: Settings) -> Store:
    """The store, once it is sure that it keeps what it should. Raises SegmentError."""
    disorder = ordering.complaint()
    if disorder:
        raise SegmentError(disorder)
    if durability.of(settings).is_on_disk:
        problem = filesystem.complaint(settings.storage.data_dir)
        if problem:
            raise SegmentError(f"ENGINE_DATA_DIR={settings.storage.data_dir}: {problem}")
    return store(settings)


def _runs_already(settings: Settings) -> str:
    return f"an engine called {settings.host.name} runs already"
