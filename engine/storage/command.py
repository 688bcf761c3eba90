"""``python -m engine reset``: removes the memory of an engine that is not running, with all that it holds.

It is not needed for other sizes: a start with other sizes takes over what is there (:mod:`engine.storage.making`).
"""

from __future__ import annotations

import argparse
import os
import sys

from engine import settings as settings_module
from engine.invocation import command
from engine.memory.errors import SegmentError
from engine.settings import Settings
from engine.storage import durability, making, mapping, names, pages
from engine.storage.segment import Store

HELP = "Remove the memory (rings and books) of an engine that is not running, with every payment that it remembers."


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--force", action="store_true", help="even when the engine runs or payments are unfinished")


def run(arguments: argparse.Namespace) -> int:
    """Removes the segments; 1 if the engine runs or payments are unfinished, and ``--force`` was not given."""
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    kept = mapping.store(settings)
    if not names.own(settings.host.name, kept.names()):
        print(f"there is no memory of an engine called {settings.host.name}")
        return 0
    try:
        return _reset(kept, settings, arguments.force)
    except SegmentError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1


def _reset(kept: Store, settings: Settings, is_forced: bool) -> int:
    with making.locked(kept, settings.host.name):
        reason = "" if is_forced else why_not(kept, settings)
        if reason:
            print(f"engine: {reason} (or `{command('reset', '--force')}`)", file=sys.stderr)
            return 1
        for name in making.remove(kept, settings.host.name):
            print(f"removed {name}")
        pages.remove(settings)
    return 0


def why_not(kept: Store, settings: Settings) -> str:
    """Why the memory should stay; "" if nothing is lost with it. The sizes are the memory's, not the settings'."""
    used = making.used(kept, settings.host.name)
    if used:
        return f"the engine is running, a process holds {', '.join(used)}; stop it first"
    try:
        with making.supervising(kept, settings.host.name):
            left = making.unfinished(kept, settings.host.name, durability.of(settings))
    except BlockingIOError:
        return "the engine is running under `engine up`; stop it first"
    except SegmentError as error:
        return f"it cannot be told whether payments are unfinished: {error}"
    if left.in_rings or left.parked:
        return (
            f"{left.in_rings + left.parked} payments are unfinished ({left.parked} of them parked) and would be "
            "forgotten; start the engine and let it settle them first"
        )
    return ""
