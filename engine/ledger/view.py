"""What the ledger reads of shared memory. It writes nothing there, and waits for nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from engine.books import parked
from engine.books.levels import Shape
from engine.books.reader import TRIES_MAX, BooksBusyError
from engine.journal.reader import JournalReader
from engine.memory import layout
from engine.memory.words import Words
from engine.metrics.accepting import accepting
from engine.payment import Payment
from engine.ring.ring import RingReader

T = TypeVar("T")
_HOME_MASK = (1 << layout.ADDRESS_SEGMENT_SHIFT) - 1


class Moment(NamedTuple):
    """Words of the books that belong together. ``purges``: their era; ``forgotten``: for each ring, below it nothing
    is of this era; ``settled``: payments that all processors have charged.
    """

    purges: int
    forgotten: tuple[int, ...]
    settled: int


class View:
    """The memory of one engine.

    Parameters:
      books, shape: the words of its books, and their shape.
      rings: the words of its rings.
      journal: the journal; None while no dispatcher has made it.
      metrics: the segment of the metrics; None where nothing is counted.
    """

    def __init__(
        self,
        books: Words,
        shape: Shape,
        rings: Sequence[Words],
        journal: JournalReader | None = None,
        metrics: Words | None = None,
    ) -> None:
        self._books = books
        self._shape = shape
        self.rings = [RingReader(words) for words in rings]
        self.journal = journal
        self._metrics = metrics

    @property
    def generation(self) -> int:
        """Of this memory; another one means other positions."""
        return self._books[layout.BOOKS_GENERATION_AT]

    @property
    def replaced(self) -> int:
        """The generation whose payments this memory has taken over; 0 for none."""
        return self._books[layout.BOOKS_REPLACED_AT]

    def accepting(self) -> list[int] | None:
        """How long accepting has taken so far: buckets and sum; None where nothing is counted."""
        return None if self._metrics is None else accepting(self._metrics, len(self.rings))

    def moment(self) -> Moment:
        """The books' words at one moment. Raises BooksBusyError."""
        words, processors = self._books, self._shape.processors
        return self._at_one_moment(
            lambda: Moment(
                words[layout.BOOKS_PARKED_ERA_AT],
                tuple(ring.forgotten_below for ring in self.rings),
                sum(words[layout.BOOKS_TOTALS_AT + 2 * number] for number in range(processors)),
            )
        )

    def parked(self) -> list[tuple[Payment, int, int]]:
        """Every payment of the parking table, with its home (ring, position); (-1, 0) for none.

        Each is of one moment, but not all of the same. Raises BooksBusyError.
        """
        if not self._books[layout.BOOKS_PARKED_TAKEN_AT]:
            return []
        found = []
        for place in range(self._shape.parked_slots):
            one = self._parked(place)
            if one is not None:
                found.append(one)
        return found

    def _parked(self, place: int) -> tuple[Payment, int, int] | None:
        get = self._books.__getitem__
        payment, home = self._at_one_moment(
            lambda: (parked.read(get, self._shape, place), parked.home(get, self._shape, place))
        )
        if payment is None:
            return None
        return payment, (home >> layout.ADDRESS_SEGMENT_SHIFT) - 1, home & _HOME_MASK

    def _at_one_moment(self, read: Callable[[], T]) -> T:
        """What ``read`` reads of the books while no transaction is being applied. Raises BooksBusyError."""
        words = self._books
        for _ in range(TRIES_MAX):
            version = words[layout.BOOKS_VERSION_AT]
            found = read()
            if not version & 1 and words[layout.BOOKS_VERSION_AT] == version:
                return found
        raise BooksBusyError(f"the books changed during each of {TRIES_MAX} readings")
