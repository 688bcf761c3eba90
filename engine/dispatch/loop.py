"""The dispatcher's loop: one pass after another, and what comes between two of them.

It uses the ports of :mod:`engine.dispatch.ports`, and knows no socket, file or clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.acts.ring import CommandReader
from engine.books.writer import BooksWriter
from engine.dispatch import pacing
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.cell import Cell
from engine.dispatch.counted import CellBooks, CellSettlement
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.drain import Drain
from engine.dispatch.gauges import EVERY_MS, Gauges
from engine.dispatch.history import History
from engine.dispatch.meter import Meter
from engine.dispatch.pacing import Listen, Pacing, Pass, Pause, Rhythm, Stop
from engine.dispatch.ports import Clock, Durability, Transport, Waker
from engine.dispatch.queries import Queries
from engine.dispatch.shared_health import SharedHealth
from engine.dispatch.work import Limits, Work
from engine.journal.writer import JournalWriter
from engine.memory.doorbell import Doorbell
from engine.memory.status import StatusBlock
from engine.memory.words import Words
from engine.ring.ring import RingReader
from engine.routing.fees import believed_ppm
from engine.routing.router import Router
from engine.settings import Settings
from engine.storage import mapping

SHOW_EVERY_MS = 50  # between two writings of the status block


class Ports(NamedTuple):
    """The world; see :mod:`engine.dispatch.ports`. ``doorbell``: what API processes ring when it sleeps."""

    clock: Clock
    transport: Transport
    durability: Durability
    waker: Waker
    doorbell: Doorbell


class Loop:
    """Connects the parts that decide with the world.

    Parameters:
      dispatcher: over rings and books; queries, drain, rhythm (the settings of the pacing): see their modules.
      status: the books' status block.
      gauges: what is shown on the page of the metrics, where there is one.
      cell: what comes between dispatcher and network on a cell; None: this is none.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        queries: Queries,
        drain: Drain,
        rhythm: Rhythm,
        status: StatusBlock,
        ports: Ports,
        gauges: Gauges | None = None,
        cell: Cell | None = None,
    ) -> None:
        self._cell = cell
        self.dispatcher = dispatcher
        self.router = dispatcher.work.router
        self._history = dispatcher.work.history
        self._meter, self._gauges = dispatcher.work.meter, gauges
        self.drain = drain
        self._queries = queries
        self._rhythm = rhythm
        self._status = status
        self._shown = [status.processor(number) for number in dispatcher.work.processors]
        self._clock, self._transport, self._durability, self._waker, self._doorbell = ports
        self._show_ms = self._gauges_ms = 0
        self.pass_ms = 0  # when the last pass was, by the engine's clock
        self._work_ms = 0  # when something last began or ended
        self._waiting = 0  # payments that waited when the loop decided to sleep

    def begin(self, now: Now) -> None:
        """Takes up what the last dispatcher has left, however it ended. Called once, before anything else."""
        self._durability.begin()
        if self._history is not None:
            self._history.started(now)
        self._queries.begin(now)
        if self._cell is None:
            self.dispatcher.recover(now)
        else:
            self.dispatcher.recover_books(now)
            self._cell.begin(now)

    def turn(self) -> bool:
        """Makes a pass, and lets the time until the next one go by. False: it was the last; call :meth:`end` then."""
        decided = self.step(self._clock.now())
        if isinstance(decided, Stop):
            return False
        if isinstance(decided, Pause):
            self._waker.pause(decided.for_ms)
        elif isinstance(decided, Listen):
            self._waker.listen(decided.for_ms)
        else:
            self._waker.sleep(decided.for_ms, decided.until_ms, self._may_sleep)
        return True

    def end(self) -> None:
        """Leaves everything as the next dispatcher should find it."""
        if self._meter is not None:
            self._meter.store()
        if self._cell is not None:
            self._cell.end()
        self._durability.end()

    def step(self, now: Now) -> Pacing:
        """A pass: what ended, then what begins; and what comes after it."""
        dispatcher, transport, history, cell = self.dispatcher, self._transport, self._history, self._cell
        if dispatcher.purge_if_asked(now) if cell is None else cell.hear(now):
            transport.abandon()
        ended, words = transport.results()
        for word in words:
            self._queries.heard(now, word)
        dispatcher.finish(now, ended)
        for attempt in dispatcher.take_dropped():
            transport.drop(attempt)
        if history is not None:
            history.told(now, words)
        if ended and self._meter is not None:
            self._meter.passed(now)
        self._queries.ask(now)
        # A payment that has no time left to be answered is not begun: it waits in the ring for the next dispatcher.
        drain = self.drain
        attempts = [] if drain.is_asked and drain.is_late(now.mono_ms) else dispatcher.start(now)
        if history is not None:
            history.sent(now, attempts, self.router.observed)
        if attempts:
            self._durability.before_sends()
        if cell is not None:
            attempts = self._leaving(now, cell, attempts)
        for attempt in attempts:
            transport.send(attempt)
        transport.kick()
        done = self._seen(now, len(attempts), len(ended))
        self._status.listens = done.must_listen
        if now.mono_ms >= self._show_ms:
            self._show(now)
        if drain.is_asked and drain.is_over(now.mono_ms, dispatcher.in_flight, self._has_work()):
            return Stop()
        end_ms = self._clock.now().mono_ms
        return pacing.decide(self._rhythm, done, end_ms, self.router.audit_delay_ms, lambda: self._due_ms(now, end_ms))

    def _has_work(self) -> bool:
        return self.dispatcher.has_work or (self._cell is not None and self._cell.has_work)

    def _leaving(self, now: Now, cell: Cell, attempts: list[Attempt]) -> list[Attempt]:
        """What leaves now on a cell: of what has begun in this pass, and of what has waited for the store."""
        waited, cell.leaving = cell.leaving, []
        return [*waited, *cell.hold(now, attempts)]

    def _seen(self, now: Now, begun: int, ended: int) -> Pass:
        """What the pass was like."""
        if begun or ended:
            self._work_ms = now.mono_ms
        after_ms, self.pass_ms = now.mono_ms - self.pass_ms, now.mono_ms
        router = self.router
        return Pass(
            begun,
            ended,
            after_ms,
            now.mono_ms - self._work_ms,
            self.dispatcher.in_flight,
            router.are_healthy,
            router.is_calm(now.mono_ms),
            router.must_listen(now.mono_ms),
        )

    def _due_ms(self, now: Now, end_ms: int) -> float:
        """When the next thing is due if nothing happens before."""
        self._waiting = self.dispatcher.waiting  # first: the last check before a sleep sees what comes from now on
        due_ms = min(now.mono_ms + pacing.IDLE_WAIT_MS, self._queries.due_ms())
        wake_ms = self.dispatcher.wake_ms(now.mono_ms)
        if wake_ms is not None:
            due_ms = min(due_ms, wake_ms)
        network_ms = self._transport.wait_ms()
        return due_ms if network_ms is None else min(float(due_ms), end_ms + network_ms)

    def _may_sleep(self) -> bool:
        """The last check before a sleep. The loop first says that it sleeps, and only then checks whether a payment has
        come. The API process of a payment that comes later finds it asleep, and rings.
        """
        if self._meter is not None:
            self._meter.store()
        self._doorbell.fall_asleep()
        return self.dispatcher.waiting == self._waiting and (self._cell is None or self._cell.is_quiet)

    def _show(self, now: Now) -> None:
        """Writes the status block that ``/health`` reads."""
        self._show_ms = now.mono_ms + SHOW_EVERY_MS
        self._status.errors = self.dispatcher.errors
        for processor, observed in enumerate(self.router.observed):
            shown = self._shown[processor]
            shown.breaker_open = observed.is_open
            shown.in_flight = observed.in_flight
            shown.expected_ms = observed.expected_ms(now.mono_ms)
            shown.unresolved = self.dispatcher.unresolved(processor)
        if self._gauges is not None and self._meter is not None and now.mono_ms >= self._gauges_ms:
            self._gauges_ms = now.mono_ms + EVERY_MS
            self._meter.store()
            self._gauges.show(now)


