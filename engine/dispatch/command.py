"""``python -m engine dispatch``: the dispatcher process. It opens memory and network, and runs the loop."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import resource
import select
import signal
from collections.abc import Sequence
from functools import partial

import pycurl

from engine import run_dir
from engine import settings as settings_module
from engine.addresses import normalized
from engine.connectors.registry import CONNECTORS, CONTEST
from engine.dispatch.loop import Ports, loop_over
from engine.dispatch.news import News, Sources
from engine.dispatch.transport import Transport
from engine.dispatch.world import EpollWaker, RealClock
from engine.logs import writing
from engine.logs.logger import Logger
from engine.memory import metrics_layout
from engine.memory.doorbell import Doorbell, Pipe
from engine.memory.errors import SegmentError
from engine.memory.status import StatusBlock
from engine.metrics.process import ProcessWords
from engine.routing.fees import believed_ppm
from engine.settings import Settings
from engine.storage import cells, commands, durability, journals, mapping, pages
from engine.storage.segment import HeldError, Segment
from engine.wording import counted, percent

HELP = "Run the dispatcher: takes payments out of the rings, drives both processors, keeps the books."
NEWS_EVERY_MS = 100  # between two looks at what has changed about the processors
LOOK_EVERY_MS = 1000  # between two checks that rings and books are still those that other processes use
LOST_DRAIN_MS = 5000  # if they are not, payments that other processes still accept are settled for this long
# The C library reads it, unless people have set it: a name server that was silent is asked again after a second.
RESOLVER_OPTIONS = "timeout:1 attempts:3"

log = Logger("engine.dispatch")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command has no options: all settings are in the environment."""


def run(_arguments: argparse.Namespace) -> int:
    """Dispatches until SIGTERM or SIGINT, then drains. Returns 0 if it ended cleanly, 2 if it could not start.

    It returns 1 if rings or books were removed or made anew meanwhile.
    """
    writing.begin("dispatcher")
    try:
        settings = settings_module.read(os.environ)
        settings_module.check_routable(settings)
        run_dir.prepare(settings.host.run_dir, settings.host.run_group)
        os.environ.setdefault("RES_OPTIONS", RESOLVER_OPTIONS)
        books, rings = mapping.open_books(settings), mapping.open_rings(settings)
        mapping.hold(books, "another dispatcher is at work")
        cells.check_whose(settings, books, rings)
        mapping.keep_processors(settings, books, rings)
        cell = cells.open_cell(settings, books)
        journal, acts = journals.open_to_write(settings, books), commands.open_to_write(settings, books)
        metrics = pages.open_to_write(settings)
    except (settings_module.SettingsError, SegmentError, HeldError, OSError) as error:
        writing.fail(error)
        return 2
    processors = settings.processors.all
    for one, fee_ppm in zip(processors, believed_ppm(*(one.fee_ppm for one in processors)), strict=True):
        known = "" if one.fee_ppm >= 0 else ", assumed"
        log.info("processor", processor=one.name, url=normalized(one.url), fee=percent(fee_ppm) + known)
    allow_descriptors(settings.descriptors_max)
    with contextlib.suppress(PermissionError):
        os.nice(settings.dispatch.nice)
    problem = Process(settings, books, rings, journal, acts, metrics, cell).run()
    if problem:
        writing.fail(problem)
    return 1 if problem else 0


def allow_descriptors(wanted: int) -> None:
    """Raises the process's soft limit of descriptors to ``wanted``, as far as its hard limit allows. Many systems begin
    with 1024, and a request that gets no socket would look like a failing processor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        if hard < wanted:
            log.warning("few_descriptors", allowed=hard, wanted=wanted)


def trouble(urls: Sequence[str], processor: int, code: int) -> str:
    """Why a request to a processor had no answer: ``code`` is libcurl's, 0 for none."""
    url = normalized(urls[processor])
    return {
        0: f"nothing comes from {url}",
        pycurl.E_COULDNT_CONNECT: f"cannot connect to {url}",
        pycurl.E_COULDNT_RESOLVE_HOST: f"the name in {url} is not found",
        pycurl.E_OPERATION_TIMEDOUT: f"nothing comes from {url} in time",
    }.get(code, f"connections to {url} break off")


