"""What ENGINE_DURABILITY promises. There is one object for each mode, with everything that the mode does differently.

A mode says where segments are, how they are left, and what dispatcher and API processes do for it beside their work.
Other code uses these objects and compares no names of modes. A new mode is one more object in :data:`MODES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from engine.books.writer import seal_log
from engine.cluster_settings import MODE
from engine.logs.logger import Logger
from engine.memory import layout
from engine.memory.words import PAGE_WORDS
from engine.ring import repair
from engine.settings import Settings
from engine.storage.segment import FileStore, Segment, SharedMemoryStore, Store

log = Logger(__name__)


class Keeping(ABC):
    """What a dispatcher does so that its stores are kept; see :class:`engine.dispatch.ports.Durability`.

    Each method may raise OSError. Then it is not known what is kept, and the process ends.
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
        """Brings the destination of each payment to where it is kept, before the payment is sent."""

    @abstractmethod
    def end(self) -> None:
        """The dispatcher stops."""


class Marking(Keeping):
    """Marks in the segments whether a dispatcher is at work. Its stores are in the page cache only."""

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
        """Makes the first sync write everything, even pages that the disk had refused from the last dispatcher."""
        for ring in self._rings:
            states = layout.slot_places(ring.words[layout.RING_SLOTS_AT], layout.SLOT_PROGRESS)
            # One word of its own in each page is enough. The last page may have no state any more, but a time.
            in_each_page = states[:: PAGE_WORDS // layout.SLOT_WORDS]
            ring.write_again((layout.RING_FORGOTTEN_AT, *in_each_page, states[-1], len(ring.words) - 1))
        self._books.write_again(range(0, len(self._books.words), PAGE_WORDS))

    def before_sends(self) -> None:
        """See the base class."""
        for segment in (*self._rings, self._books):
            segment.sync()

    def end(self) -> None:
        """See the base class."""


class Durability(ABC):
    """One mode.

    ``is_on_disk``: segments are files in ENGINE_DATA_DIR, which must be suitable. ``state_of_new``: how a segment is
    marked before it was ever used. ``sends_released_only``: a payment, and its 202, may be sent only when its API
    process has released it. So there is no fast path, which publishes at once.
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
        """A ring was opened and recovered, and no other process has seen it yet. Raises OSError."""

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
    """`memory`: stored data survives every process."""

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
    """`disk`: stored data survives the containers, and the machine if the engine was stopped before."""

    is_on_disk = True

    def store(self, data_dir: str) -> Store:
        """See the base class."""
        return FileStore(data_dir)

    def api_takes(self, ring: Segment) -> None:
        """See the base class."""
        repair.check_whole(ring.words)


class Sync(Disk):
    """`sync`: stored data survives a loss of power. So a file is always SYNCED."""

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
            log.critical("payments_lost", segment=ring.name, payments=lost)

    def api_begins(self, ring: Segment) -> None:
        """See the base class."""

    def api_ends(self, ring: Segment) -> None:
        """See the base class."""


class Cluster(Memory):
    """`cluster`: what the store has that cells share; memory is only how processes of a cell tell each other.

    So nothing of it is kept for the next start, and a payment may be sent when the store has it.
    """

    sends_released_only = True


MODES: dict[str, Durability] = {"memory": Memory(), "disk": Disk(), "sync": Sync(), MODE: Cluster()}


def of(settings: Settings) -> Durability:
    """The mode that the settings ask for."""
    return MODES[settings.storage.durability]
