"""What an engine remembers of payments, read from its memory while it is open, in use or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.books.reader import BooksBusyError, BooksReader, Sum
from engine.memory.errors import SegmentError
from engine.ring.ring import RingReader
from engine.settings import Settings
from engine.storage import mapping
from engine.storage.segment import Segment


class Remembered(NamedTuple):
    """``settled``: by the number of the processor. ``failed``: payments given up, or charged before they were accepted.
    ``pending``: payments that are not done.
    """

    settled: tuple[Sum, ...]
    failed: int
    pending: int

    @property
    def is_nothing(self) -> bool:
        """Whether there was no payment since the memory was made or purged."""
        return not self.pending and not self.failed and not any(one.payments for one in self.settled)


def read(settings: Settings, books: Segment, rings: Sequence[Segment]) -> Remembered:
    """What is remembered at this moment. Raises SegmentError where the books change all the time."""
    try:
        totals = BooksReader(books.words, mapping.books_shape(settings)).totals()
    except BooksBusyError as error:
        raise SegmentError(f"{books.name}: {error}") from error
    # The rings are read after the books: a payment that is settled in between still counts as pending.
    readers = [RingReader(ring.words) for ring in rings]
    accepted = sum(reader.head - reader.forgotten_below for reader in readers)
    others = totals.failed.payments + totals.before.payments
    return Remembered(totals.settled, others, max(0, accepted - totals.payments))
