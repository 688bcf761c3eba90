"""What ENGINE_DURABILITY promises, one object for each mode: all that is done differently because of it is here.

A mode says where segments are, how they are left, and what dispatcher and API processes do beside their work. Whoever
asks for something else than these objects say compares no names: another mode is one more object in :data:`MODES`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from engine.books.writer import seal_log
from engine.memory import layout
from engine.ring import repair
from engine.settings import Settings
from engine.storage.segment import FileStore, Segment, SharedMemoryStore, Store

PAGE_WORDS = 512

log = logging.getLogger(__name__)


class Keeping(ABC):
    """What a dispatcher does so that what it stores is kept; see :class:`engine.dispatch.ports.Durability`.

    Each raises OSError: then nothing is known to be kept, and the process ends.
    """

    before_books: Callable[[], None] | None = None

    def __init__(self, books: Segment, rings: Sequence[Segment]) -> None:
        self._books = books
        self._rings = rings

    @abstractmethod
    def begin(self) -> None:
        """A dispatcher takes up rings and books, however the last one ended."""

    @abstractmethod
    def before_sends(self) -> None:
        """Where each payment goes must be kept before it goes."""

    @abstractmethod
    def end(self) -> None:
        """The dispatcher stops."""


class Marking(Keeping):
    """Says in the segments whether a dispatcher is at work. The page cache keeps what it stores, and nothing else."""

    def begin(self) -> None:
        """See the base class."""
        self._mark(layout.UNCLEAN)

    def before_sends(self) -> None:
        """See the base class."""

    def end(self) -> None:
        """See the base class."""
        self._mark(layout.CLEAN)

    def _mark(self, state: int) -> None:
        for ring in self._rings:
            ring.mark(state, layout.RING_CLEAN_AT)
        self._books.mark(state, layout.BOOKS_CLEAN_AT)


class Syncing(Keeping):
    """Brings rings and books to disk."""

    def __init__(self, books: Segment, rings: Sequence[Segment]) -> None:
        super().__init__(books, rings)
        self.before_books = self.before_sends

    def begin(self) -> None:
        """Lets the first sync write everything, also what the disk had refused the last dispatcher."""
        for ring in self._rings:
            slots = ring.words[layout.RING_SLOTS_AT]
            ring.write_again((layout.RING_FORGOTTEN_AT, *layout.slot_places(slots, layout.SLOT_PROGRESS)))
        self._books.write_again(range(0, len(self._books.words), PAGE_WORDS))

    def before_sends(self) -> None:
        """See the base class."""
        for segment in (*self._rings, self._books):
            segment.sync()

    def end(self) -> None:
        """See the base class."""


class Durability(ABC):
    """One mode.

    ``is_on_disk``: segments are files in ENGINE_DATA_DIR, which must be fit for that. ``state_of_new``: how a segment
    is left before anybody has used it. ``sends_released_only``: a payment may be sent, and its 202 too, only when its
    API process has released it; so there is no fast path, which publishes at once.
    """

    is_on_disk: ClassVar[bool]
    state_of_new: ClassVar[int]
    sends_released_only: ClassVar[bool]

    @property
    def has_fast_path(self) -> bool:
        """Whether C code may accept payments and answer 202 by itself."""
        return not self.sends_released_only

    @abstractmethod
    def store(self, data_dir: str) -> Store:
        """Where segments are."""

    @abstractmethod
    def keeping(self, books: Segment, rings: Sequence[Segment]) -> Keeping:
        """What a dispatcher does."""

    @abstractmethod
    def opened_ring(self, ring: Segment) -> None:
        """A ring was opened and recovered, and nobody else has seen it yet. Raises OSError."""

    @abstractmethod
    def opened_books(self, books: Segment) -> None:
        """The same of the books. Raises OSError."""

    @abstractmethod
    def api_takes(self, ring: Segment) -> None:
        """The API process of ``ring`` has taken it, and has not looked at what is in it. Raises SegmentError."""

    @abstractmethod
    def api_begins(self, ring: Segment) -> None:
        """The API process of ``ring`` accepts from now on. Raises OSError."""

    @abstractmethod
    def api_ends(self, ring: Segment) -> None:
        """It has stopped. Raises OSError."""


class Memory(Durability):
    """`memory`: what is stored survives every process."""

    is_on_disk = False
    state_of_new = layout.CLEAN
    sends_released_only = False

    def store(self, data_dir: str) -> Store:
        """See the base class."""
        return SharedMemoryStore()

    def keeping(self, books: Segment, rings: Sequence[Segment]) -> Keeping:
        """See the base class."""
        return Marking(books, rings)

    def opened_ring(self, ring: Segment) -> None:
        """See the base class."""

    def opened_books(self, books: Segment) -> None:
        """See the base class."""

    def api_takes(self, ring: Segment) -> None:
        """See the base class."""

    def api_begins(self, ring: Segment) -> None:
        """See the base class."""
        ring.mark(layout.UNCLEAN, layout.RING_CLOSED_AT)

    def api_ends(self, ring: Segment) -> None:
        """See the base class."""
        ring.mark(layout.CLEAN, layout.RING_CLOSED_AT)


class Disk(Memory):
    """`disk`: it survives the containers, and the machine if the engine was stopped before."""

    is_on_disk = True

    def store(self, data_dir: str) -> Store:
        """See the base class."""
        return FileStore(data_dir)

    def api_takes(self, ring: Segment) -> None:
        """See the base class."""
        repair.check_whole(ring.words)


class Sync(Disk):
    """`sync`: it survives loss of power; so a file is never anything but SYNCED."""

    state_of_new = layout.SYNCED
    sends_released_only = True

    def keeping(self, books: Segment, rings: Sequence[Segment]) -> Keeping:
        """See the base class."""
        return Syncing(books, rings)

    def opened_ring(self, ring: Segment) -> None:
        """See the base class."""
        ring.mark(layout.SYNCED, layout.RING_CLEAN_AT, layout.RING_CLOSED_AT)

    def opened_books(self, books: Segment) -> None:
        """See the base class."""
        words = books.words
        if words[layout.BOOKS_CLEAN_AT] != layout.SYNCED:
            seal_log(words, words[layout.BOOKS_REDO_COUNT_AT])  # what a killed writer without sync has left open
        books.mark(layout.SYNCED, layout.BOOKS_CLEAN_AT)

    def api_takes(self, ring: Segment) -> None:
        """See the base class."""
        lost = repair.take_back(ring.words)
        if lost:
            log.critical("%s: the disk has lost %d payments, none of which had its 202", ring.name, lost)

    def api_begins(self, ring: Segment) -> None:
        """See the base class."""

    def api_ends(self, ring: Segment) -> None:
        """See the base class."""


MODES: dict[str, Durability] = {"memory": Memory(), "disk": Disk(), "sync": Sync()}


def of(settings: Settings) -> Durability:
    """The mode that the settings ask for."""
    return MODES[settings.storage.durability]
