"""One scrape: what is read of an engine's memory, as samples of :mod:`engine.console.families`.

A scrape takes no lock and walks over nothing that grows: it reads words, sums and buckets. What would need a walk is
shown by the process that knows it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.books.reader import BooksBusyError, BooksReader, Totals
from engine.console.nginx_status import NginxStatus
from engine.memory import cell_layout, clock, journal_layout, layout
from engine.memory import metrics_layout as pages
from engine.memory.status import HEARTBEAT_MS_MAX, LedgerStatus, StatusBlock
from engine.memory.words import Words
from engine.metrics import times
from engine.metrics.accepting import accepting
from engine.processors import PPM, rounded
from engine.ring.ring import RingReader
from engine.routing.fees import believed_ppm
from engine.routing.state import ProcessorState
from engine.settings import VARIABLES, Settings
from engine.storage import disks
from engine.storage.viewing import Seen
from engine.version import VERSION

RING_LOOKS: Final = 64  # slots of a ring that are looked at


class Sample(NamedTuple):
    """A value of a metric, or the buckets and the sum of a histogram in us."""

    name: str
    value: float | list[int]
    labels: tuple[str, ...] = ()


Samples = Iterator[Sample]


class Scrape:
    """The samples of one moment.

    Parameters:
      settings: the engine's.
      memory: what there is of its memory; own: the words of the console's own process; nginx: what nginx says.
    """

    def __init__(self, settings: Settings, memory: Seen, own: Words, nginx: NginxStatus | None) -> None:
        self._settings = settings
        self._memory = memory
        self._own = own
        self._nginx = nginx
        self._names = settings.processors.names
        self._boot_ms = clock.boot_ms()

    def samples(self) -> Samples:
        """All of them."""
        yield from self._about()
        books, metrics = self._memory.books, self._memory.metrics
        if books is not None and self._memory.shape is not None and self._memory.rings:
            # The books before the rings: a payment that is settled in between still counts as pending.
            totals = self._totals(books)
            yield from self._rings(books, totals)
            yield from self._books(books)
            if totals is not None:
                yield from self._money(totals)
            yield from self._status(books)
            yield from self._lag(books)
        if metrics is not None:
            yield from self._api_pages(metrics)
            yield from self._processor_pages(metrics)
            if books is not None:
                yield from self._dispatcher_page(metrics, clock.read_ms(books))
            yield from self._ledger(metrics)
            yield from self._reconcile(metrics)
            for status, at in pages.NGINX_STATUSES.items():
                yield Sample("engine_nginx_refused_total", metrics[pages.NGINX_AT + at], (str(status),))
            yield Sample("engine_nginx_slowed_total", metrics[pages.NGINX_AT + pages.NGINX_SLOWED])
        yield from self._journal()
        if self._memory.cell is not None and books is not None:
            yield from self._cell(self._memory.cell, clock.read_ms(books))
        yield from self._processes(metrics)
        yield from self._machine()
        yield from self._nginx_says()

    # --- what runs ---------------------------------------------------------------------------------------------------

    def _about(self) -> Samples:
        labels = VERSION, platform.python_version(), str(layout.LAYOUT_VERSION)
        yield Sample("engine_build_info", 1, labels)
        for variable in VARIABLES:
            value = self._settings.value(variable)
            if not isinstance(value, str):
                yield Sample("engine_setting", int(value), (variable.name,))

    def _processes(self, metrics: Words | None) -> Samples:
        yield from self._process("console", self._own, 0)
        if metrics is None:
            return
        for index in range(self._settings.host.api_processes):
            yield from self._process(f"api-{index}", metrics, pages.api_at(index))
        yield from self._process("dispatcher", metrics, pages.DISPATCHER_AT)
        if self._settings.ledger.is_on:
            yield from self._process("ledger", metrics, pages.LEDGER_AT)
        if self._settings.ledger.reconcile_seconds:
            yield from self._process("reconcile", metrics, pages.RECONCILE_AT)

    def _process(self, name: str, words: Words, at: int) -> Samples:
        yield Sample("engine_process_starts_total", words[at + pages.PROCESS_STARTS], (name,))
        seen_ms = words[at + pages.PROCESS_SEEN_MS]
        if seen_ms:
            yield Sample("engine_process_seen_age_seconds", max(0, self._boot_ms - seen_ms) / 1000, (name,))
            yield Sample("engine_process_cpu_seconds_total", words[at + pages.PROCESS_CPU_US] / 1e6, (name,))
            yield Sample("engine_process_resident_bytes", words[at + pages.PROCESS_RESIDENT_BYTES], (name,))
            yield Sample("engine_process_descriptors", words[at + pages.PROCESS_DESCRIPTORS], (name,))

    def _machine(self) -> Samples:
        yield Sample("engine_machine_start_seconds", round(time.time() - self._boot_ms / 1000, 3))
        for place, room in disks.rooms(self._settings):
            yield Sample("engine_disk_free_bytes", room.free, (place,))
            yield Sample("engine_disk_size_bytes", room.size, (place,))

    def _nginx_says(self) -> Samples:
        nginx = self._nginx
        yield Sample("engine_nginx_up", int(nginx is not None))
        if nginx is not None:
            for state in ("active", "reading", "writing", "waiting"):
                yield Sample("engine_nginx_connections", getattr(nginx, state), (state,))
            yield Sample("engine_nginx_connections_accepted_total", nginx.accepted)
            yield Sample("engine_nginx_connections_handled_total", nginx.handled)
            yield Sample("engine_nginx_requests_total", nginx.requests)

    # --- rings and books ---------------------------------------------------------------------------------------------

    def _totals(self, books: Words) -> Totals | None:
        """What is over; None while the books change all the time."""
        assert self._memory.shape is not None
        try:
            return BooksReader(books, self._memory.shape).totals()
        except BooksBusyError:
            return None

    def _rings(self, books: Words, totals: Totals | None) -> Samples:
        rings, pending = [RingReader(words) for words in self._memory.rings], 0
        for index, ring in enumerate(rings):
            head, label = ring.head, (str(index),)
            pending += head - ring.forgotten_below
            yield Sample("engine_payments_accepted_total", head, label)
            yield Sample("engine_payments_refused_total", ring.words[layout.RING_REFUSED_AT], (*label, "full"))
            yield Sample("engine_ring_slots", ring.slots, label)
            yield Sample("engine_ring_unfinished_ratio", unfinished_ratio(ring, head), label)
            is_full = head >= ring.slots and not ring.is_done(head - ring.slots)
            yield Sample("engine_ring_full", int(is_full), label)
        if totals is not None:  # 0: a purge came in between
            yield Sample("engine_payments_pending", max(0, pending - totals.payments))
        yield Sample("engine_parked_payments", books[layout.BOOKS_PARKED_KEPT_AT])
        yield Sample("engine_parked_slots", books[layout.BOOKS_PARKED_SLOTS_AT])
        yield Sample("engine_dead_letters", books[layout.BOOKS_DEAD_AT])

    def _books(self, books: Words) -> Samples:
        yield Sample("engine_payments_amount_differs_total", books[layout.BOOKS_DISCREPANCIES_AT])
        yield Sample("engine_payments_unconfirmed_total", books[layout.BOOKS_UNCONFIRMED_AT])

    def _money(self, totals: Totals) -> Samples:
        fees_ppm = believed_ppm(*(one.fee_ppm for one in self._settings.processors.all))
        for name, total, fee_ppm in zip(self._names, totals.settled, fees_ppm, strict=False):
            fee_cents = rounded(total.cents * fee_ppm)
            yield Sample("engine_payments_settled_total", total.payments, (name,))
            yield Sample("engine_settled_cents_total", total.cents, (name,))
            yield Sample("engine_fee_ratio", fee_ppm / PPM, (name,))
            yield Sample("engine_fee_cents", fee_cents, (name,))
            yield Sample("engine_net_cents", total.cents - fee_cents, (name,))
        yield Sample("engine_payments_failed_total", totals.failed.payments)
        yield Sample("engine_failed_cents_total", totals.failed.cents)
        yield Sample("engine_payments_charged_before_total", totals.before.payments)
        yield Sample("engine_charged_before_cents_total", totals.before.cents)

    def _status(self, books: Words) -> Samples:
        status, now_ms = StatusBlock(books), clock.read_ms(books)
        heartbeat_ms = status.heartbeat_ms
        age_ms = max(0, time.time_ns() // 1_000_000 - heartbeat_ms)
        yield Sample("engine_up", int(heartbeat_ms != 0 and age_ms <= HEARTBEAT_MS_MAX))
        if heartbeat_ms:
            yield Sample("engine_dispatcher_heartbeat_age_seconds", age_ms / 1000)
        yield Sample("engine_dispatcher_errors_total", status.errors)
        for number, name in enumerate(self._names):
            shown = status.processor(number)
            yield Sample("engine_in_flight_requests", shown.in_flight, (name,))
            yield Sample("engine_expected_answer_seconds", shown.expected_ms / 1000, (name,))
            yield Sample("engine_breaker_open", shown.breaker_open, (name,))
            yield Sample("engine_unknown_payments", shown.unresolved, (name,))
            if shown.health_ms:
                yield Sample("engine_health_failing", shown.failing, (name,))
                yield Sample("engine_health_age_seconds", max(0, now_ms - shown.health_ms) / 1000, (name,))

    # --- pages -------------------------------------------------------------------------------------------------------

    def _api_pages(self, words: Words) -> Samples:
        for index in range(self._settings.host.api_processes):
            at, label = pages.api_at(index), str(index)
            yield Sample("engine_payments_duplicate_total", words[at + pages.API_DUPLICATES], (label,))
            for refusal in pages.REFUSALS:
                yield Sample("engine_payments_refused_total", words[at + refusal.at], (label, refusal.label))
        yield Sample("engine_accepting_seconds", accepting(words, self._settings.host.api_processes))

    def _processor_pages(self, words: Words) -> Samples:
        begin = pages.DISPATCHER_AT + pages.DISPATCHER_PROCESSORS
        for number, name in enumerate(self._names):
            at = begin + number * pages.OF_PROCESSOR_WORDS
            for verdict, outcome in enumerate(pages.VERDICTS):
                yield Sample("engine_requests_total", words[at + pages.REQUESTS + verdict], (name, outcome))
                yield Sample("engine_lookups_total", words[at + pages.LOOKUPS + verdict], (name, outcome))
            yield Sample("engine_sending_seconds", times.copy(words, at + pages.WAITED), (name,))
            yield Sample("engine_answer_seconds", times.copy(words, at + pages.ANSWERED), (name,))
            yield Sample("engine_settling_seconds", times.copy(words, at + pages.SETTLED), (name,))

    def _dispatcher_page(self, words: Words, now_ms: int) -> Samples:
        at = pages.DISPATCHER_AT

        def age(accepted_ms: int) -> float:
            return max(0, now_ms - accepted_ms) / 1000 if accepted_ms else 0

        yield Sample("engine_backlog_payments", words[at + pages.DISPATCHER_WAITING])
        yield Sample("engine_backlog_oldest_age_seconds", age(words[at + pages.DISPATCHER_OLDEST_MS]))
        yield Sample("engine_delayed_payments", words[at + pages.DISPATCHER_DELAYED])
        for number, name in enumerate(self._names):
            shown_at = at + pages.DISPATCHER_SHOWN + number * pages.SHOWN_WORDS
            yield Sample("engine_capacity_requests", words[shown_at + pages.SHOWN_CAPACITY], (name,))
            yield Sample("engine_probes_in_flight", words[shown_at + pages.SHOWN_PROBES], (name,))
            for state in ProcessorState:
                is_now = words[shown_at + pages.SHOWN_STATE] == state
                yield Sample("engine_processor_state", int(is_now), (name, state.name.lower()))
            yield Sample("engine_unknown_cents", words[shown_at + pages.SHOWN_UNKNOWN_CENTS], (name,))
            oldest_ms = words[shown_at + pages.SHOWN_UNKNOWN_OLDEST_MS]
            yield Sample("engine_unknown_oldest_age_seconds", age(oldest_ms), (name,))

    # --- journal and ledger ------------------------------------------------------------------------------------------

    def _journal(self) -> Samples:
        journal = self._memory.journal
        if journal is not None:
            yield Sample("engine_journal_records_total", journal[journal_layout.PUBLISHED_AT])
            yield Sample("engine_journal_slots", journal[journal_layout.SLOTS_AT])

    def _cell(self, words: Words, now_ms: int) -> Samples:
        def age(since_ms: int) -> float:
            return max(0, now_ms - since_ms) / 1000

        standing = words[cell_layout.STANDING_AT]
        for state in cell_layout.Standing:
            yield Sample("engine_cell_state", int(state == standing), (state.name.lower(),))
        yield Sample("engine_cell_agent_age_seconds", age(words[cell_layout.HEARTBEAT_MS_AT]))
        if words[cell_layout.HEARD_MS_AT]:
            yield Sample("engine_cell_heard_age_seconds", age(words[cell_layout.HEARD_MS_AT]))
        complete_ms = words[cell_layout.COMPLETE_MS_AT]
        if complete_ms:
            yield Sample("engine_cell_books_age_seconds", round(max(0.0, time.time() - complete_ms / 1000), 3))
        yield Sample("engine_cell_clock_ahead_seconds", cell_layout.ahead_ms(words) / 1000)
        yield Sample("engine_cells_living", words[cell_layout.LIVING_AT])
        yield Sample("engine_cell_held_payments", words[cell_layout.HELD_AT])
        yield Sample("engine_cell_adopted_payments", words[cell_layout.ADOPTED_AT])

    def _lag(self, books: Words) -> Samples:
        complete_ms = LedgerStatus(books).complete_ms
        if self._settings.ledger.is_on and complete_ms:
            yield Sample("engine_ledger_lag_seconds", max(0, clock.read_ms(books) - complete_ms) / 1000)

    def _ledger(self, words: Words) -> Samples:
        if not self._settings.ledger.is_on:
            return
        at = pages.LEDGER_AT
        yield Sample("engine_ledger_payments_total", words[at + pages.LEDGER_PAYMENTS])
        yield Sample("engine_ledger_attempts_total", words[at + pages.LEDGER_ATTEMPTS])
        yield Sample("engine_ledger_gaps_total", words[at + pages.LEDGER_GAPS])
        yield Sample("engine_ledger_missing_total", words[at + pages.LEDGER_MISSING])
        yield Sample("engine_ledger_rejected_total", words[at + pages.LEDGER_REJECTED])

    def _reconcile(self, words: Words) -> Samples:
        at = pages.RECONCILE_AT
        if not self._settings.ledger.reconcile_seconds or not words[at + pages.RECONCILE_ENDED_MS]:
            return
        age_ms = max(0, self._boot_ms - words[at + pages.RECONCILE_ENDED_MS])
        yield Sample("engine_reconcile_runs_total", words[at + pages.RECONCILE_RUNS])
        yield Sample("engine_reconcile_unended_total", words[at + pages.RECONCILE_UNENDED])
        yield Sample("engine_reconcile_age_seconds", age_ms / 1000)
        for number, state in enumerate(pages.EXCEPTIONS):
            yield Sample("engine_reconcile_exceptions", words[at + pages.RECONCILE_OPEN + number], (state,))
        yield Sample("engine_reconcile_differing_cents", words[at + pages.RECONCILE_CENTS])
        yield Sample("engine_charged_twice_payments", words[at + pages.RECONCILE_TWICE])


def unfinished_ratio(ring: RingReader, head: int) -> float:
    """The share of slots whose payment is not over, of RING_LOOKS spread evenly over the ring below ``head``."""
    step = ring.slots // RING_LOOKS
    looked = range(head - 1, max(head - ring.slots, 0) - 1, -step)
    return sum(not ring.is_done(position) for position in looked) * step / ring.slots