def loop_over(
    settings: Settings,
    books: Words,
    rings: Sequence[Words],
    ports: Ports,
    journal: Words | None = None,
    commands: Words | None = None,
    metrics: Words | None = None,
    cell: Words | None = None,
) -> Loop:
    """A loop with these settings, over the words of books, rings and, where there are any, the others."""
    network = None if cell is None else SharedHealth(ports.transport)
    ports = ports if network is None else ports._replace(transport=network)
    dispatch, fees_ppm = settings.dispatch, [processor.fee_ppm for processor in settings.processors.all]
    shape = mapping.books_shape(settings)
    status = StatusBlock(books)
    router = Router(settings.routing, believed_ppm(*fees_ppm), dispatch.request_timeout_ms)
    limits = Limits(
        dispatch.give_up_seconds * 1000,
        dispatch.park_seconds * 1000,
        dispatch.batch,
        dispatch.refusals_max,
        dead_letter_ms=dispatch.dead_letter_seconds * 1000,
        waits_for_ledger=settings.ledger.is_required,
    )
    readers = [RingReader(words) for words in rings]
    books_of_all = None if cell is None else CellBooks(books, shape, rings)
    settlement = None if books_of_all is None else CellSettlement(readers, books_of_all, shape)
    writer = books_of_all or BooksWriter(books, shape, rings, ports.durability.before_books)
    history = None if journal is None else History(JournalWriter(journal))
    meter = None if metrics is None else Meter(metrics, len(fees_ppm))
    work = Work(readers, writer, shape, status, router, limits, history, meter, settlement)
    gauges = None if metrics is None else Gauges(metrics, work)
    queries = Queries(
        router,
        ports.transport,
        status,
        fees_ppm,
        asks_fees=settings.processors.fee_query,
        health_interval_ms=settings.routing.health_interval_ms,
    )
    rhythm = Rhythm(dispatch.pause_ms, dispatch.target_batch, dispatch.batch)
    dispatcher = Dispatcher(work, None if commands is None else CommandReader(commands))
    link = None
    if cell is not None and books_of_all is not None and settlement is not None and network is not None:
        link = Cell(cell, dispatcher, books_of_all, settlement, network)
    return Loop(dispatcher, queries, Drain(dispatch.drain_seconds * 1000), rhythm, status, ports, gauges, link)
