"""A dispatcher over rings and books in private memory, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Sequence

from engine.books.levels import lay_out_books, shape
from engine.books.reader import BooksReader, Sum
from engine.books.writer import BooksWriter
from engine.connectors import answers as outcome
from engine.connectors.answers import Outcome
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.work import LOOK_AT_ONCE, Limits, Work
from engine.memory import layout
from engine.memory.status import StatusBlock
from engine.memory.words import zeros
from engine.payment import Payment
from engine.ring.ring import RingReader, RingWriter
from tests.routing import making

START_MS = 1_760_000_000_000
SHAPE = shape(recent_seconds=60, horizon_hours=1, parked_slots=64, processors=2)


class World:
    """Rings, books, and a dispatcher that can be killed and started anew over them."""

    def __init__(
        self,
        rings: int = 1,
        slots: int = 64,
        in_flight_max: int = 16,
        give_up_ms: int = 60_000,
        look: int = LOOK_AT_ONCE,
        waits_for_ledger: bool = False,
    ) -> None:
        self._waits_for_ledger = waits_for_ledger
        self._look = look
        self._in_flight_max = in_flight_max
        self._give_up_ms = give_up_ms
        self.wall_ahead_ms = START_MS  # the wall clock before the engine's
        self._ring_words = []
        for _ in range(rings):
            words = zeros(layout.ring_words(slots))
            layout.lay_out_ring(words, slots, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
            self._ring_words.append(words)
        self.writers = [RingWriter(words) for words in self._ring_words]
        self._books_words = zeros(SHAPE.words)
        lay_out_books(self._books_words, SHAPE, 0x9E3779B97F4A7C15)
        self.books = BooksReader(self._books_words, SHAPE)
        self.mono_ms = 1000
        self.restart()

    @property
    def now(self) -> Now:
        """This moment."""
        return Now(self.mono_ms, self.wall_ahead_ms + self.mono_ms)

    def restart(self) -> None:
        """The dispatcher is killed; another one takes up what shared memory holds."""
        self.router = making.router(
            in_flight_min=self._in_flight_max, in_flight_max=self._in_flight_max, wait_cost_ppm=10_000_000
        )
        work = Work(
            [RingReader(words) for words in self._ring_words],
            BooksWriter(self._books_words, SHAPE, self._ring_words),
            SHAPE,
            StatusBlock(self._books_words),
            self.router,
            Limits(
                give_up_ms=self._give_up_ms,
                park_ms=20_000,
                batch=64,
                refusals_max=3,
                look=self._look,
                waits_for_ledger=self._waits_for_ledger,
            ),
        )
        self.dispatcher = Dispatcher(work)
        self.dispatcher.recover(self.now)

    def accept(self, number: int, cents: int = 1990, ring: int = 0, *, seen: bool = False) -> None:
        """A payment with the id (``number``, ``number``) comes in; ``seen``: it may have been here before."""
        origin = self.mono_ms | (layout.ORIGIN_SEEN if seen else 0)
        assert self.writers[ring].put(number, number, cents, self.now.wall_ms, origin)

    def start(self, later_ms: int = 0) -> list[Attempt]:
        """What the dispatcher sends ``later_ms`` from now; its lookups are answered with "not there yet"."""
        attempts, lookups = self.start_all(later_ms)
        self.end(lookups, outcome.ABSENT, later_ms=0)
        return attempts

    def start_all(self, later_ms: int = 0) -> tuple[list[Attempt], list[Attempt]]:
        """What the dispatcher sends ``later_ms`` from now, and its lookups of payments that are overdue or unknown."""
        self.mono_ms += later_ms
        started = self.dispatcher.start(self.now)
        attempts = [attempt for attempt in started if not attempt.is_beside]
        return attempts, [attempt for attempt in started if attempt.is_beside]

    def end(self, attempts: Sequence[Attempt], ended: Outcome, later_ms: int = 1) -> None:
        """All these attempts end with ``ended``, ``later_ms`` from now."""
        self.mono_ms += later_ms
        self.dispatcher.finish(self.now, [(attempt, ended) for attempt in attempts])

    def payment(self, number: int, ring: int = 0) -> Payment:
        """What the ring says of payment ``number``."""
        payment = RingReader(self._ring_words[ring]).find(number, number)
        assert payment is not None
        return payment

    def totals(self) -> tuple[Sum, Sum, Sum]:
        """The books' totals: default, fallback, failed."""
        (default, fallback), failed, _ = self.books.totals()
        return default, fallback, failed

    def word(self, index: int) -> int:
        """A word of the books."""
        return self._books_words[index]
