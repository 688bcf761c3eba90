"""The ledger process: looks at shared memory, and carries what is new into SQL, again and again.

Nobody waits for it. When the database is away, or its disk is full, it tries again, ever more slowly up to RETRY_MAX_S;
meanwhile slots and journal keep what they can, and what they cannot becomes a gap.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from engine.books.reader import BooksBusyError
from engine.journal.reader import JournalReader
from engine.ledger.carrier import Carrier
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger, wall_ms
from engine.ledger.errors import AwayError
from engine.ledger.meter import Meter, boot_ms
from engine.ledger.retention import tend
from engine.ledger.rows import Batch
from engine.ledger.view import View
from engine.settings import Settings
from engine.storage import journals, mapping, pages
from engine.storage.segment import Segment

PAUSE_S: Final = 0.25  # between two looks, when there is little to do
LOOK_EVERY_S: Final = 1.0  # between two checks that this is still the memory that the engine uses
TEND_EVERY_S: Final = 30.0  # between two rounds of retention
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
LAST_LOOKS_S: Final = 4.0  # a stop waits so long for what is still to be carried

log = logging.getLogger("engine.ledger")


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
        self._tend_at = 0.0
        self._meter: Meter | None = None

    def run(self) -> None:
        """Until a stop is asked for, and then until everything is carried, for at most LAST_LOOKS_S.

        Raises LedgerError when it can never go on, and SegmentError.
        """
        while not self._is_asked():
            with self._memory() as (view, segments):
                self._carry_from(view, segments)
            if not self._is_asked():
                log.warning("the engine's memory was made anew; the ledger follows it")
        if self._database is not None:
            self._database.close()

    @contextlib.contextmanager
    def _memory(self) -> Iterator[tuple[View, list[Segment]]]:
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
                segments.append(journal)
                reader = JournalReader(journal.words)
            books, *rings = segments[: 1 + settings.host.api_processes]
            shape = mapping.books_shape(settings)
            metrics, words, self._meter = pages.open_to_write(settings), None, None
            if metrics is not None:
                opened.callback(metrics.close)
                words, self._meter = metrics.words, Meter(metrics.words)
            yield View(books.words, shape, [ring.words for ring in rings], reader, words), segments

    def _carry_from(self, view: View, segments: Sequence[Segment]) -> None:
        """Carries from this memory, until another one is in use or a stop is asked for."""
        carrier, look_at, stop_at = None, time.monotonic() + LOOK_EVERY_S, 0.0
        while True:
            now, looked_ms = time.monotonic(), boot_ms()
            if self._is_asked() and not stop_at:
                stop_at = now + LAST_LOOKS_S
            try:
                if carrier is None:
                    carrier = self._begin(view)
                batch = carrier.look(wall_ms())
                is_new = self._carry(batch)
                carrier.carried()
                if self._meter is not None and not carrier.is_behind:
                    self._meter.reached(looked_ms)
                self._tend(now)
            except (BooksBusyError, AwayError) as error:
                if isinstance(error, AwayError):
                    self._is_away(error)
                carrier = None  # the look may have been cut short: another one goes on from what the database has
                is_new = False
            if stop_at and (now >= stop_at or (carrier is not None and not is_new)):
                return
            if now >= look_at:
                look_at = now + LOOK_EVERY_S
                if self._meter is not None:
                    self._meter.show()
                if mapping.lost(segments):
                    return
            if carrier is None:
                self._sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            elif not carrier.is_behind and not stop_at:
                self._sleep(PAUSE_S)

    def _begin(self, view: View) -> Carrier:
        settings = self._settings
        if self._database is None:
            self._database = open_ledger(
                settings.ledger_url, name=settings.host.name, processors=settings.processors.names, is_full=False
            )
        cursor = self._database.cursor()
        if self._away:
            log.warning("the ledger's database is back")
        self._away, self._retry_s = "", RETRY_FIRST_S
        fees = [one.fee_ppm if one.fee_ppm >= 0 else None for one in settings.processors.all]
        return Carrier(view, cursor, fees, wall_ms())

    def _carry(self, batch: Batch) -> bool:
        """Carries a batch; whether there was anything in it."""
        assert self._database is not None
        if batch.cursor == batch.expected and not any(batch[2:]):
            return False
        rejected = carry(self._database, batch)
        if self._meter is not None:
            self._meter.carried(batch, rejected)
        if rejected:
            log.error("%d rows cannot be written and were set apart (table rejected)", rejected)
        for gap in batch.gaps:
            level = logging.WARNING if gap.missing else logging.INFO
            log.log(level, "%s, %d to %d: %s", gap.source, gap.first, gap.last, gap.why)
        return True

    def _tend(self, now: float) -> None:
        assert self._database is not None
        if now >= self._tend_at:
            is_more = tend(self._database, self._settings.ledger.retention_days)
            self._tend_at = now if is_more else now + TEND_EVERY_S

    def _is_away(self, error: AwayError) -> None:
        if str(error) != self._away:
            self._away = str(error)
            log.error("%s; trying again", error)
