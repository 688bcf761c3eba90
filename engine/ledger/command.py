"""``python -m engine ledger``: the ledger process, and with ``backup FILE`` a copy of its database."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import threading

from engine import settings as settings_module
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import LedgerError, UnusableError
from engine.ledger.process import Process
from engine.logs import writing
from engine.logs.logger import Logger
from engine.memory.errors import SegmentError
from engine.settings import Settings
from engine.storage.segment import HeldError

HELP = "Records every payment and attempt in SQL, until SIGTERM or Ctrl-C; or writes a copy of what is recorded."
LIMIT_SECONDS = 3600.0  # a backup may take long
HELD = 3
NICE = 19  # whatever serves a client goes first

log = Logger("engine.ledger")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    commands = parser.add_subparsers(dest="act", metavar="ACT")
    backup = commands.add_parser("backup", help="write a copy of the ledger to a new file, while the engine runs")
    backup.add_argument("file", help="the new file")


def run(arguments: argparse.Namespace) -> int:
    """Runs the process, or carries out the act. Returns 0 after a clean end, 1 if it could not go on, 2 for bad
    settings, HELD while another ledger process of this engine runs.
    """
    writing.begin("ledger")
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        writing.fail(error)
        return 2
    if arguments.act == "backup":
        return _backup(settings, arguments.file)
    if not settings.ledger.is_on:
        writing.fail("ENGINE_LEDGER is off, so nothing is recorded: set ENGINE_LEDGER=best")
        return 2
    return _carry(settings)


def opened(settings: Settings, limit_s: float = LIMIT_SECONDS) -> Database:
    """The ledger of these settings, to read. Raises LedgerError."""
    if not settings.ledger.url_set and not os.path.exists(settings.ledger_url.removeprefix("sqlite:///")):
        raise UnusableError("there is no ledger: an engine that is started with ENGINE_LEDGER=best records one")
    return open_ledger(settings.ledger_url, name=settings.host.name, reads_only=True, limit_s=limit_s)


def opened_to_add(settings: Settings) -> Database:
    """The ledger of these settings, for an operator's command, which adds rows. Raises LedgerError."""
    if not settings.ledger.is_on:
        raise UnusableError("ENGINE_LEDGER is off: acts need a ledger, which keeps who asked for them and why")
    opened(settings).close()  # a command never makes a ledger
    return open_ledger(settings.ledger_url, name=settings.host.name, adds=True)


def _carry(settings: Settings) -> int:
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    os.nice(NICE)
    gc.disable()  # it would go through all open payments again and again; the process does it itself, now and then
    process = Process(settings, asked.is_set, asked.wait)
    try:
        process.run()
    except HeldError as error:
        writing.fail(error)
        return HELD
    except (LedgerError, SegmentError) as error:
        writing.fail(error)
        return 1
    log.info("ledger_stopped")
    return 0


def _backup(settings: Settings, path: str) -> int:
    try:
        database = opened(settings)
        try:
            database.backup(os.path.abspath(path))
        finally:
            database.close()
    except LedgerError as error:
        writing.fail(error)
        return 1
    print(f"the ledger is in {path}")
    return 0
