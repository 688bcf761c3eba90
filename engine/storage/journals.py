"""The journal's segment: the dispatcher makes it, or goes on with it; others read it.

It is only history, so it is never migrated or recovered: a journal that does not fit is made anew under a new number,
and its readers say what they have missed.
"""

from __future__ import annotations

import contextlib
import secrets

from engine.journal import writer
from engine.logs.logger import Logger
from engine.memory import journal_layout, layout
from engine.memory.errors import SegmentError
from engine.memory.words import WORD_BYTES
from engine.settings import Settings
from engine.storage import making, mapping, names, recovery
from engine.storage.segment import Segment

log = Logger(__name__)


def open_to_write(settings: Settings, books: Segment) -> Segment | None:
    """The journal, made if need be; None where nothing is recorded: then an old one is removed, because it would have a
    hole that nobody can see. The caller holds the books. Raises SegmentError.
    """
    store, name = mapping.store(settings), names.journal_name(settings.host.name)
    if not settings.ledger.is_on:
        with contextlib.suppress(FileNotFoundError):
            store.remove(name)
        return None
    slots, generation = settings.ledger.journal_slots, books.words[layout.BOOKS_GENERATION_AT]
    try:
        journal = store.open(name)
        problem = writer.complaint(journal.words, slots, recovery.boot(), generation)
        if not problem:
            return journal
        journal.close()
        log.warning("segment_replaced", segment=name, reason=problem)
        store.remove(name)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        log.warning("segment_replaced", segment=name, reason=f"it cannot be opened ({error})")
        store.remove(name)
    length = journal_layout.journal_words(slots)
    try:
        # Beside, until it is whole: a reader never finds half of it. Under the engine's lock, because a process that
        # starts meanwhile removes what an earlier one has left half made.
        with making.locked(store, settings.host.name):
            store.remove(name + names.NEW)
            with contextlib.closing(store.create(name + names.NEW, length)) as made:
                number = secrets.randbits(63) | 1
                writer.lay_out_journal(made.words, slots, number, recovery.boot(), generation)
            store.rename(name + names.NEW, name)
            return store.open(name)
    except OSError as error:
        raise SegmentError(f"{name}: it cannot be made with its {length * WORD_BYTES} bytes: {error}") from error


def open_to_read(settings: Settings) -> Segment | None:
    """The journal as it is now; None: there is none. Raises SegmentError when it cannot be read."""
    store, name = mapping.store(settings), names.journal_name(settings.host.name)
    try:
        journal = store.open(name)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SegmentError(f"{name}: it cannot be opened: {error}") from error
    if (
        len(journal.words) < journal_layout.HEADER_WORDS
        or journal.words[journal_layout.MAGIC_AT] != journal_layout.JOURNAL_MAGIC
        or journal.words[journal_layout.LAYOUT_AT] != journal_layout.JOURNAL_LAYOUT_VERSION
    ):
        journal.close()
        raise SegmentError(f"{name}: another version of the engine has written it")
    return journal
