"""``python -m engine reconcile``: whether ledger, books and processors say the same, and what is done about it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Final

from engine import settings as settings_module
from engine.connectors.registry import CONNECTORS, CONTEST
from engine.ledger import queries
from engine.ledger.command import opened
from engine.ledger.database import Database, open_ledger, wall_ms
from engine.ledger.errors import LedgerError
from engine.ledger.report_command import moment
from engine.ledger.report_text import FORMATS
from engine.logs import writing
from engine.logs.logger import Logger
from engine.reconcile import cases, text
from engine.reconcile.books import Books
from engine.reconcile.cases import Run
from engine.reconcile.client import Client
from engine.reconcile.driver import Driver
from engine.reconcile.meter import Meter
from engine.reconcile.ours import Ours
from engine.reconcile.progress import Progress
from engine.reconcile.span import Span
from engine.settings import Settings

HELP = """Hold the ledger against the processors' sums, and halve the window where they differ. It asks under /admin.
Exit status: 0 nothing is open, 1 an exception is open, 2 bad options or settings, 3 it did not come to its end."""
FIRST_BACK_MS: Final = 86_400_000  # how far back the first run goes that is not told
SETTLED_SECONDS: Final = 60  # what was sent later may still be under way; more where answers are waited for longer
SUMMARIES_A_SECOND: Final = 10.0
LOOKUPS_A_SECOND: Final = 100
LIMIT_SECONDS: Final = 300.0
NICE: Final = 19  # whatever serves a client goes first
OPEN, BAD, NOT_ENDED = 1, 2, 3

log = Logger("engine.reconcile")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    option = parser.add_argument
    option("--from", dest="begin", type=moment, metavar="TIME", help="2026-11-27T14:30Z, or 2h (ago); where the last "
           "run has ended, or a day ago")  # fmt: skip
    option("--to", dest="end", type=moment, metavar="TIME", help="the end, included (what is settled for sure)")
    option("--deep", action="store_true", help="look every payment up too")
    option("--rate", type=_rate, default=LOOKUPS_A_SECOND, metavar="N", help="lookups in a second (100)")
    option(
        "--settled", type=_seconds, default=0, metavar="S", help="leave out what was sent in the last S seconds (60)"
    )
    option("--format", choices=FORMATS, default="table", help="table (default), csv or json: of what is open then")
    option("--again", action="store_true", help="again and again, every ENGINE_RECONCILE_SECONDS")
    acts = parser.add_subparsers(dest="act", metavar="ACT")
    listing = acts.add_parser("list", help="the exceptions")
    listing.add_argument("--all", action="store_true", help="with those that are over, and all versions")
    listing.add_argument("--format", choices=FORMATS, default="table", help="table (default), csv or json")
    resolve = acts.add_parser("resolve", help="decide an exception")
    resolve.add_argument("number", type=int, help="its number")
    resolve.add_argument("--evidence", required=True, type=_said, help="what shows it")
    resolve.add_argument("--by", required=True, type=_said, help="who decides it")


def run(arguments: argparse.Namespace) -> int:
    """Carries out what is asked for; see HELP for what it returns."""
    if arguments.again:
        writing.begin("reconcile")
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        writing.fail(error)
        return BAD
    if arguments.begin is not None and arguments.end is not None and arguments.begin > arguments.end:
        print("engine: the end lies before the beginning", file=sys.stderr)
        return BAD
    try:
        if arguments.act == "list":
            return _list(settings, arguments)
        if arguments.act == "resolve":
            return _resolve(settings, arguments)
        return _again(settings, arguments) if arguments.again else _once(settings, arguments)
    except LedgerError as error:
        writing.fail(error)
        return NOT_ENDED


def _once(settings: Settings, arguments: argparse.Namespace) -> int:
    with closing(_writer(settings)) as database:
        span = stretch(settings, database, arguments)
        progress = Progress(_payments(settings, database, span) if arguments.deep else 0, "payments", sys.stderr)
        done, count = _reconcile(settings, database, span, arguments, progress.step)
        progress.end()
        is_table = arguments.format == "table"
        print(text.summary(done, count), file=sys.stdout if is_table else sys.stderr)
        if count or not is_table:
            _print(database, arguments.format, is_all=False)
    return NOT_ENDED if done.failure else OPEN if count else 0


def _again(settings: Settings, arguments: argparse.Namespace) -> int:
    """Until SIGTERM, which ends it at once: what is not kept yet is compared again later."""
    every = settings.ledger.reconcile_seconds
    if not every:
        writing.fail("ENGINE_RECONCILE_SECONDS is 0: it says how often")
        return BAD
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.nice(NICE)
    meter = Meter(settings)
    _show(settings, meter)
    while True:
        time.sleep(every)
        try:
            with closing(_writer(settings)) as database:
                span = stretch(settings, database, arguments)
                done, count = _reconcile(settings, database, span, arguments, comparing=partial(meter.comparing, span))
                level = logging.WARNING if count or done.failure else logging.INFO
                log.log(level, "reconciled", summary=text.summary(done, count).replace("\n", " "))
                meter.ended(is_whole=not done.failure)
                meter.show(database)
        except LedgerError as error:
            log.error("database_away", reason=str(error))
            meter.ended(is_whole=False)


def _show(settings: Settings, meter: Meter) -> None:
    """Shows what earlier runs have left open; not before the ledger is there."""
    with suppress(LedgerError), closing(_writer(settings)) as database:
        meter.show(database)


def stretch(settings: Settings, database: Database, arguments: argparse.Namespace) -> Span:
    """What is compared: of this era, whole in the ledger, and settled for sure.

    It may end before it begins: then nothing has been settled since the last run, and what is open is asked for again.
    """
    waited_s = max(SETTLED_SECONDS, 2 * settings.dispatch.request_timeout_ms // 1000)
    settled_ms = database.now_ms() - 1000 * (arguments.settled or waited_s)
    end_ms = settled_ms if arguments.end is None else min(arguments.end, settled_ms)
    begin_ms = arguments.begin
    if begin_ms is None:
        reached_ms = cases.reached_ms(database)
        begin_ms = end_ms - FIRST_BACK_MS if reached_ms is None else reached_ms + 1
        begin_ms = max(begin_ms, queries.current_era_began_ms(database))
    return Span(max(begin_ms, queries.reach_ms(database)), end_ms)


def _reconcile(
    settings: Settings,
    database: Database,
    span: Span,
    arguments: argparse.Namespace,
    asked: Callable[[], object] = lambda: None,
    comparing: Callable[[int, Span], object] = lambda _, __: None,
) -> tuple[Run, int]:
    processors = settings.processors
    connectors = [CONNECTORS[CONTEST](processors.token) for _ in processors.all]
    client = Client(processors.urls, connectors, SUMMARIES_A_SECOND, arguments.rate)
    with closing(client), closing(Books(settings)) as books:
        driver = Driver(database, books, client, processors.names, time.sleep, asked, comparing)
        return driver.reconcile(span, arguments.deep)


def _payments(settings: Settings, database: Database, span: Span) -> int:
    ours = Ours(database)
    return sum(ours.sum(number, span, ()).payments for number in range(len(settings.processors.all)))


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    with closing(opened(settings, LIMIT_SECONDS)) as database:
        _print(database, arguments.format, is_all=arguments.all)
        return OPEN if any(cases.is_open(one.finding) for one in cases.newest(database)) else 0


def _print(database: Database, form: str, *, is_all: bool) -> None:
    names = queries.processor_names(database)
    shown = (
        cases.versions(database) if is_all else [one for one in cases.newest(database) if cases.is_open(one.finding)]
    )
    if form != "table":
        print(text.machine(shown, names, form))
    else:
        print(text.table(shown, names) if shown else "nothing is open")


def _resolve(settings: Settings, arguments: argparse.Namespace) -> int:
    with closing(_writer(settings)) as database:
        case = cases.resolve(database, arguments.number, arguments.evidence, arguments.by)
    if case is None:
        print(f"engine: no exception {arguments.number} is open", file=sys.stderr)
        return BAD
    print(f"exception {case.number}, {case.last.state}, is resolved by {arguments.by}")
    return 0


def _writer(settings: Settings) -> Database:
    """The ledger, to write. Raises LedgerError: also when it is not there, or of an older version."""
    opened(settings, LIMIT_SECONDS).close()
    return open_ledger(settings.ledger_url, name=settings.host.name, limit_s=LIMIT_SECONDS, now_ms=wall_ms)


def _rate(word: str) -> float:
    number = float(word)
    if not 0.1 <= number <= 10_000:
        raise argparse.ArgumentTypeError("must be 0.1 to 10000")
    return number


def _seconds(word: str) -> int:
    number = int(word)
    if not 1 <= number <= 86_400:
        raise argparse.ArgumentTypeError("must be 1 to 86400")
    return number


def _said(word: str) -> str:
    if not word.strip() or len(word) > 2000:
        raise argparse.ArgumentTypeError("must have 1 to 2000 characters")
    return word.strip()
