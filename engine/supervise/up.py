"""``python -m engine up``: the whole engine on this machine: API processes, dispatcher and nginx.

Every process is started with the command that the containers use, nginx with the same ``nginx.conf``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from engine import settings as settings_module
from engine.logs import writing
from engine.logs.logger import Logger
from engine.memory import cell_layout
from engine.memory.errors import SegmentError
from engine.memory.status import StatusBlock
from engine.memory.words import Words
from engine.settings import Settings
from engine.storage import cells, mapping, pages, remembered
from engine.storage.remembered import Remembered
from engine.storage.segment import HeldError, Segment
from engine.supervise import alive, beside, greeting, nginx, others, second, simulated
from engine.supervise.alive import Readiness, is_alive
from engine.supervise.beside import Beside
from engine.supervise.child import Child
from engine.supervise.nginx_log import NginxLog
from engine.supervise.place import InTheWayError, Place, UpError
from engine.supervise.pulse import Heartbeat
from engine.supervise.simulated import Spot
from engine.supervise.stopping import Stop, stop_all

HELP = "Start API processes, dispatcher and nginx on this machine; SIGTERM or Ctrl-C stops them all cleanly."
READY_SECONDS = 30.0
TEND_SECONDS = 0.1
# Between two checks that rings, books and run directory are still those that the processes use, and that these serve.
LOOK_SECONDS = 0.5

log = Logger("engine.up")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--simulate", action="store_true", help="start the two simulated processors as well")
    parser.add_argument(
        "--discard", action="store_true", help="begin with empty shared memory and remove it at the end"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs until SIGTERM or Ctrl-C. Returns 0 after a clean end, 1 if it could not start, 2 for bad settings."""
    writing.begin("up")
    try:
        settings = settings_module.read(os.environ)
        settings_module.check_routable(settings)
    except settings_module.SettingsError as error:
        writing.fail(error)
        return 2
    if arguments.simulate:
        settings = simulated.with_fees(settings)
    with contextlib.ExitStack() as held:
        try:
            ready = _made_ready(settings, held, simulate=arguments.simulate, discard=arguments.discard)
        except (UpError, SegmentError, HeldError, nginx.ConfError) as error:
            writing.fail(_explained(settings, error, simulate=arguments.simulate))
            return 1
        return _serve(settings, ready)


class _Ready(NamedTuple):
    """What a start needs, held and checked. ``before``: what the memory held; ``spots``: simulated processors.
    ``forgets``: whether the memory is removed at the end.
    """

    place: Place
    segments: list[Segment]
    before: Remembered
    spots: list[Spot]
    forgets: bool


def _made_ready(settings: Settings, held: contextlib.ExitStack, *, simulate: bool, discard: bool) -> _Ready:
    """Takes and checks all that a start needs. Raises UpError, SegmentError, HeldError, ConfError."""
    spots = simulated.spots(settings) if simulate else []
    place = held.enter_context(contextlib.closing(Place(settings)))
    held.enter_context(mapping.supervising(settings))
    mapping.wait_until_free(settings)
    place.write_conf(ipv6=_check_port(settings.host.port))  # before any memory is made or removed
    simulated.check_free(spots)
    if discard:
        mapping.remove_all(settings)
        held.callback(mapping.remove_all, settings)
        held.callback(simulated.forget, settings)
    books, *rings = segments = held.enter_context(_memory(settings))
    before = remembered.read(settings, books, rings)
    if before.is_nothing:
        simulated.forget(settings)  # what is empty here must be empty there, whoever has emptied it
    return _Ready(place, segments, before, spots, discard)


def _explained(settings: Settings, error: Exception, *, simulate: bool) -> str:
    """An error of the start, with what to do about it."""
    whose = others.complaint(settings) if others.is_about_rights(error) else ""
    if whose or isinstance(error, InTheWayError | HeldError):
        return f"{whose or error}\n\n{second.hint(settings, _words(simulate), simulate=simulate)}"
    return str(error)


def _words(simulate: bool) -> str:
    return "up --simulate" if simulate else "up"


def _serve(settings: Settings, ready: _Ready) -> int:
    """Starts everything and tends it until a signal; returns the exit code."""
    place, (books, *rings) = ready.place, ready.segments
    metrics, cell = pages.open_to_write(settings), cells.open_cell(settings, books)
    words = [None if one is None else one.words for one in (metrics, cell)]
    try:
        children = _children(settings, place, books.words, ready.spots, *words)
    except (UpError, nginx.ConfError) as error:
        writing.fail(error)
        return 1
    stop = Stop()
    try:
        problem = _start(settings, children, stop, ready.spots)
        if problem:
            writing.fail(problem)
            return 1
        look_at, late = time.monotonic(), Beside(children, books.words)
        if not stop.asked:
            _tend(children)  # starts those beside
            _greet(settings, children, ready)
        while not stop.asked:
            _tend(children)
            problem = late.problem(_now_ms())
            if not problem and time.monotonic() >= look_at:
                look_at += LOOK_SECONDS
                writing.tick()
                problem = mapping.lost(ready.segments) or _look(place, children)
            if problem:
                writing.fail(problem)
                return 1
            time.sleep(TEND_SECONDS)
        return 0
    finally:
        pending = partial(_pending, settings, books, rings)
        if cell is not None:  # its books have what all cells have settled
            pending = partial(cell.words.__getitem__, cell_layout.HELD_AT)
        stop_all(settings, children, stop, pending, forgets=ready.forgets)


