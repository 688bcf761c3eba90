"""The segments of one engine: their names, attaching to them, and what is done after the machine went down.

Files are page cache: they survive every process, but when the machine goes down each sector of them is as old as the
last completed sync, or younger. So each file says for each of its writers how it was left (:data:`layout.UNCLEAN`,
``CLEAN``, ``SYNCED``), whatever mode the next run has. That it is time to look is told by the boot number in it.

- `sync`: a file is SYNCED before any payment is accepted, by whoever opens it first. Then it is repaired: first what
  the books' redo log says of a ring is done to it, for a slot that a transaction gave away may have been written anew
  while its progress was still on the way, and then the ring itself (:mod:`engine.ring.repair`). The repaired ring is on
  disk before anybody may accept: what was taken back must not come back after another loss of power, when its customer
  has sent it again elsewhere. The boot number comes last, so that a repair that was cut short is begun again.
- `disk`: UNCLEAN while a writer runs, CLEAN after it has stopped and synced; API process and dispatcher each by itself,
  for either may be stopped alone. UNCLEAN is refused.

The id memory needs no such words, for an old one only forgets: see :mod:`engine.intake.keeper`.

*Limit*: page cache that is lost while the machine goes on (a volume torn off its host) is not noticed.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from engine.books import levels
from engine.books.levels import Shape, check_books, lay_out_books
from engine.books.writer import is_log_whole, redo_ring, seal_log
from engine.memory import layout
from engine.memory.segment import FileStore, Segment, SegmentError, SharedMemoryStore, Store, locked
from engine.memory.words import WORD_BYTES, Words
from engine.ring import repair
from engine.settings import Settings

BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"

log = logging.getLogger(__name__)


def ring_name(settings: Settings, index: int) -> str:
    """Name of the ring of API process ``index``."""
    return f"{settings.name}-ring-{index}"


def books_name(settings: Settings) -> str:
    """Name of the books."""
    return f"{settings.name}-books"


def ids_name(settings: Settings) -> str:
    """Name of the id memory."""
    return f"{settings.name}-ids"


def books_shape(settings: Settings) -> Shape:
    """The shape of the books that the settings ask for."""
    return levels.shape(settings.books_recent_seconds, settings.books_horizon_hours, settings.aside_slots)


def open_ring(settings: Settings, index: int) -> Segment:
    """Attaches to the ring of API process ``index``, making it if need be. Raises SegmentError."""

    def lay_out(words: Words) -> None:
        words[layout.RING_BOOT_AT] = _boot()
        words[layout.RING_CLEAN_AT] = words[layout.RING_CLOSED_AT] = _state_of_new(settings)
        layout.lay_out_ring(words, settings.ring_slots, _random_odd_word(), _random_odd_word())

    def check(words: Words) -> str:
        return layout.check_ring(words, settings.ring_slots)

    def recover(segment: Segment) -> None:
        words = segment.words
        if words[layout.RING_BOOT_AT] != _boot():
            _check_state(words[layout.RING_CLEAN_AT])
            _check_state(words[layout.RING_CLOSED_AT])
            _redo_ring(settings, index, words)
            repair.repair(words)
            segment.sync()
            words[layout.RING_BOOT_AT] = _boot()
        if settings.durability == "sync":
            mark(segment, layout.SYNCED, layout.RING_CLEAN_AT, layout.RING_CLOSED_AT)

    length = layout.ring_words(settings.ring_slots)
    return _open_or_create(settings, ring_name(settings, index), length, lay_out, check, recover)


def open_rings(settings: Settings) -> list[Segment]:
    """All rings, in the order of their index. Raises SegmentError, also when there are more of them."""
    index = settings.api_processes
    if ring_name(settings, index) in _store(settings).names():
        raise SegmentError(
            f"{ring_name(settings, index)}: a ring of an API process that ENGINE_API_PROCESSES={index} does not start; "
            f"its payments would wait for ever. Start with more, or: {_RESET}"
        )
    return [open_ring(settings, index) for index in range(settings.api_processes)]


def open_books(settings: Settings) -> Segment:
    """Attaches to the books, making them if need be. Raises SegmentError."""
    books = books_shape(settings)

    def lay_out(words: Words) -> None:
        words[layout.BOOKS_BOOT_AT] = _boot()
        words[layout.BOOKS_CLEAN_AT] = _state_of_new(settings)
        lay_out_books(words, books, _random_odd_word())

    def recover(segment: Segment) -> None:
        words = segment.words
        if words[layout.BOOKS_BOOT_AT] != _boot():
            _check_state(words[layout.BOOKS_CLEAN_AT])
            if words[layout.BOOKS_CLEAN_AT] == layout.SYNCED and not is_log_whole(words):
                words[layout.BOOKS_REDO_COUNT_AT] = 0  # it was on its way to the disk: nothing of it has been applied
            words[layout.BOOKS_BOOT_AT] = _boot()
        if settings.durability == "sync":
            if words[layout.BOOKS_CLEAN_AT] != layout.SYNCED:
                seal_log(words, words[layout.BOOKS_REDO_COUNT_AT])  # what a killed writer without sync has left open
            mark(segment, layout.SYNCED, layout.BOOKS_CLEAN_AT)

    def check(words: Words) -> str:
        return check_books(words, books)

    return _open_or_create(settings, books_name(settings), books.words, lay_out, check, recover)


def open_ids(settings: Settings, ring: Segment) -> Segment | None:
    """Attaches to the id memory, making it if need be; None when ENGINE_ID_MEMORY is 0. ``ring`` is ring 0.

    It is only a memory: one of another size or with other seeds is made anew, and the log says so. But nobody may go on
    with the old one meanwhile, so all who use it share its lock. Raises SegmentError.
    """
    if settings.id_memory == 0:
        return None
    name, store, buckets = ids_name(settings), _store(settings), layout.ids_buckets(settings.id_memory)

    def lay_out(words: Words) -> None:
        ring.sync()  # or it may be made anew, with other seeds, after loss of power
        words[layout.IDS_BOOT_AT] = _boot()
        layout.lay_out_ids(words, buckets, ring.words, _random_odd_word())

    with locked(f"{settings.run_dir}/segments.lock"):
        try:
            segment = store.open(name)
        except FileNotFoundError:
            segment = _create(store, name, layout.ids_words(buckets), lay_out)
        except (OSError, ValueError) as error:
            raise SegmentError(f"{name}: it cannot be opened: {error}") from error
        complaint = layout.check_ids(segment.words, buckets, ring.words)
        if complaint:
            is_free = segment.lock()
            segment.close()
            if not is_free:
                raise SegmentError(f"{name}: {complaint}, and a process uses it as it is; stop all API processes first")
            log.warning("%s: %s; it is made anew and knows what the rings remember", name, complaint)
            store.remove(name)
            segment = _create(store, name, layout.ids_words(buckets), lay_out)
        if segment.words[layout.IDS_BOOT_AT] != _boot():  # it may lack what was not on disk
            segment.words[layout.IDS_NUMBER_AT] = _random_odd_word()
            segment.words[layout.IDS_BOOT_AT] = _boot()
        segment.lock(shared=True)
        return segment


def mark(segment: Segment, state: int, *places: int) -> None:
    """Says in a file, on disk, how it is left: ``state`` in the words ``places``; what is in it is there before.

    Raises OSError.
    """
    if any(segment.words[at] != state for at in places):
        segment.sync()
        for at in places:
            segment.words[at] = state
        segment.sync()


def remove_all(settings: Settings) -> list[str]:
    """Removes all segments of the engine called ``settings.name``, whatever their number; returns their names."""
    store = _store(settings)
    prefixes = (f"{settings.name}-ring-", books_name(settings), ids_name(settings))
    names = [name for name in store.names() if name.startswith(prefixes)]
    for name in names:
        store.remove(name)
    return names


def _open_or_create(
    settings: Settings,
    name: str,
    length: int,
    lay_out: Callable[[Words], None],
    check: Callable[[Words], str],
    recover: Callable[[Segment], None],
) -> Segment:
    """Attaches to the segment ``name``, making it first if it is not there.

    Parameters:
      length: in words.
      lay_out: writes the first content of a new segment, all of whose words are 0. Its last store must be what
        ``check`` looks at first, so that a maker killed half-way leaves something that is made anew.
      check: returns why an existing segment cannot be used, ``""`` when it can, ``"unfinished"`` when its maker died.
      recover: called with one that can, before anybody else sees it; raises SegmentError and OSError.

    Raises SegmentError for one that cannot be used or made.
    """
    store = _store(settings)
    os.makedirs(settings.run_dir, exist_ok=True)
    with locked(f"{settings.run_dir}/segments.lock"):
        try:
            segment = store.open(name)
        except FileNotFoundError:
            return _create(store, name, length, lay_out)
        except (OSError, ValueError) as error:  # ValueError: a mapping of something that is no file
            raise SegmentError(f"{name}: it cannot be opened: {error}") from error
        try:
            complaint = _complaint(segment.words, length, check)
            if not complaint:
                recover(segment)
                return segment
        except (SegmentError, OSError) as error:
            complaint = str(error)
        segment.close()
        if complaint != "unfinished":
            raise SegmentError(f"{name}: {complaint}. {_RESET}")
        store.remove(name)
        return _create(store, name, length, lay_out)


def _complaint(words: Words, length: int, check: Callable[[Words], str]) -> str:
    """As ``check``; for what is too short to be asked too."""
    if len(words) <= layout.BOARD_AT:
        is_blank = all(words[at] == 0 for at in range(len(words)))
        return "unfinished" if is_blank else f"it was cut short: {len(words) * WORD_BYTES} bytes are left"
    complaint = check(words)
    if not complaint and len(words) != length:
        complaint = f"it has {len(words)} words and should have {length}"
    return complaint


def _create(store: Store, name: str, length: int, lay_out: Callable[[Words], None]) -> Segment:
    try:
        segment = store.create(name, length)
    except OSError as error:
        raise SegmentError(f"{name}: it cannot be made with its {length * WORD_BYTES} bytes: {error}") from error
    lay_out(segment.words)
    return segment


_RESET = "`python -m engine reset` removes rings and books with everything that they remember"


def _store(settings: Settings) -> Store:
    return SharedMemoryStore() if settings.durability == "memory" else FileStore(settings.data_dir)


def _state_of_new(settings: Settings) -> int:
    """How new memory is left before anybody has used it: it is empty, whatever of it is on disk."""
    return layout.SYNCED if settings.durability == "sync" else layout.CLEAN


def _check_state(state: int) -> None:
    """After the machine went down, files that were not synced on the way may be any mixture of old and new.

    Raises SegmentError.
    """
    if state not in (layout.CLEAN, layout.SYNCED):
        raise SegmentError(
            "the machine went down while the engine ran, and ENGINE_DURABILITY was not sync: what is on disk may be "
            "incomplete, so it is not known what was charged"
        )


def _redo_ring(settings: Settings, index: int, words: Words) -> None:
    """Does to a ring what a whole redo log of the books says; nothing when there are no books that can be used."""
    try:
        books = _store(settings).open(books_name(settings))
    except FileNotFoundError:
        return
    shape = books_shape(settings)
    try:
        if not _complaint(books.words, shape.words, lambda words: check_books(words, shape)):
            redo_ring(books.words, index, words)
    finally:
        books.close()


def _boot() -> int:
    """A number for this boot of the machine (containers have their machine's)."""
    return int(Path(BOOT_ID_PATH).read_text().strip().replace("-", "")[:16], 16)


def _random_odd_word() -> int:
    """A random odd number of 64 bits, a multiplier for hashing that an outsider cannot guess."""
    return secrets.randbits(64) | 1
