"""``python -m engine api``: one API process. `up` and the containers start as many as there are rings."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from engine import run_dir
from engine import settings as settings_module
from engine.books.reader import BooksReader
from engine.intake.acceptor import Acceptor, FileLock
from engine.intake.committer import Committer
from engine.intake.fast_path import FastPath, NotBuiltError
from engine.intake.http import Http
from engine.intake.keeper import Keeper
from engine.intake.meter import Meter
from engine.intake.questions import Questions
from engine.intake.server import Server
from engine.intake.verdicts import Verdicts
from engine.logs import writing
from engine.logs.logger import Logger
from engine.memory import clock, layout, metrics_layout
from engine.memory.doorbell import Doorbell, Pipe
from engine.memory.errors import SegmentError
from engine.memory.words import PAGE_WORDS
from engine.metrics.process import ProcessWords
from engine.ring.ids import IdMemory
from engine.ring.ring import RingReader, RingWriter
from engine.settings import Settings
from engine.storage import cells, durability, mapping, pages
from engine.storage.segment import HeldError, Segment

if TYPE_CHECKING:
    from engine.intake.elsewhere import Elsewhere
    from engine.intake.recorded import Records

HELP = "One API process: accepts payments into its ring and answers on its Unix socket."
LOOK_MS = 2000  # between two checks that rings and books are still those that other processes use

log = Logger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--index", type=int, default=0, help="which API process this is, from 0 (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT. Returns 2 if settings or shared memory cannot be used, 1 for other errors."""
    writing.begin(f"api-{arguments.index}")
    try:
        settings = settings_module.read(os.environ)
        if not 0 <= arguments.index < settings.host.api_processes:
            problem = (
                f"--index {arguments.index}: must be 0 to {settings.host.api_processes - 1} (ENGINE_API_PROCESSES - 1)"
            )
            raise settings_module.SettingsError([problem])
        run_dir.prepare(settings.host.run_dir, settings.host.run_group)
        serve(settings, arguments.index)
    except (settings_module.SettingsError, SegmentError) as error:
        writing.fail(error)
        return 2
    except (HeldError, OSError) as error:
        writing.fail(error)
        return 1
    return 0