class Process:
    """The loop in its process, over rings and books it holds, and journal, commands and metrics if there are any."""

    def __init__(
        self,
        settings: Settings,
        books: Segment,
        rings: Sequence[Segment],
        journal: Segment | None = None,
        acts: Segment | None = None,
        metrics: Segment | None = None,
        cell: Segment | None = None,
    ) -> None:
        self._segments = (*rings, books) if cell is None else (*rings, books, cell)
        self._clock = RealClock(books.words)
        self._news_ms = self._look_ms = 0
        self._lost = ""  # what happened to rings or books that other processes no longer use
        epoll = select.epoll()
        self._pipe = Pipe(settings.host.doorbell_path)
        doorbell = Doorbell(self._pipe, books.words)
        self._transport = Transport(
            settings.processors.urls,
            [CONNECTORS[CONTEST](settings.processors.token)] * len(settings.processors.urls),
            connect_timeout_ms=settings.dispatch.connect_timeout_ms,
            request_timeout_ms=settings.dispatch.request_timeout_ms,
            in_flight_max=settings.routing.in_flight_max,
            epoll=epoll,
            notes_ends=journal is not None or metrics is not None,
        )
        self._waker = EpollWaker(epoll, doorbell, self._transport, self._clock)
        keeping = durability.of(settings).keeping(books, rings)
        ports = Ports(self._clock, self._transport, keeping, self._waker, doorbell)
        self._shown = ProcessWords(metrics.words, metrics_layout.DISPATCHER_AT) if metrics else None
        self._loop = loop_over(
            settings,
            books.words,
            [ring.words for ring in rings],
            ports,
            journal.words if journal else None,
            acts.words if acts else None,
            metrics.words if metrics else None,
            cell.words if cell else None,
        )
        work = self._loop.dispatcher.work
        sources = Sources(self._transport.troubles, partial(trouble, settings.processors.urls), work.charged)
        self._news = News(self._loop.router, StatusBlock(books.words), settings.processors.names, sources)

    def run(self) -> str:
        """Runs until a signal asks to stop, and then until nothing is left or the drain time is over.

        Returns why it had to end by itself, or "" if a signal ended it.
        """
        loop, dispatcher = self._loop, self._loop.dispatcher
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.drain.ask(self._clock.now().mono_ms))
        loop.begin(self._clock.now())
        gc.freeze()
        log.info("dispatcher_ready")
        while loop.turn():
            if loop.pass_ms >= self._news_ms:
                self._tell()
                self._look()
        # First what the next start looks at: whatever the network does, a stop that was clean stays one.
        loop.end()
        self._transport.close()
        left = dispatcher.open_payments()
        log.info("dispatcher_stopped", left=f"{counted(left, 'payment')} not settled" if left else "all settled")
        return self._lost

    def _tell(self) -> None:
        """Logs what has changed about the processors."""
        now_ms = self._loop.pass_ms
        self._news_ms = now_ms + NEWS_EVERY_MS
        for line in self._news.look(now_ms):
            log.log(line.level, line.event, **line.fields)

    def _look(self) -> None:
        """Checks now and then that a process that starts now would share rings and books with this one; else it stops.

        API processes that have not checked yet accept into rings that only this process reads. So it goes on for longer
        than the time between two of their checks.
        """
        now_ms = self._loop.pass_ms
        if now_ms < self._look_ms or self._lost:
            return
        self._look_ms = now_ms + LOOK_EVERY_MS
        writing.tick()
        if self._shown is not None:
            self._shown.show()
        if self._pipe.renew():
            self._waker.hear_doorbell()
        self._lost = mapping.lost(self._segments)
        if self._lost:
            log.critical("memory_lost", reason=self._lost)
            self._loop.drain.ask_whole(now_ms, LOST_DRAIN_MS)
