"""``python -m engine reset``: removes the shared memory of an engine that is not running."""

from __future__ import annotations

import argparse
import os
import sys
import time

from engine import settings as settings_module
from engine.memory import layout, mapping
from engine.memory.segment import SegmentError

HELP = "Remove the shared memory of an engine that is not running, with every payment that it remembers."
RUNNING_MS = 3000  # a dispatcher whose heartbeat is younger than this is alive


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--force", action="store_true", help="even when a dispatcher seems to run or payments wait")


def run(arguments: argparse.Namespace) -> int:
    """Removes the segments; 1 when the engine runs or payments are unfinished and ``--force`` was not given."""
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if not arguments.force:
        try:
            books = mapping.open_books(settings)
        except SegmentError:
            books = None  # of another shape: to remove it is what this command is for
        if books is not None:
            age_ms = time.time_ns() // 1_000_000 - books.words[layout.BOARD_HEARTBEAT_MS]
            books.close()
            if age_ms < RUNNING_MS:
                print("engine: a dispatcher is running; stop it first (or --force)", file=sys.stderr)
                return 1
    for name in mapping.remove_all(settings):
        print(f"removed {name}")
    return 0
