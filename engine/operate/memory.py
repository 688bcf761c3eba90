"""What an operator's command sees of a running engine: its books, and the command ring. It makes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from engine.acts.ring import CommandWriter
from engine.books import listed
from engine.books.levels import shape_of
from engine.books.reader import BooksReader
from engine.memory import layout
from engine.memory.acts_layout import Carried, Command
from engine.memory.doorbell import Doorbell, Pipe
from engine.memory.words import Words
from engine.payment import Payment
from engine.settings import Settings
from engine.storage import commands, mapping, opening
from engine.storage.segment import Segment


class Letters(NamedTuple):
    """The payments of the parking table (the position of each is its place), the processors' names, and how many
    failed ones only the ledger has.
    """

    payments: list[Payment]
    names: tuple[str, ...]
    dropped: int


def letters(settings: Settings) -> Letters:
    """What the parking table holds now. Raises SegmentError and BooksBusyError."""
    with _books(settings) as books:
        payments = BooksReader(books.words, shape_of(books.words)).all_parked()
        return Letters(payments, listed.read(books.words), books.words[layout.BOOKS_FAILED_DROPPED_AT])


def names(settings: Settings) -> tuple[str, ...]:
    """The processors' names. Raises SegmentError."""
    with _books(settings) as books:
        return listed.read(books.words)


def paused(settings: Settings) -> int:
    """The word of paused processors. Raises SegmentError."""
    with _books(settings) as books:
        return books.words[layout.BOOKS_PAUSED_AT]


class OpenRing:
    """The command ring, in its segment; see :class:`engine.operate.carrying.Ring`."""

    def __init__(self, segment: Segment, books: Words, doorbell: Doorbell) -> None:
        self._segment = segment
        self._writer = CommandWriter(segment.words, books, layout.BOOKS_ACTS_AT)
        self._doorbell = doorbell

    def put(self, command: Command) -> int | None:
        """Puts a command while nobody else does, and wakes the dispatcher. Raises StuckError."""
        with commands.putting(self._segment):
            sequence = self._writer.put(command)
        self._doorbell.ring_if_asleep()
        return sequence

    def result(self, sequence: int) -> Carried | None:
        """See the protocol."""
        return self._writer.result(sequence)


@contextlib.contextmanager
def opened_ring(settings: Settings) -> Iterator[OpenRing]:
    """The command ring of the engine. Raises SegmentError and OSError."""
    with _books(settings) as books, contextlib.closing(commands.open_to_put(settings)) as segment:
        doorbell = Doorbell(Pipe(settings.host.doorbell_path), books.words)
        try:
            yield OpenRing(segment, books.words, doorbell)
        finally:
            doorbell.close()


@contextlib.contextmanager
def _books(settings: Settings) -> Iterator[Segment]:
    """The books as they are; other sizes in the settings change nothing."""
    books = opening.attached(mapping.store(settings), mapping.books_name(settings))
    try:
        yield books
    finally:
        books.close()
