"""The segments of one engine: their names, and attaching to them."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from engine.books.levels import Shape, check_books, lay_out_books, shape
from engine.memory import layout
from engine.memory.segment import FileStore, Segment, SegmentError, SharedMemoryStore, Store, locked
from engine.memory.words import Words
from engine.ring import repair
from engine.settings import Settings

BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"


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
        words[layout.RING_BOOT_AT] = _boot()
        layout.lay_out_ring(words, settings.ring_slots, _random_odd_word(), _random_odd_word())

    def check(words: Words) -> str:
        return layout.check_ring(words, settings.ring_slots)

    def recover(words: Words) -> None:
        if words[layout.RING_BOOT_AT] != _boot():
            _check_clean(settings, words[layout.RING_CLEAN_AT])
            repair.repair(words)
            words[layout.RING_BOOT_AT] = _boot()

    length = layout.ring_words(settings.ring_slots)
    return _open_or_create(settings, ring_name(settings, index), length, lay_out, check, recover)


def open_rings(settings: Settings) -> list[Segment]:
    """All rings, in the order of their index. Raises SegmentError."""
    return [open_ring(settings, index) for index in range(settings.api_processes)]


def open_books(settings: Settings) -> Segment:
    """Attaches to the books, making them if need be. Raises SegmentError."""
    books = books_shape(settings)

    def lay_out(words: Words) -> None:
        words[layout.BOOKS_BOOT_AT] = _boot()
        lay_out_books(words, books, _random_odd_word())

    def recover(words: Words) -> None:
        if words[layout.BOOKS_BOOT_AT] != _boot():
            _check_clean(settings, words[layout.BOOKS_CLEAN_AT])
            words[layout.BOOKS_BOOT_AT] = _boot()

    def check(words: Words) -> str:
        return check_books(words, books)

    return _open_or_create(settings, books_name(settings), books.words, lay_out, check, recover)


def remove_all(settings: Settings) -> list[str]:
    """Removes all segments of the engine called ``settings.name``, whatever their number; returns their names."""
    store = _store(settings)
    prefixes = (f"{settings.name}-ring-", books_name(settings))
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
    recover: Callable[[Words], None],
) -> Segment:
    """Attaches to the segment ``name``, making it first if it is not there.

    Parameters:
      length: in words.
      lay_out: writes the first content of a new segment, all of whose words are 0. Its last store must be what
        ``check`` looks at first, so that a maker killed half-way leaves something that is made anew.
      check: returns why an existing segment cannot be used, ``""`` when it can, ``"unfinished"`` when its maker died.
      recover: called with one that can, before anybody else sees it; raises SegmentError.

    Raises SegmentError for one that cannot be used.
    """
    store = _store(settings)
    os.makedirs(settings.run_dir, exist_ok=True)
    with locked(f"{settings.run_dir}/segments.lock"):
        with contextlib.suppress(FileNotFoundError):
            segment = store.open(name)
            complaint = check(segment.words) if len(segment.words) > layout.BOARD_AT else "unfinished"
            if not complaint and len(segment.words) != length:
                complaint = f"it has {len(segment.words)} words and should have {length}"
            if complaint and complaint != "unfinished":
                segment.close()
                raise SegmentError(f"{name}: {complaint}. {_RESET}")
            if not complaint:
                try:
                    recover(segment.words)
                except SegmentError as error:
                    segment.close()
                    raise SegmentError(f"{name}: {error}. {_RESET}") from None
                return segment
            segment.close()
            store.remove(name)
        try:
            segment = store.create(name, length)
        except OSError as error:
            raise SegmentError(f"{name}: no room for its {length * 8} bytes: {error.strerror}") from error
        lay_out(segment.words)
        return segment


_RESET = "`python -m engine reset` removes rings and books with everything that they remember"


def _store(settings: Settings) -> Store:
    return SharedMemoryStore() if settings.durability == "memory" else FileStore(settings.data_dir)


def _check_clean(settings: Settings, is_clean: int) -> None:
    """After the machine went down, files that were not synced on the way may be any mixture of old and new.

    Raises SegmentError.
    """
    if settings.durability != "sync" and not is_clean:
        raise SegmentError(
            "the machine went down while the engine ran, and ENGINE_DURABILITY is not sync: what is on disk may be "
            "incomplete, so it is not known what was charged"
        )


def _boot() -> int:
    """A number for this boot of the machine (containers have their machine's)."""
    return int(Path(BOOT_ID_PATH).read_text().strip().replace("-", "")[:16], 16)


def _random_odd_word() -> int:
    """A random odd number of 64 bits, a multiplier for hashing that an outsider cannot guess."""
    return secrets.randbits(64) | 1
