"""``python -m engine nginx-log``: reads what nginx has refused where nobody starts nginx that could read it."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from typing import Final

from engine import settings as settings_module
from engine.logs import writing
from engine.storage import pages
from engine.supervise.nginx import WATCHED_FILE
from engine.supervise.nginx_log import NginxLog

HELP = "Writes and counts what nginx tells of its requests, where `up` does not (containers), until SIGTERM or Ctrl-C."
LOOK_SECONDS: Final = 0.5
NICE: Final = 10  # behind what serves clients


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--file", default=WATCHED_FILE, help="that nginx opens for each line (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Reads until a signal. Returns 0, or 2 for bad settings."""
    writing.begin("nginx-log")
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        writing.fail(error)
        return 2
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    os.nice(NICE)
    counts = pages.open_to_write(settings)
    read = NginxLog(arguments.file, counts.words if counts else None, pid=None)
    while not asked.wait(LOOK_SECONDS):
        read.look()
        writing.tick()
    read.close()
    return 0
