"""``python -m engine dispatch``: the dispatcher process. A short loop around what decides and what sends."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence

from engine import settings as settings_module
from engine.addresses import normalized
from engine.books.writer import BooksWriter
from engine.connectors.answers import Fee, Health, Query, Silence
from engine.connectors.registry import CONNECTORS, CONTEST
from engine.dispatch.attempt import Now
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.pacing import AWAKE_MS, IDLE_WAIT_MS, Pass, rest_ms
from engine.dispatch.transport import Transport
from engine.memory import clock, layout
from engine.memory.doorbell import Doorbell
from engine.memory.errors import SegmentError
from engine.ring.ring import RingReader
from engine.routing.fees import believed_ppm
from engine.routing.queries import ANSWER_MS_MAX, fee_wait_ms
from engine.routing.router import Router
from engine.settings import Settings
from engine.storage import mapping, recovery
from engine.storage.segment import HeldError, Segment

HELP = "Run the dispatcher: takes payments out of the rings, drives both processors, keeps the books."
LOOK_EVERY_MS = 1000  # between two looks whether rings and books are still those that others use
LOST_DRAIN_MS = 5000  # when they are not: as long as that what others may still accept is settled
SPARE_DESCRIPTORS = 128  # beside the connections of payments
SHOW_EVERY_MS = 50  # between two writings of the board
PAGE_WORDS = 512

log = logging.getLogger("engine.dispatch")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options: none, all is in the environment."""


def run(_arguments: argparse.Namespace) -> int:
    """Dispatches until SIGTERM or SIGINT, then drains; 0 when it ended cleanly, 2 when it could not start.

    1 when rings or books were removed or made anew meanwhile.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        settings = settings_module.read(os.environ)
        settings_module.check_routable(settings)
        os.makedirs(settings.host.run_dir, exist_ok=True)
        books, rings = mapping.open_books(settings), mapping.open_rings(settings)
        mapping.hold(books, "another dispatcher is at work")
        mapping.keep_processors(settings, books, rings)
    except (settings_module.SettingsError, SegmentError, HeldError, OSError) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 2
    log.info(", ".join(f"{one.name} is {normalized(one.url)}" for one in settings.processors.all))
    allow_descriptors(len(settings.processors.urls) * settings.routing.in_flight_max + SPARE_DESCRIPTORS)
    with contextlib.suppress(PermissionError):
        os.nice(settings.dispatch.nice)
    problem = Loop(settings, books, rings).run()
    if problem:
        print(f"engine: {problem}", file=sys.stderr)
    return 1 if problem else 0


def allow_descriptors(wanted: int) -> None:
    """Raises the process's soft limit of descriptors to ``wanted``, as far as its hard limit allows; many systems begin
    with 1024, and a request that gets no socket would look like a processor that is down.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        if hard < wanted:
            log.warning("at most %d descriptors are allowed; ENGINE_IN_FLIGHT_MAX asks for %d", hard, wanted)


