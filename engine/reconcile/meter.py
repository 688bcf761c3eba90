"""What ``reconcile --again`` shows on its page of the metrics: its runs, and what is open after each."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from engine.ledger import schema
from engine.ledger.database import Database
from engine.memory import clock
from engine.memory import metrics_layout as layout
from engine.memory.words import WORD_MAX, Words
from engine.metrics.process import ProcessWords
from engine.reconcile import cases
from engine.reconcile.finding import MISSING_HERE, OPEN, PROCESSOR, Finding
from engine.reconcile.span import Span
from engine.settings import Settings
from engine.storage import mapping, pages
from engine.storage.segment import Segment

assert len(OPEN) == len(layout.EXCEPTIONS)


class Meter:
    """Writes the words of ``metrics_layout.RECONCILE_...``; this process is their one writer.

    The memory may be made anew while it runs: then it goes on in the new one. Making it counts a start.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._segment: Segment | None = None
        self._process: ProcessWords | None = None
        self._words()

    def comparing(self, run: Span, processor: int, window: Span) -> None:
        """This window is compared now, in a run over ``run``."""
        words, at = self._words(), layout.RECONCILE_AT
        if words is not None:
            words[at + layout.RECONCILE_RUN_FROM_MS], words[at + layout.RECONCILE_RUN_TO_MS] = run
            words[at + layout.RECONCILE_NOW_FROM_MS], words[at + layout.RECONCILE_NOW_TO_MS] = window
            words[at + layout.RECONCILE_NOW] = processor + 1

    def ended(self, *, is_whole: bool) -> None:
        """A run is over. ``is_whole``: everybody who was asked has answered."""
        words, at = self._words(), layout.RECONCILE_AT
        if words is not None:
            words[at + layout.RECONCILE_NOW] = 0
            words[at + (layout.RECONCILE_RUNS if is_whole else layout.RECONCILE_UNENDED)] += 1
            if is_whole:
                words[at + layout.RECONCILE_ENDED_MS] = clock.boot_ms()

    def show(self, database: Database) -> None:
        """What is open now. Raises LedgerError."""
        words, at = self._words(), layout.RECONCILE_AT
        if words is None:
            return
        found = [one.finding for one in cases.newest(database) if cases.is_open(one.finding)]
        for number, state in enumerate(OPEN):
            words[at + layout.RECONCILE_OPEN + number] = sum(one.state == state for one in found)
        words[at + layout.RECONCILE_CENTS] = min(sum(abs(one.difference.cents) for one in found), WORD_MAX)
        words[at + layout.RECONCILE_TWICE] = len(charged_twice(database, found))

    def _words(self) -> Words | None:
        """The metrics' memory as it is now; None where nothing is counted."""
        if self._segment is not None and mapping.lost([self._segment]):
            self._segment.close()
            self._segment = None
        if self._segment is None:
            self._segment = pages.open_to_write(self._settings)
            if self._segment is None:
                return None
            self._process = ProcessWords(self._segment.words, layout.RECONCILE_AT)
            self._segment.words[layout.RECONCILE_AT + layout.RECONCILE_NOW] = 0  # whoever was killed in the midst of it
            if not self._segment.words[layout.RECONCILE_AT + layout.RECONCILE_ENDED_MS]:
                self._segment.words[layout.RECONCILE_AT + layout.RECONCILE_ENDED_MS] = clock.boot_ms()
        assert self._process is not None
        self._process.show()
        return self._segment.words


def charged_twice(database: Database, found: Iterable[Finding]) -> set[bytes]:
    """Ids of the payments that a processor has by ``found``, and that the ledger has as charged at another one."""
    strangers = [one for one in found if (one.against, one.state) == (PROCESSOR, MISSING_HERE) and one.id is not None]
    if not strangers:
        return set()
    own = schema.payment.c
    query = sa.select(own.id, own.processor).where(
        sa.text(schema.IS_COMPLETED), own.id.in_([one.id for one in strangers])
    )
    with database.transaction() as connection:
        charged = {(bytes(row.id), row.processor) for row in connection.execute(query)}
    return {identity for identity, here in charged for one in strangers if one.id == identity and one.processor != here}
