"""What the ledger reads of shared memory. It writes nothing there, and waits for nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from engine.books import parked
from engine.books.levels import Shape
from engine.books.reader import TRIES_MAX, BooksBusyError
from engine.correlation import halves, id_bytes
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


Accepted = tuple[bytes, int]  # which payment: its id as SQL has it, and when it was accepted (ms, wall clock)


def accepted(payment: Payment) -> Accepted:
    """Which payment this is, wherever it is kept: an id that is accepted a second time is another one."""
    return id_bytes(payment.id_high, payment.id_low), payment.accepted_ms


class Parked(NamedTuple):
    """A parked payment: its place, the books' era of it, and the slot that it had (ring, position); (-1, 0): none."""

    place: int
    era: int
    payment: Payment
    ring: int
    position: int

    @property
    def accepted(self) -> Accepted:
        """Which payment it is."""
        return accepted(self.payment)


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
    def ancestors(self) -> tuple[int, ...]:
        """The generations whose payments this memory has taken over, one after the other, the latest first."""
        words = self._books
        return tuple(words[at] for at in (layout.BOOKS_REPLACED_AT, *layout.BOOKS_ANCESTORS_AT) if words[at])

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

    def parked_since(self, sequence: int) -> tuple[int, list[Parked]]:
        """Parked places that have changed since the number ``sequence`` (PARKED_SEQUENCE), and where to go on.

        Each is of one moment, but not all of the same. A place that changes meanwhile comes again. Raises
        BooksBusyError.
        """
        words = self._books
        last = self._at_one_moment(lambda: words[layout.BOOKS_PARKED_SEQUENCE_AT])
        if last < sequence:
            return sequence, []
        found = [self._parked(place) for place in parked.changed_since(words, self._shape, sequence)]
        return last + 1, [one for one in found if one is not None]

    def find_parked(self, one: Accepted) -> Parked | None:
        """This payment in the parking table, of the present era; None: it is not there. Raises BooksBusyError."""
        get, shape = self._books.__getitem__, self._shape
        id_high, id_low = halves(one[0])

        def find() -> int | None:
            for place in parked.bucket(get, shape, id_high, id_low):
                payment = parked.read(get, shape, place)
                if payment is not None and accepted(payment) == one:
                    return place
            return None

        place = self._at_one_moment(find)
        return None if place is None else self._parked(place)

    def parked_with(self, identity: bytes) -> list[Parked]:
        """The payments with this id that places have held last, of any era. Raises BooksBusyError."""
        get, shape = self._books.__getitem__, self._shape
        id_high, id_low = halves(identity)
        found = [self._parked(place) for place in parked.bucket(get, shape, id_high, id_low)]
        return [one for one in found if one is not None and accepted(one.payment)[0] == identity]

    def _parked(self, place: int) -> Parked | None:
        get = self._books.__getitem__
        found, home = self._at_one_moment(
            lambda: (parked.read_of_any_era(get, self._shape, place), parked.home(get, self._shape, place))
        )
        if found is None:
            return None
        return Parked(place, *found, (home >> layout.ADDRESS_SEGMENT_SHIFT) - 1, home & _HOME_MASK)

    def _at_one_moment(self, read: Callable[[], T]) -> T:
        """What ``read`` reads of the books while no transaction is being applied. Raises BooksBusyError."""
        words = self._books
        for _ in range(TRIES_MAX):
            version = words[layout.BOOKS_VERSION_AT]
            found = read()
            if not version & 1 and words[layout.BOOKS_VERSION_AT] == version:
                return found
        raise BooksBusyError(f"the books changed during each of {TRIES_MAX} readings")