class Loop:
    """Joins dispatcher, transport, doorbell and clock."""

    def __init__(self, settings: Settings, books: Segment, rings: list[Segment]) -> None:
        self._settings = settings
        self._segments = (*rings, books)
        self._books = books.words
        self._is_synced = settings.storage.durability == "sync"
        self._stop_ms: int | None = None
        self._drain_ms = settings.dispatch.drain_seconds * 1000
        self._look_ms = 0
        self._lost = ""  # what became of rings or books that are not those of the others any more
        self._epoll = select.epoll()
        self._doorbell = Doorbell(settings.host.doorbell_path, books.words)
        self._epoll.register(self._doorbell.descriptor, select.EPOLLIN)
        self._fees_ppm = [processor.fee_ppm for processor in settings.processors.all]
        self._fees_from_ms = [0, 0]  # each may be asked for from then on
        self._fees_refused = [0, 0]  # how often in a row it was not told
        self._show_ms = 0
        self._pass_ms = 0  # when the last pass was
        self._router = Router(settings.routing, believed_ppm(*self._fees_ppm), settings.dispatch.request_timeout_ms)
        books_shape = mapping.books_shape(settings)
        self._dispatcher = Dispatcher(
            [RingReader(ring.words) for ring in rings],
            BooksWriter(
                books.words, books_shape, [ring.words for ring in rings], self._sync if self._is_synced else None
            ),
            books_shape,
            self._router,
            give_up_ms=settings.dispatch.give_up_seconds * 1000,
            park_ms=settings.dispatch.park_seconds * 1000,
            batch=settings.dispatch.batch,
            refusals_max=settings.dispatch.refusals_max,
        )
        self._transport = Transport(
            settings.processors.urls,
            [CONNECTORS[CONTEST](settings.processors.token)] * len(settings.processors.urls),
            connect_timeout_ms=settings.dispatch.connect_timeout_ms,
            request_timeout_ms=settings.dispatch.request_timeout_ms,
            in_flight_max=settings.routing.in_flight_max,
            epoll=self._epoll,
        )

    def run(self) -> str:
        """Runs until a signal asks to stop and nothing is left, or the drain time is over.

        Returns why it had to end by itself, "" when it had not.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        settings, dispatcher, transport = self._settings, self._dispatcher, self._transport
        self.begin(self._now())
        gc.freeze()
        log.info("dispatcher ready: %d payments to settle", dispatcher.open_payments())
        last_work_ms = 0
        while True:
            now = self._now()
            if dispatcher.purge_if_asked(now):
                transport.abandon()
            done = self._pass(now)
            is_work = done.begun or done.ended
            if now.mono_ms >= self._show_ms:
                self._show_ms = now.mono_ms + SHOW_EVERY_MS
                self._show(now)
            if now.mono_ms >= self._look_ms:
                self._look(now)
            if is_work:
                last_work_ms = now.mono_ms
            if self._is_over(now):
                break
            if is_work or dispatcher.in_flight or now.mono_ms - last_work_ms < AWAKE_MS:
                for_ms = rest_ms(
                    settings.dispatch.pause_ms,
                    settings.dispatch.target_batch,
                    settings.dispatch.batch,
                    done,
                    lambda for_ms: self._router.audit_delay_ms(self._now().mono_ms + for_ms),
                )
                must_listen = self._router.must_listen(now.mono_ms)
                self._books[layout.STATUS_LISTENS] = must_listen
                if must_listen:
                    self._hear(self._epoll.poll(for_ms / 1000))
                    continue
                time.sleep(for_ms / 1000)
            self._wait(now, last_work_ms)
        transport.close()
        self._mark(layout.CLEAN)
        log.info("dispatcher stopped, %s", "payments wait in the rings" if dispatcher.has_work else "all settled")
        return self._lost

    def _now(self) -> Now:
        return Now(clock.read_ms(self._books), time.time_ns() // 1_000_000)

    def begin(self, now: Now) -> None:
        """Takes up what the last dispatcher has left, in whatever way it ended."""
        self._mark(layout.UNCLEAN)
        if self._is_synced:
            self._write_again()
        self._go_on_asking(now)
        self._dispatcher.recover(now)

    def _pass(self, now: Now) -> Pass:
        """One round: what ended, then what begins."""
        ended, words = self._transport.results()
        for word in words:
            self._listen(now, word)
        self._dispatcher.finish(now, ended)
        for attempt in self._dispatcher.take_dropped():
            self._transport.drop(attempt)
        for processor, observed in enumerate(self._router.observed):
            if observed.wants_health(now.mono_ms):
                observed.health_asked(now.mono_ms)
                self._keep_health_from(processor)  # before it leaves: we may not live to hear the answer
                self._transport.ask_health(processor)
        if self._settings.processors.fee_query:
            self._ask_fees(now)
        # What has no time left to be answered is not begun: it waits in the ring for the next dispatcher.
        attempts = [] if self._is_late(now) else self._dispatcher.start(now)
        if attempts and self._is_synced:
            # Where each payment goes must be on disk before it goes.
            self._sync()
        for attempt in attempts:
            self._transport.send(attempt)
        self._transport.kick()
        after_ms, self._pass_ms = now.mono_ms - self._pass_ms, now.mono_ms
        return Pass(len(attempts), len(ended), after_ms, self._router.are_healthy, self._router.is_calm(now.mono_ms))

    def _wait(self, now: Now, last_work_ms: int) -> None:
        """Waits for a socket, the doorbell or the next thing that is due; not at all soon after a payment."""
        if now.mono_ms - last_work_ms < AWAKE_MS:
            events = self._epoll.poll(0)
        else:
            wait_ms = self._due_ms(now)
            waiting = self._dispatcher.waiting
            self._doorbell.fall_asleep()
            if self._dispatcher.waiting != waiting:
                wait_ms = 0.0
            events = self._epoll.poll(wait_ms / 1000)
            self._doorbell.wake_up()
        self._hear(events)

    def _hear(self, events: Sequence[tuple[int, int]]) -> None:
        self._transport.act([event for event in events if event[0] != self._doorbell.descriptor])

    def _due_ms(self, now: Now) -> float:
        """In how many milliseconds the next thing is due, though nothing happens before."""
        due_ms = [IDLE_WAIT_MS, *(float(observed.health_due_ms() - now.mono_ms) for observed in self._router.observed)]
        wake_ms = self._dispatcher.wake_ms(now.mono_ms)
        if wake_ms is not None:
            due_ms.append(float(wake_ms - now.mono_ms))
        curl_ms = self._transport.wait_ms()
        if curl_ms is not None:
            due_ms.append(curl_ms)
        return max(0.0, min(due_ms))

    def _go_on_asking(self, now: Now) -> None:
        """Keeps the distance from the last dispatcher's questions for health too."""
        for processor, observed in enumerate(self._router.observed):
            from_ms = self._books[_board(processor) + layout.STATUS_HEALTH_FROM_MS]
            # Never later than a question of this very moment would ask for, whatever stands there.
            observed.health_from_ms = min(
                from_ms, now.mono_ms + ANSWER_MS_MAX + self._settings.routing.health_interval_ms
            )

    def _listen(self, now: Now, word: Health | Fee | Silence) -> None:
        """Takes what a question has ended with."""
        processor = word.processor
        if isinstance(word, Health) or (isinstance(word, Silence) and word.query is Query.HEALTH):
            observed = self._router.observed[processor]
            observed.health_ended(now.mono_ms)
            self._keep_health_from(processor)
            if isinstance(word, Health):
                observed.health(now.mono_ms, word.failing, word.min_response_ms)
                self._show_health(now, word)
            return
        if isinstance(word, Fee):
            self._fees_ppm[processor] = word.ppm
            self._router.learn_fees(believed_ppm(*self._fees_ppm))
        else:
            self._fees_refused[processor] += 1
        self._fees_from_ms[processor] = now.mono_ms + fee_wait_ms(self._fees_refused[processor])

    def _ask_fees(self, now: Now) -> None:
        """Asks for fees that are neither set nor known, ever more rarely when they are not told."""
        for processor in layout.PROCESSORS:
            if self._fees_ppm[processor] < 0 and now.mono_ms >= self._fees_from_ms[processor]:
                self._fees_from_ms[processor] = now.mono_ms + ANSWER_MS_MAX + fee_wait_ms(self._fees_refused[processor])
                self._transport.ask_fee(processor)

    def _sync(self) -> None:
        """Brings rings and books to disk. OSError ends the process: what cannot be kept must not be sent."""
        for segment in self._segments:
            segment.sync()

    def _write_again(self) -> None:
        """Lets the first sync write everything, also what the disk had refused the last dispatcher."""
        *rings, books = self._segments
        for ring in rings:
            slots = ring.words[layout.RING_SLOTS_AT]
            ring.write_again((layout.RING_FORGOTTEN_AT, *layout.slot_places(slots, layout.SLOT_PROGRESS)))
        books.write_again(range(0, len(books.words), PAGE_WORDS))

    def _mark(self, state: int) -> None:
        """Says in files that are not synced on the way whether a dispatcher is at work."""
        if not self._is_synced:
            *rings, books = self._segments
            for ring in rings:
                recovery.mark(ring, state, layout.RING_CLEAN_AT)
            recovery.mark(books, state, layout.BOOKS_CLEAN_AT)

    def _ask_to_stop(self, _number: int, _frame: object) -> None:
        if self._stop_ms is None:
            self._stop_ms = self._now().mono_ms

    def _look(self, now: Now) -> None:
        """Looks whether whoever starts now would share rings and books with this process; else it stops.

        API processes that have not looked yet accept into rings that only this process reads, so it goes on for longer
        than they take to look.
        """
        self._look_ms = now.mono_ms + LOOK_EVERY_MS
        if not self._lost:
            self._lost = mapping.lost(self._segments)
            if self._lost:
                log.critical("%s: stopping", self._lost)
                self._drain_ms = max(self._drain_ms, LOST_DRAIN_MS)
                self._ask_to_stop(signal.SIGTERM, None)

    def _is_late(self, now: Now) -> bool:
        """Whether the drain time is over."""
        return self._stop_ms is not None and now.mono_ms - self._stop_ms >= self._drain_ms

    def _is_over(self, now: Now) -> bool:
        """Whether to stop now: all is settled, or the drain time is over and answers had a second more."""
        if self._stop_ms is None:
            return False
        if self._is_late(now):
            slow_ms = now.mono_ms - self._stop_ms - self._drain_ms
            return not self._dispatcher.in_flight or slow_ms >= 1000
        return not self._dispatcher.has_work and not self._lost

    def _show(self, now: Now) -> None:
        """Writes the board that ``/health`` reads."""
        self._books[layout.STATUS_ERRORS] = self._dispatcher.errors
        for processor, observed in enumerate(self._router.observed):
            at = _board(processor)
            self._books[at + layout.STATUS_BREAKER_OPEN] = observed.is_open
            self._books[at + layout.STATUS_IN_FLIGHT] = observed.in_flight
            self._books[at + layout.STATUS_EXPECTED_MS] = observed.expected_ms(now.mono_ms)
            self._books[at + layout.STATUS_UNRESOLVED] = self._dispatcher.unresolved(processor)

    def _show_health(self, now: Now, word: Health) -> None:
        at = _board(word.processor)
        self._books[at + layout.STATUS_FAILING] = word.failing
        self._books[at + layout.STATUS_MIN_RESPONSE_MS] = word.min_response_ms
        self._books[at + layout.STATUS_HEALTH_MS] = now.mono_ms

    def _keep_health_from(self, processor: int) -> None:
        self._books[_board(processor) + layout.STATUS_HEALTH_FROM_MS] = self._router.observed[processor].health_from_ms


def _board(processor: int) -> int:
    """Where the board's words of a processor begin."""
    return layout.STATUS_PROCESSORS + processor * layout.STATUS_PROCESSOR_WORDS
