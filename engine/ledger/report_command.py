"""``python -m engine report``: what the ledger knows, while the engine runs or not."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Final

from engine import settings as settings_module
from engine.ledger import picture
from engine.ledger.advice_text import sentences
from engine.ledger.command import opened
from engine.ledger.database import Database
from engine.ledger.errors import LedgerError
from engine.ledger.latest import latest, latest_text
from engine.ledger.queries import processor_names
from engine.ledger.report_text import FORMATS, text
from engine.ledger.reports import REPORTS, STEPS_MS, Report, Stretch

HELP = "What the ledger knows about a stretch of time. Times are UTC."
LIMIT_SECONDS: Final = 300.0
# How far back a report goes that is not told, by its step.
BACK_MS: Final = {"minute": 3_600_000, "hour": 86_400_000, "day": 30 * 86_400_000}
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LATEST_MS: Final = 253_402_300_799_999  # the end of the year 9999


def moment(word: str) -> int:
    """A moment in ms since 1970 UTC: ``2026-11-27``, ``2026-11-27T14:30Z``, or how long ago: ``90m``, ``2h``, ``7d``.

    Raises argparse.ArgumentTypeError for anything else.
    """
    ago = re.fullmatch(r"([0-9]{1,9})([smhd])", word)
    if ago is not None:
        at_ms = time.time_ns() // 1_000_000 - int(ago[1]) * _UNITS_MS[ago[2]]
    else:
        try:
            found = datetime.datetime.fromisoformat(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{word!r} is no moment like 2026-11-27T14:30Z or 90m") from error
        at_ms = round((found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp() * 1000)
    if not 0 <= at_ms <= _LATEST_MS:
        raise argparse.ArgumentTypeError(f"{word!r} is not after 1970")
    return at_ms


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("report", choices=REPORTS, help="which one")
    parser.add_argument("--from", dest="begin", type=moment, metavar="TIME", help="2026-11-27T14:30Z, or 2h (ago)")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="the end, which is excluded (now)")
    parser.add_argument("--by", choices=STEPS_MS, default="minute", help="minute (default), hour or day")
    parser.add_argument("--format", choices=FORMATS, default="table", help="table (default), csv or json")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw it too, as SVG, into a file that ends in .svg"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the report; 1 if the ledger cannot be read."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it silently
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    finally:
        signal.signal(signal.SIGPIPE, before)  # who calls this in a process with sockets would end with one of them


def _run(arguments: argparse.Namespace) -> int:
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    end_ms = time.time_ns() // 1_000_000 if arguments.end is None else arguments.end
    begin_ms = end_ms - BACK_MS[arguments.by] if arguments.begin is None else arguments.begin
    if begin_ms >= end_ms:
        print("engine: the report would end before it begins", file=sys.stderr)
        return 2
    step_ms = STEPS_MS[arguments.by]
    if arguments.picture is not None and arguments.picture.suffix.lower() != ".svg":
        print(f"engine: {arguments.picture} does not end in .svg, and the picture is SVG", file=sys.stderr)
        return 2
    if arguments.picture is not None and arguments.report == "advice":
        print("engine: advice has no picture", file=sys.stderr)
        return 2
    if arguments.picture is not None and (end_ms - begin_ms) // step_ms > picture.STEPS_MAX:
        print(
            f"engine: a picture has up to {picture.STEPS_MAX} steps: draw less time, or longer steps", file=sys.stderr
        )
        return 2
    try:
        database = opened(settings, LIMIT_SECONDS)
        try:
            stretch = Stretch(begin_ms, end_ms, step_ms)
            report = REPORTS[arguments.report](database, stretch)
            beneath = ""
            if arguments.format == "table" and report.rows:
                beneath = _beneath(arguments.report, database, stretch, report)
        finally:
            database.close()
    except LedgerError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    if arguments.picture is not None and not _draw(arguments.picture, picture.svg(arguments.report, report, step_ms)):
        return 1
    print(text(report, arguments.format, step_ms))
    if beneath:
        print(f"\n{beneath}")
    return 0


def _beneath(name: str, database: Database, stretch: Stretch, report: Report) -> str:
    """What stands beneath a table."""
    if name == "payments":
        return latest_text(latest(database, stretch), processor_names(database))
    return sentences(report) if name == "advice" else ""


def _draw(path: Path, drawn: str) -> bool:
    try:
        path.write_text(drawn)
    except OSError as error:
        print(f"engine: {path} cannot be written: {error.strerror}", file=sys.stderr)
        return False
    return True
