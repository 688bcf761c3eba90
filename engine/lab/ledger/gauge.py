"""How far SQL is behind shared memory, seen from outside: heads of rings and journal, and the cursor in the database.

The ledger process says the same of itself. Here nothing that it says is believed: what SQL has is what another
connection finds there.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Final

from engine.journal.reader import JournalReader
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import LedgerError
from engine.ledger.rows import Cursor
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.ring.ring import RingReader
from engine.settings import Settings
from engine.storage import journals, mapping
from engine.storage.segment import Segment

LIMIT_S: Final = 2.0  # a database that says nothing for so long is away
EVERY_S: Final = 0.5
MADE_S_MAX: Final = 30.0
UNDER_WAY: Final = (layout.PROCESSING, layout.ALREADY)


@dataclass(frozen=True)
class Behind:
    """What SQL does not have.

    Parameters:
      at_s: when it was looked at, epoch seconds.
      lag_ms: the age of the oldest change that SQL does not have; 0 when it has all.
      payments, records: how many new payments, and records of the journal, it does not have.
      open: payments that it has, and has as open.
      has_begun: it has carried from this memory.
      is_away: the database did not answer: then this is against what it had when it last did.
    """

    at_s: float
    lag_ms: int
    payments: int
    records: int
    open: int
    has_begun: bool
    is_away: bool

    @property
    def is_nothing(self) -> bool:
        """Whether SQL has all, and all is over."""
        return not (self.payments or self.records or self.open or self.is_away)


def begun(settings: Settings) -> int:
    """How many payments the slots have at a processor, without an end: their last request may be in flight.

    Raises SegmentError.
    """
    with contextlib.ExitStack() as held:
        count = 0
        for segment in mapping.open_rings(settings):
            held.callback(segment.close)
            ring = RingReader(segment.words)
            for position in range(max(ring.forgotten_below, ring.head - ring.slots), ring.head):
                word = segment.words[ring.offset(position) + layout.SLOT_PROGRESS]
                count += layout.unpack_progress(position, word)[0] in UNDER_WAY
        return count


class Gauge:
    """Looks at the memory and the database of an engine with these settings. Raises SegmentError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = contextlib.ExitStack()
        self._database: Database | None = None
        self._cursor: Cursor | None = None
        self._journal: JournalReader | None = None
        segments = mapping.open_rings(settings)
        for segment in segments:
            self._held.callback(segment.close)
        self._rings = [RingReader(segment.words) for segment in segments]

    def look(self, now_s: float) -> Behind | None:
        """How far SQL is behind at ``now_s``, epoch seconds; None while the database is still being made.

        Raises SegmentError.
        """
        journal = self._open_journal()
        # Before the database: what comes meanwhile is not missing in it.
        heads = [ring.head for ring in self._rings]
        published = 0 if journal is None else journal.head
        is_away = not self._read()
        cursor = self._cursor
        if cursor is None:
            return None
        rings = {one.ring: one for one in cursor.rings}
        oldest_ms = [now_s * 1000]
        payments = records = still_open = 0
        for number, (ring, head) in enumerate(zip(self._rings, heads, strict=True)):
            found = rings.get(number)
            seen = ring.forgotten_below if found is None else found.seen
            if found is not None:
                still_open += found.seen - found.mark - sum(end - begin for begin, end in found.above)
            if seen < head:
                payments += head - seen
                payment = ring.read(max(seen, head - ring.slots))
                oldest_ms += [] if payment is None else [payment.accepted_ms]
        begin = cursor.journal if journal is not None and cursor.journal_number == journal.number else 0
        if journal is not None and begin < published:
            records = published - begin
            oldest_ms += [record.at_ms for record in journal.read(begin, 1).records]
        lag_ms = max(0, round(now_s * 1000 - min(oldest_ms)))
        return Behind(now_s, lag_ms, payments, records, still_open, bool(cursor.rings), is_away)

    def close(self) -> None:
        """Lets go of everything."""
        self._held.close()
        if self._database is not None:
            self._database.close()

    def _open_journal(self) -> JournalReader | None:
        if self._journal is None:
            segment: Segment | None = journals.open_to_read(self._settings)
            if segment is not None:
                self._held.callback(segment.close)
                self._journal = JournalReader(segment.words)
        return self._journal

    def _read(self) -> bool:
        try:
            if self._database is None:
                name = self._settings.host.name
                self._database = open_ledger(self._settings.ledger_url, name=name, reads_only=True, limit_s=LIMIT_S)
            self._cursor = self._database.cursor()
        except LedgerError:
            return False
        return True


def await_made(settings: Settings, seconds_max: float = MADE_S_MAX) -> None:
    """Waits until the ledger process has begun to carry: its start is no cost of a payment.

    Raises SegmentError, and TimeoutError.
    """
    deadline_s = time.time() + seconds_max
    with contextlib.closing(Gauge(settings)) as gauge:
        while (seen := gauge.look(time.time())) is None or not seen.has_begun:
            if time.time() > deadline_s:
                raise TimeoutError(f"the ledger process has not begun to carry within {seconds_max:g} s")
            time.sleep(EVERY_S / 5)


class Watch(threading.Thread):
    """Looks every EVERY_S until it is finished. ``seen`` grows meanwhile."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="ledger watch", daemon=True)
        self.seen: list[Behind] = []
        self._gauge = Gauge(settings)
        self._over = threading.Event()
        self._error: SegmentError | None = None

    def run(self) -> None:
        """The thread."""
        try:
            while not self._over.wait(EVERY_S):
                behind = self._gauge.look(time.time())
                if behind is not None:
                    self.seen.append(behind)
        except SegmentError as error:  # raised again by finish
            self._error = error

    def await_nothing(self, seconds_max: float) -> float | None:
        """Waits until SQL has all and all is over; how many seconds that took, None if it took too long."""
        begin_s = time.time()
        while time.time() - begin_s < seconds_max and self.is_alive():
            last = self.seen[-1] if self.seen else None
            if last is not None and last.at_s >= begin_s and last.is_nothing:
                return last.at_s - begin_s
            time.sleep(EVERY_S / 5)
        return None

    def finish(self) -> None:
        """Ends it. Raises SegmentError when it could not look."""
        self._over.set()
        self.join()
        self._gauge.close()
        if self._error is not None:
            raise self._error