def serve(settings: Settings, index: int) -> None:
    """Opens everything and serves until a signal.

    Raises SegmentError, also when rings or books were removed or made anew meanwhile, HeldError and OSError.
    """
    mode = durability.of(settings)
    segments = mapping.open_rings(settings)
    mapping.hold(segments[index], "another API process with this --index runs; a ring has one writer")
    mode.api_takes(segments[index])
    books = mapping.open_books(settings)
    cell = cells.open_cell(settings, books)
    waits = settings.ledger.is_required
    own = RingWriter(segments[index].words, mode.sends_released_only, waits)
    rings = [own if number == index else RingReader(segment.words, waits) for number, segment in enumerate(segments)]
    pipe = Pipe(settings.host.doorbell_path)
    doorbell = Doorbell(pipe, books.words)
    reader = BooksReader(books.words, mapping.books_shape(settings))
    _point(f"{settings.host.run_dir}/intake.lock", books.path)
    ids = mapping.open_ids(settings, segments[0])
    memory = IdMemory(ids.words) if ids is not None else None
    acceptor = Acceptor(rings, own, reader, FileLock(books.lock_path), memory)
    keeper = Keeper(acceptor, own, ids) if ids is not None else None
    if keeper is not None:
        keeper.start()
    else:
        own.words[layout.RING_IDS_AT] = 0  # ids that are accepted now are not remembered
    http = Http()
    committer: Committer | Verdicts | None = None
    fast_path = None
    elsewhere = _elsewhere(settings, http, cell) if cell is not None else None
    records = _records(settings, http, rings, books, reader) if settings.ledger.is_on else None
    counted = pages.open_to_write(settings)
    at = metrics_layout.api_at(index)
    meter = Meter(counted.words, at) if counted is not None else None
    shown = ProcessWords(counted.words, at) if counted is not None else None
    mode.api_begins(segments[index])

    def released() -> None:
        doorbell.ring_if_asleep()
        http.ask_later()

    if cell is not None:
        committer = Verdicts(cell.words, rings, own, http.alarm, released, lambda: clock.read_ms(books.words))
        committer.start()
    elif mode.sends_released_only:
        if keeper is not None:
            keeper.write_again()
        committer = Committer(own, segments[index], http.alarm, released, keeper)
        committer.start()
    if mode.has_fast_path:
        try:
            shape, times = mapping.books_shape(settings), meter.times if meter is not None else None
            fast_path = FastPath(
                settings, rings, own, books.words, shape, acceptor, doorbell, times, leaves_seen=records is not None
            )
        except NotBuiltError as error:
            log.warning("fast_path_off", reason=str(error))
    opened = [*segments, *(one for one in (ids, cell) if one is not None)]
    used = (*opened, books)
    lost = partial(mapping.lost, used)
    server = Server(
        settings, acceptor, own, books.words, reader, doorbell, committer, fast_path, lost, meter, records, elsewhere
    )
    server.add_routes(http)
    for segment in opened:
        touch(segment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: http.stop())

    def look() -> None:
        pipe.renew()
        writing.tick()
        if shown is not None:
            shown.show()
        if records is not None:
            records.get_ready()
        problem = mapping.lost(used)
        if problem:
            log.critical("memory_lost", reason=problem)
            http.stop()
        else:
            alarm.set(LOOK_MS)

    alarm = http.alarm(look)
    alarm.set(LOOK_MS)
    path = settings.host.api_socket(index)
    log.info("api_serves", index=index, socket=path)
    http.serve(path, run_dir.SOCKET_MODE, settings.host.run_group)
    log.info("api_stopped", index=index)
    for reading in (records, elsewhere):
        if reading is not None:
            reading.close()
    problem = mapping.lost(used)
    if problem:
        raise SegmentError(problem)
    if keeper is not None:
        keeper.stop()
    mode.api_ends(segments[index])
    if fast_path is not None:
        fast_path.close()
    doorbell.close()
    acceptor.close()
    for segment in used:
        segment.close()


def _records(
    settings: Settings, http: Http, rings: Sequence[RingReader], books: Segment, reader: BooksReader
) -> Records | None:
    """The ledger, to be read; None where what it needs is not installed."""
    try:
        from engine.intake.recorded import Records
    except ImportError as error:
        log.error("package_missing", package=error.name, lock="requirements-ops.lock")
        return None
    return Records(settings, rings, books.words, reader, _questions(http))


def _elsewhere(settings: Settings, http: Http, cell: Segment) -> Elsewhere | None:
    """The store, to be read; None where what it needs is not installed."""
    try:
        from engine.cluster.postgres import Postgres
        from engine.intake.elsewhere import FIND_SECONDS, Elsewhere
    except ImportError as error:
        log.error("package_missing", package=error.name, lock="requirements-ops.lock")
        return None
    url = settings.cluster.url
    return Elsewhere(
        cell.words, _questions(http), lambda: Postgres(url, limit_s=FIND_SECONDS), settings.processors.names
    )


def _questions(http: Http) -> Questions:
    """A thread for questions, whose answers are heard."""
    questions = Questions()

    def answered() -> None:
        questions.hush()
        http.ask_later()

    http.watch(questions.descriptor, answered)
    return questions


def _point(path: str, target: str) -> None:
    """Makes ``path`` a symbolic link to ``target``.

    The engine itself does not need it. The locks of correlationIds were once in a file of this name, and scripts that
    test what happens when it is removed expect to find it.
    """
    with contextlib.suppress(FileExistsError):
        os.symlink(target, path)


def touch(segment: Segment) -> None:
    """Loads a word of each page, so that no payment has to wait until the kernel has mapped the page."""
    for at in range(0, len(segment.words), PAGE_WORDS):
        segment.words[at]
