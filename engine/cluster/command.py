"""``python -m engine agent``: the cell's agent, the one process of a cell that speaks to the store."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import time
from pathlib import Path

from engine import run_dir
from engine import settings as settings_module
from engine.cluster_settings import MODE
from engine.logs import writing
from engine.logs.logger import Logger
from engine.memory.doorbell import Doorbell, Pipe
from engine.memory.errors import SegmentError
from engine.settings import Settings, SettingsError
from engine.storage import cells, mapping
from engine.storage.segment import HeldError

HELP = "Run a cell's agent: it keeps the cell's place among the others, and speaks to the store that they share."
HOUR_MS = 3_600_000
LOOK_EVERY_S = 1.0  # between two checks that the memory is still the one that other processes use

log = Logger("engine.agent")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command has no options: all settings are in the environment."""


def run(_arguments: argparse.Namespace) -> int:
    """Runs until SIGTERM or SIGINT, then leaves. Returns 0 if it ended cleanly, 2 if it could not start, 1 if rings or
    books were removed or made anew meanwhile.
    """
    writing.begin("agent")
    try:
        settings = settings_module.read(os.environ)
        if settings.storage.durability != MODE:
            raise SettingsError([f"an agent is for cells: set ENGINE_DURABILITY={MODE}"])
        run_dir.prepare(settings.host.run_dir, settings.host.run_group)
        return _run(settings)
    except (SettingsError, SegmentError, HeldError, OSError) as error:
        writing.fail(error)
        return 2
    except ImportError as error:
        writing.fail(f"{error.name} is not installed: a cell needs it, see requirements-ops.lock")
        return 2


def place(settings: Settings) -> bytes:
    """Names the place where a cell lives: this host, and the memory of this name on it. 16 bytes.

    Whoever starts there again proves by a lock of the memory that nobody else of the cell is left.
    """
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    named = "\n".join((machine, socket.gethostname(), settings.host.name, os.path.realpath(settings.host.run_dir)))
    return hashlib.sha256(named.encode()).digest()[:16]


def _run(settings: Settings) -> int:
    from engine.cluster.cell import Bounds
    from engine.cluster.core import Memory, Who
    from engine.cluster.postgres import Postgres
    from engine.cluster.process import Process

    cluster = settings.cluster
    books, rings = mapping.open_books(settings), mapping.open_rings(settings)
    cells.check_whose(settings, books, rings)
    memory = cells.open_cell(settings, books)
    assert memory is not None
    mapping.hold(memory, "another agent of this cell is at work")
    pipe = Pipe(settings.host.doorbell_path)
    held_max = settings.host.api_processes * settings.storage.ring_slots + settings.storage.parked_slots
    process = Process(
        Memory(memory.words, books.words, [ring.words for ring in rings]),
        Who(cluster.cell, place(settings), cluster.lease_ms, len(settings.processors.all), cluster.id_hours * HOUR_MS),
        Bounds(held_max, settings.dispatch.dead_letter_seconds * 1000),
        Doorbell(pipe, books.words),
        lambda: Postgres(cluster.url),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    log.info("agent_ready", cell=settings.cluster.cell)
    used, lost = (books, *rings, memory), ""
    look_s = time.monotonic()
    while process.turn():
        if time.monotonic() >= look_s:
            look_s = time.monotonic() + LOOK_EVERY_S
            writing.tick()
            pipe.renew()
            lost = lost or mapping.lost(used)
            if lost:
                log.critical("memory_lost", reason=lost)
                process.stop()
    process.close()
    log.info("agent_stopped")
    return 1 if lost else 0
