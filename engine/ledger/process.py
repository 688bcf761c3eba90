"""The ledger process: looks at shared memory, and carries what is new into SQL, again and again.

When the database is away, or its disk is full, it tries again, ever more slowly up to RETRY_MAX_S. Meanwhile slots and
journal keep what they can. With ENGINE_LEDGER=best nobody waits for it, and what they cannot keep becomes a gap. With
`require` slots, parked places and purges wait for its marks (:mod:`engine.ledger.marks`).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from engine.books.reader import BooksBusyError
from engine.journal.reader import JournalReader
from engine.ledger import queries
from engine.ledger.carrier import Carrier
from engine.ledger.carry import carry, open_payments
from engine.ledger.database import Database, open_ledger, wall_ms
from engine.ledger.errors import AwayError
from engine.ledger.marks import Marks
from engine.ledger.meter import Meter
from engine.ledger.retention import tend
from engine.ledger.rows import Batch
from engine.ledger.view import View
from engine.logs import writing
from engine.logs.logger import Logger
from engine.memory import clock
from engine.memory.status import LedgerState, LedgerStatus
from engine.memory.words import Words
from engine.settings import Settings
from engine.storage import journals, locks, mapping, pages
from engine.storage.segment import HeldError, Segment

PAUSE_S: Final = 0.25  # between two looks for a journal, and while a purge waits
SECOND_MS: Final = 1000
LOOK_EVERY_S: Final = 1.0  # between two checks that this is still the memory that the engine uses
TEND_EVERY_S: Final = 30.0  # between two rounds of retention, and of collecting what refers to itself
MANY: Final = 50  # payments in a batch: then seconds pass before the next one, for the process to run once for all
SECONDS_PASSED: Final = 2
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
HOLD_TRIES: Final = 40  # with PAUSE_S between them: the time that a predecessor has to end
LAST_LOOKS_S: Final = 4.0  # a stop waits so long for what is still to be carried

log = Logger("engine.ledger")


class Memory(NamedTuple):
    """An engine's memory: what is read of it, the ledger's own words in it, and the segments that it consists of."""

    view: View
    marks: Marks
    books: Words
    segments: Sequence[Segment]


def to_next_second_s(now_ms: int) -> float:
    """How long to pause before the next look when little is to do: until the wall clock begins another second.

    A transaction costs as much CPU as a hundred payments (PostgreSQL: 10 ms), and what is settled within a second goes
    in once, and not first as an open payment. A look at the end of each second sees it as a whole, for `sample`. While
    there are MANY payments, only every third look is more than that.
    """
    return (SECOND_MS - now_ms % SECOND_MS) / SECOND_MS


class Process:
    """Carries until it is asked to stop.

    Parameters:
      is_asked: whether a stop was asked for.
      sleep: waits so many seconds, or until a stop is asked for.
    """

    def __init__(self, settings: Settings, is_asked: Callable[[], bool], sleep: Callable[[float], object]) -> None:
        self._settings = settings
        self._is_asked = is_asked
        self._sleep = sleep
        self._database: Database | None = None
        self._retry_s = RETRY_FIRST_S
        self._away = ""  # what the database said last, while it is away
        self._tend_at = self._collect_at = 0.0
        self._meter: Meter | None = None
        self._passing = 0  # seconds that only the sample looks at

    def run(self) -> None:
        """Until a stop is asked for, and then until everything is carried, for at most LAST_LOOKS_S.

        Raises LedgerError when it can never go on, SegmentError and HeldError.
        """
        while not self._is_asked():
            with self._memory() as memory:
                self._carry_from(memory)
            if not self._is_asked():
                log.warning("memory_renewed")
        if self._database is not None:
            self._database.close()

    @contextlib.contextmanager
    def _memory(self) -> Iterator[Memory]:
        """The engine's memory as it is now, once a dispatcher has made the journal."""
        settings = self._settings
        with contextlib.ExitStack() as opened:
            segments = [mapping.open_books(settings), *mapping.open_rings(settings)]
            for segment in segments:
                opened.callback(segment.close)
            while (journal := journals.open_to_read(settings)) is None and not self._is_asked():
                self._sleep(PAUSE_S)
            reader = None
            if journal is not None:
                opened.callback(journal.close)
                self._hold(journal, opened)
                segments.append(journal)
                reader = JournalReader(journal.words)
            books, *rings = segments[: 1 + settings.host.api_processes]
            shape = mapping.books_shape(settings)
            words = [ring.words for ring in rings]
            metrics, self._meter = pages.open_to_write(settings), None
            if metrics is not None:
                opened.callback(metrics.close)
                self._meter = Meter(metrics.words)
            view = View(books.words, shape, words, reader, None if metrics is None else metrics.words)
            yield Memory(view, Marks(books.words, words), books.words, segments)

    def _hold(self, journal: Segment, held: contextlib.ExitStack) -> None:
        """Makes this the only ledger process: the words that it writes have one writer. Raises HeldError."""
        for _ in range(HOLD_TRIES):
            with contextlib.suppress(BlockingIOError):
                held.enter_context(locks.holding(journal.lock_path, 0, wait=False))
                return
            if self._is_asked():
                return
            self._sleep(PAUSE_S)
        raise HeldError(f"{journal.name} is held: another ledger process of this engine runs")

    def _carry_from(self, memory: Memory) -> None:
        """Carries from this memory, until another one is in use or a stop is asked for."""
        carrier, look_at, stop_at = None, time.monotonic() + LOOK_EVERY_S, 0.0
        status = LedgerStatus(memory.books)
        while True:
            now = time.monotonic()
            if self._is_asked() and not stop_at:
                stop_at = now + LAST_LOOKS_S
            status.heartbeat_ms = clock.read_ms(memory.books)
            try:
                if carrier is None:
                    carrier = self._begin(memory)
                is_new = self._carry_next(memory, carrier, is_last=stop_at > 0)
                status.state = LedgerState.CARRYING
                self._is_back()
                self._tend(now)
            except (BooksBusyError, AwayError) as error:
                if isinstance(error, AwayError):
                    self._is_away(error)
                    status.state = LedgerState.AWAY
                carrier = None  # the look may have been cut short: another one goes on from what the database has
                is_new = False
            if carrier is None and status.state == LedgerState.AWAY:
                # An error of the database holds the frames in which it came about, and them the batch; and it is one of
                # a cycle. Books that change all the time are none, and come more often.
                gc.collect()
            if stop_at and (now >= stop_at or (carrier is not None and not is_new)):
                status.state = LedgerState.STOPPED
                return
            if now >= look_at:
                look_at = now + LOOK_EVERY_S
                writing.tick()
                if self._meter is not None:
                    self._meter.show()
                if mapping.lost(memory.segments):
                    return
            if carrier is None:
                self._sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            elif not carrier.is_behind and not stop_at and (carrier.is_whole or not memory.marks.is_purge_waiting):
                self._sleep(PAUSE_S if memory.marks.is_purge_waiting else to_next_second_s(wall_ms()))

    def _carry_next(self, memory: Memory, carrier: Carrier, is_last: bool) -> bool:
        """Looks, or lets a second pass; whether there was anything."""
        if self._passing and not (is_last or carrier.is_behind or memory.marks.is_purge_waiting):
            self._passing -= 1
            with contextlib.suppress(BooksBusyError):
                carrier.count(wall_ms())
            return False
        self._passing = 0
        return self._look(memory, carrier)

    def _look(self, memory: Memory, carrier: Carrier) -> bool:
        """Carries what one look finds, and then says so; whether there was anything."""
        asked, wall, clock_ms = memory.marks.asked(), wall_ms(), clock.read_ms(memory.books)
        batch = carrier.look(wall, is_whole=memory.marks.is_purge_waiting)
        is_new = self._carry(batch)
        carrier.carried()
        if len(batch.payments) >= MANY and not self._settings.ledger.is_required:  # where slots wait for it
            self._passing = SECONDS_PASSED
        memory.marks.set(carrier.cursor)
        if carrier.is_whole:
            memory.marks.cover(asked)
        unseen_ms = carrier.unseen_ms()
        age_ms = 0 if unseen_ms is None else max(0, wall - unseen_ms)
        LedgerStatus(memory.books).complete_ms = max(0, clock_ms - age_ms)
        return is_new

    def _begin(self, memory: Memory) -> Carrier:
        settings = self._settings
        if self._database is None:
            self._database = open_ledger(
                settings.ledger_url,
                name=settings.host.name,
                processors=settings.processors.names,
                is_full=settings.ledger.is_required,
            )
        cursor = self._database.cursor()
        memory.marks.begin(cursor)
        fees = [one.fee_ppm if one.fee_ppm >= 0 else None for one in settings.processors.all]
        known = queries.fees(self._database)
        return Carrier(memory.view, cursor, fees, wall_ms(), open_payments(self._database), known)

    def _carry(self, batch: Batch) -> bool:
        """Carries a batch; whether there was anything in it."""
        assert self._database is not None
        if batch.cursor == batch.expected and not any(batch[2:]):
            return False
        rejected = carry(self._database, batch)
        if self._meter is not None:
            self._meter.carried(batch, rejected)
        if rejected:
            log.error("rows_rejected", rows=rejected)
        for gap in batch.gaps:
            level = logging.WARNING if gap.missing else logging.INFO
            log.log(level, "gap", source=gap.source, first=gap.first, last=gap.last, why=gap.why)
        return True

    def _tend(self, now: float) -> None:
        assert self._database is not None
        if now >= self._collect_at:
            gc.collect()
            if not self._collect_at:
                gc.freeze()  # of what is there once it carries nothing ends before the process does: mostly modules
            self._collect_at = now + TEND_EVERY_S
        if now >= self._tend_at:
            is_more = tend(self._database, self._settings.ledger.retention_days)
            self._tend_at = now if is_more else now + TEND_EVERY_S

    def _is_back(self) -> None:
        """It can be written again, which takes more than that it can be read."""
        if self._away:
            log.warning("database_back")
        self._away, self._retry_s = "", RETRY_FIRST_S

    def _is_away(self, error: AwayError) -> None:
        if str(error) != self._away:
            self._away = str(error)
            log.error("database_away", reason=str(error))
