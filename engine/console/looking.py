"""A look at the engine: its memory, what nginx says, and the ledger's summary, which is asked for less often."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

from engine.console import nginx_status
from engine.console.overview import Look, Overview
from engine.console.recorded import Recorded, at
from engine.console.scrape import Sample, Scrape
from engine.ledger.database import wall_ms
from engine.ledger.errors import LedgerError
from engine.memory import clock, layout
from engine.memory import metrics_layout as pages
from engine.memory.status import StatusBlock
from engine.memory.words import zeros
from engine.metrics.process import ProcessWords
from engine.reconcile.check import WINDOW_MS
from engine.reconcile.span import Span
from engine.settings import Settings
from engine.situation import DOWN, of_word
from engine.storage.viewing import Seen, seen

SUMMARY_EVERY_S: Final = 10.0
SILENT_MS_MAX: Final = 60_000  # a comparison takes less, also with a processor that does not answer
NOTHING_KNOWN: Final[dict[str, Any]] = {"reconciledUntil": None, "exceptions": None, "trouble": None}


class Looking:
    """What the console sees of the engine with these ``settings``. It writes nothing to the engine's memory."""

    def __init__(self, settings: Settings, recorded: Recorded) -> None:
        self._settings = settings
        self._recorded = recorded
        self._own = zeros(pages.PROCESS_WORDS)
        self._process = ProcessWords(self._own, 0)
        self._overview = Overview(settings.processors.names)
        self._one_at_a_time = Lock()
        self._summary: dict[str, Any] = {"isOn": recorded.is_on} | NOTHING_KNOWN
        self._summary_at_s = -SUMMARY_EVERY_S
        # A database that hangs holds up neither the first screen nor a scrape: what it said last is shown.
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    def samples(self) -> list[Sample]:
        """All metrics of this moment."""
        with self._one_at_a_time:
            return self._samples()[0]

    def document(self) -> dict[str, Any]:
        """The first screen of this moment; asked for once a second, it knows what happened since."""
        with self._one_at_a_time:
            samples, said, paused = self._samples()
            look = Look(time.monotonic(), wall_ms(), samples)
            if look.at_s - self._summary_at_s >= SUMMARY_EVERY_S:
                self._summary_at_s = look.at_s
                self._asking.submit(self._ask)
            return self._overview.document(look, said, paused, self._summary)

    def comparing(self) -> dict[str, Any] | None:
        """Which window reconciliation compares just now, of which run; None: none, or nothing is heard of it."""
        with seen(self._settings) as memory:
            if memory.metrics is None:
                return None
            words = [memory.metrics[pages.RECONCILE_AT + place] for place in range(pages.RECONCILE_WORDS)]
        number = words[pages.RECONCILE_NOW] - 1
        is_silent = clock.boot_ms() - words[pages.PROCESS_SEEN_MS] > SILENT_MS_MAX
        if is_silent or not 0 <= number < len(self._settings.processors.names):
            return None
        window = Span(words[pages.RECONCILE_NOW_FROM_MS], words[pages.RECONCILE_NOW_TO_MS])
        run = Span(words[pages.RECONCILE_RUN_FROM_MS], words[pages.RECONCILE_RUN_TO_MS])
        return {
            "processor": self._settings.processors.names[number],
            "from": at(window.from_ms),
            "to": at(window.to_ms),
            "runFrom": at(run.from_ms),
            "runTo": at(run.to_ms),
            "isHalf": not _is_whole(window, run),
        }

    def _samples(self) -> tuple[list[Sample], str, int]:
        self._process.show()
        host = self._settings.host
        nginx = nginx_status.read(host.port, host.run_dir) if self._settings.console.console else None
        with seen(self._settings) as memory:
            samples = list(Scrape(self._settings, memory, self._own, nginx).samples())
            paused = memory.books[layout.BOOKS_PAUSED_AT] if memory.books is not None else 0
            return samples, self._said(samples, memory), paused

    def _said(self, samples: list[Sample], memory: Seen) -> str:
        """Where payments go just now, in words."""
        names = self._settings.processors.names
        is_up = any(one.name == "engine_up" and one.value for one in samples)
        if memory.books is None or not is_up:
            return DOWN
        return of_word(StatusBlock(memory.books).situation, len(names)).sentence(names)

    def _ask(self) -> None:
        if not self._recorded.is_on:
            return
        try:
            self._summary = {"isOn": True, **self._recorded.summary(), "trouble": None}
        except LedgerError as error:
            self._summary = {"isOn": True} | NOTHING_KNOWN | {"trouble": str(error)}


def _is_whole(window: Span, run: Span) -> bool:
    """Whether reconciliation begins with this window of a run, and has not halved another one to it."""
    is_first = window.from_ms == run.from_ms or window.from_ms % WINDOW_MS == 0
    return is_first and window == next(Span(window.from_ms, run.to_ms).windows(WINDOW_MS), None)