def _pending(settings: Settings, books: Segment, rings: list[Segment]) -> int:
    """How many payments are not done; 0 as well while that cannot be told."""
    try:
        return remembered.read(settings, books, rings).pending
    except SegmentError:
        return 0


@contextlib.contextmanager
def _memory(settings: Settings) -> Iterator[list[Segment]]:
    """Makes or checks the memory, so that an error is shown once and not by every child. Then only keeps it open.

    Raises SegmentError and HeldError.
    """
    with contextlib.ExitStack() as kept:
        books, rings = mapping.open_books(settings), mapping.open_rings(settings)
        for segment in (books, *rings):
            kept.callback(segment.close)
        mapping.hold(books, "a dispatcher is at work")
        cells.check_whose(settings, books, rings)
        mapping.check_processors(settings, books, rings)
        books.unlock()
        yield [books, *rings]


def _check_port(port: int) -> bool:
    """Whether nginx can listen on ``port`` on IPv6 as well as on IPv4. Raises UpError where the port is taken."""
    _bind(socket.AF_INET, "0.0.0.0", port)
    try:
        _bind(socket.AF_INET6, "::", 0)
    except (OSError, UpError):
        return False  # a machine without IPv6
    _bind(socket.AF_INET6, "::", port)
    return True


def _bind(family: socket.AddressFamily, host: str, port: int) -> None:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InTheWayError(f"port {port} (ENGINE_PORT): {error.strerror}") from error


def _children(
    settings: Settings,
    place: Place,
    books: Words,
    spots: list[Spot],
    counts: Words | None = None,
    cell: Words | None = None,
) -> list[Child]:
    """All processes, in the order of starting, but that those beside the way of a payment come last."""
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        raise UpError("nginx is not installed: `make setup` installs it")
    environment = settings_module.inherited(os.environ, settings)
    python = [sys.executable, "-m", "engine"]
    commands = simulated.commands(settings, spots)
    children = [Child(name, command, environment) for name, command in commands.items()]
    status = StatusBlock(books)
    heartbeat = Heartbeat(lambda: status.clock_ms)
    children.append(Child("dispatcher", [*python, "dispatch"], environment, serves=heartbeat))
    for index in range(settings.host.api_processes):
        command = [*python, "api", "--index", str(index)]
        serves = partial(alive.answers, settings.host.api_socket(index))
        children.append(Child(f"api {index}", command, environment, serves=serves))
    if cell is not None:
        beats = Heartbeat(lambda: cell[cell_layout.HEARTBEAT_MS_AT])
        children.append(Child("agent", [*python, "agent"], environment, serves=beats))
    if settings.ledger.is_on:
        children.append(Child("ledger", [*python, "ledger"], environment))
    if settings.ledger.reconcile_seconds:
        children.append(Child("reconcile", [*python, "reconcile", "--again"], environment))
    if settings.console.console:
        # Who only tries the engine gets a key at once; else somebody who may do it adds keys.
        first = ["--first-key"] if spots else []
        children.append(Child("console", [*python, "console", *first], environment, is_aid=True))
    command = nginx.command(place.conf_path, settings.host.run_dir)
    serves = partial(alive.listens, ("127.0.0.1", settings.host.port))
    said = NginxLog(place.nginx_log, counts, lambda: front.pid)
    front = Child("nginx", command, environment, signal.SIGQUIT, serves, stderr=said.stderr, hears=said.look)
    return [*children, front]


def _start(settings: Settings, children: list[Child], stop: Stop, spots: list[Spot]) -> str:
    """Starts all processes that a payment needs. The dispatcher finds its processors, and nginx the API processes.
    Returns what failed.
    """
    *engine, front = needed = [child for child in children if child.name not in beside.NAMES]
    processors = [child for child in children if child.name.startswith("processors")]
    sockets = [settings.host.api_socket(index) for index in range(settings.host.api_processes)]
    problem = _until(processors, stop, lambda: all(map(simulated.listens, spots)), "the simulated processors")
    problem = problem or _until(engine, stop, lambda: all(map(_connects, sockets)), "the API processes")
    problem = problem or _until(
        needed, stop, lambda: is_alive("127.0.0.1", settings.host.port), f"{front.name} on port {settings.host.port}"
    )
    return problem or _until(needed, stop, Readiness(sockets), "")


def _until(children: list[Child], stop: Stop, is_ready: Callable[[], bool], what: str) -> str:
    """Tends ``children`` until ``is_ready``. Returns the problem if one of them dies or it takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not stop.asked:
        for child in children:
            if child.has_failed(_now_ms()):
                return f"{child.name} could not start; what it printed stands above"
        if is_ready():
            return ""
        if time.monotonic() > deadline:
            return f"{what} did not answer within {READY_SECONDS:.0f} s"
        time.sleep(0.02)
    return ""


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _look(place: Place, children: list[Child]) -> str:
    """Makes good what became of the run directory and of who should listen in it; the problem where that fails."""
    try:
        place.keep()
    except (UpError, OSError) as error:
        return str(error)
    now_ms = _now_ms()
    for child in children:
        child.look(now_ms)
    return ""


def _tend(children: list[Child]) -> None:
    now_ms = _now_ms()
    for child in children:
        child.tend(now_ms)


def _greet(settings: Settings, children: list[Child], ready: _Ready) -> None:
    url = f"http://127.0.0.1:{settings.host.port}"
    processes = ", ".join(f"{child.name}: {child.pid}" for child in children)
    log.info("serving", url=url, processes=processes)
    if not writing.is_for_people():
        return
    text = greeting.text(settings, ready.before, simulate=bool(ready.spots), is_there=greeting.is_there)
    print(f"\n{text}\n", flush=True)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
