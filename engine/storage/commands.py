"""The command ring's segment: the dispatcher makes it, or goes on with it; operators' commands write into it.

It holds nothing that anybody was promised: a ring that does not fit is made anew, and what waited in it is asked again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator

from engine.acts import ring
from engine.logs.logger import Logger
from engine.memory import acts_layout, layout
from engine.memory.errors import SegmentError
from engine.memory.words import WORD_BYTES
from engine.settings import Settings
from engine.storage import locks, making, mapping, names, recovery
from engine.storage.segment import Segment

log = Logger(__name__)
LOCKED_BYTE = 0  # of the segment: who puts a command holds its lock


def open_to_write(settings: Settings, books: Segment) -> Segment | None:
    """The ring, made if need be; None where nothing is recorded, since there are no acts then: an old one is removed.
    The caller holds the books. Raises SegmentError.
    """
    store, name = mapping.store(settings), names.acts_name(settings.host.name)
    if not settings.ledger.is_on:
        store.remove(name)
        return None
    generation, done = books.words[layout.BOOKS_GENERATION_AT], books.words[layout.BOOKS_ACTS_AT]
    try:
        found = store.open(name)
        problem = ring.complaint(found.words, recovery.boot(), generation, done)
        if not problem:
            return found
        found.close()
        log.warning("segment_replaced", segment=name, reason=problem)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        log.warning("segment_replaced", segment=name, reason=f"it cannot be opened ({error})")
    store.remove(name)
    length = acts_layout.acts_words(acts_layout.SLOTS)
    try:
        # Beside, until it is whole, and under the engine's lock: as the journal.
        with making.locked(store, settings.host.name):
            store.remove(name + names.NEW)
            with contextlib.closing(store.create(name + names.NEW, length)) as made:
                ring.lay_out_acts(made.words, secrets.randbits(63) | 1, recovery.boot(), generation, done)
            store.rename(name + names.NEW, name)
            return store.open(name)
    except OSError as error:
        raise SegmentError(f"{name}: it cannot be made with its {length * WORD_BYTES} bytes: {error}") from error


def open_to_put(settings: Settings) -> Segment:
    """The ring as it is now. Raises SegmentError."""
    store, name = mapping.store(settings), names.acts_name(settings.host.name)
    try:
        found = store.open(name)
    except FileNotFoundError:
        raise SegmentError(
            f"{name}: there is no command ring. A dispatcher with ENGINE_LEDGER=best makes it when it starts"
        ) from None
    except (OSError, ValueError) as error:
        raise SegmentError(f"{name}: it cannot be opened: {error}") from error
    words = found.words
    if (
        len(words) < acts_layout.HEADER_WORDS
        or words[acts_layout.MAGIC_AT] != acts_layout.ACTS_MAGIC
        or words[acts_layout.LAYOUT_AT] != acts_layout.ACTS_LAYOUT_VERSION
    ):
        found.close()
        raise SegmentError(f"{name}: another version of the engine has made it")
    return found


@contextlib.contextmanager
def putting(segment: Segment) -> Iterator[None]:
    """Keeps others from putting commands during the block. Raises StuckError when somebody keeps the lock."""
    descriptor = os.open(segment.lock_path, os.O_RDWR | os.O_CLOEXEC)
    try:
        locks.take(descriptor, LOCKED_BYTE)
        yield
    finally:
        os.close(descriptor)
