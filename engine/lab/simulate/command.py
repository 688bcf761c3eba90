"""``python -m engine simulate``: starts the processors, a process for each, and ends them together."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from engine.lab import options
from engine.lab.simulate.behaviour import ProcessorSettings
from engine.processors import PROCESSORS_MAX, parse_pairs

HELP = "Simulated payment processors, the contest's two or others, until SIGTERM or Ctrl-C."
PORT_MAX = 65_535
FEE = Decimal("0.05")  # of one that is told no other
STOP_SECONDS_MAX = 3.0
LOG_REQUESTS_MAX = 100_000_000
_PR_SET_PDEATHSIG = 1
_WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


@dataclass(frozen=True, slots=True)
class _Wish:
    """A processor that is asked for; port 0 takes a free one."""

    name: str
    port: int
    fee: Decimal


@dataclass(frozen=True, slots=True)
class _Place:
    settings: ProcessorSettings
    host: str
    port: int
    keep: str  # the file of what it charges, "" for none
    log_requests: int


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    port = options.whole(0, PORT_MAX)
    option = parser.add_argument
    option("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a container")
    option("--default-port", type=port, default=8001, metavar="N", help="0 takes a free one")
    option("--fallback-port", type=port, default=8002, metavar="N", help="0 takes a free one")
    option("--default-fee", type=_fee, default=FEE, metavar="PART", help="part of an amount")
    option("--fallback-fee", type=_fee, default=Decimal("0.15"), metavar="PART", help="part of an amount")
    option("--only", choices=("default", "fallback"), help="start one of them, in this process")
    option("--port", type=port, metavar="N", help="port of the one that --only names")
    option(
        "--processor",
        type=_wish,
        action="append",
        default=argparse.SUPPRESS,
        metavar="NAME=PORT[:FEE]",
        help=f"one of up to {PROCESSORS_MAX} in place of the two, with a fee of {FEE} unless it is told; once for each",
    )
    option("--token", default="123", help="what X-Rinha-Token must be")
    option("--handled-max", type=options.whole(1, 1_000_000), default=800, metavar="N", help="payments handled at once")
    option("--waiting-max", type=options.whole(0, 1_000_000), default=500, metavar="N", help="payments that may wait")
    option(
        "--health-window-ms",
        type=options.whole(0, 1_000_000),
        default=5000,
        metavar="MS",
        help="one health call in each",
    )
    option(
        "--log-requests",
        type=options.whole(0, LOG_REQUESTS_MAX),
        default=0,
        metavar="N",
        help="remember the first N requests and lookups of each (25 bytes each), for GET /admin/requests",
    )
    option("--keep", default="", metavar="PATH", help="keep what each has charged in PATH-NAME, across restarts")


def run(arguments: argparse.Namespace) -> int:
    """Runs until a signal or an error; returns the exit code."""
    listed: list[_Wish] = getattr(arguments, "processor", [])
    problem = _contradiction(arguments, listed)
    if problem:
        print(f"simulate: {problem}", file=sys.stderr)
        return 2
    wishes = listed or [
        _Wish("default", arguments.default_port, arguments.default_fee),
        _Wish("fallback", arguments.fallback_port, arguments.fallback_fee),
    ]
    if arguments.only is not None:
        (wish,) = (wish for wish in wishes if wish.name == arguments.only)
        return _serve(_place(arguments, wish if arguments.port is None else replace(wish, port=arguments.port)))
    return _serve_all([_place(arguments, wish) for wish in wishes])


def _contradiction(arguments: argparse.Namespace, listed: list[_Wish]) -> str:
    if arguments.port is not None and arguments.only is None:
        return "--port needs --only"
    if listed and arguments.only is not None:
        return "--only is one of the contest's two: leave it out, and name with --processor what is to run"
    if len({wish.name.lower() for wish in listed}) < len(listed):
        return "--processor: every name once"
    return f"--processor: {PROCESSORS_MAX} at most" if len(listed) > PROCESSORS_MAX else ""


def _place(arguments: argparse.Namespace, wish: _Wish) -> _Place:
    settings = ProcessorSettings(
        name=wish.name,
        fee=wish.fee,
        token=arguments.token,
        handled_max=arguments.handled_max,
        waiting_max=arguments.waiting_max,
        health_window_ms=arguments.health_window_ms,
    )
    keep = f"{arguments.keep}-{wish.name}" if arguments.keep else ""
    return _Place(settings, arguments.host, wish.port, keep, arguments.log_requests)


def _serve(place: _Place) -> int:
    # Imported here, in the process that serves: the parent needs no loop, and a loop does not survive a fork.
    from engine.lab.simulate.kept import KeptError
    from engine.lab.simulate.server import serve

    try:
        serve(place.settings, place.host, place.port, place.keep, place.log_requests)
    except KeptError as error:
        print(f"simulate: {place.settings.name} processor: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        reason = f"cannot listen on {place.host}:{place.port}: {error.strerror}"
        print(f"simulate: {place.settings.name} processor {reason}", file=sys.stderr)
        return 1


def _serve_all(places: list[_Place]) -> int:
    """Starts a child for each place, waits for a signal or for a child to end, and ends them all."""
    # Blocked, they queue up until sigwait asks for them, and none is missed.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    children = {_start(place): place.settings.name for place in places}
    code = 0
    while signal.sigwait(_WATCHED) == signal.SIGCHLD:
        ended = _reap(children)
        if ended:
            print(f"simulate: the {' and the '.join(ended)} processor ended by itself", file=sys.stderr)
            code = 1
            break
    _stop(children)
    return code


def _start(place: _Place) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # else it died before it could be followed
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            code = _serve(place)
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def _reap(children: dict[int, str]) -> list[str]:
    """Takes the children that have ended out of ``children``; returns their names."""
    ended = [pid for pid in children if os.waitpid(pid, os.WNOHANG) != (0, 0)]
    return [children.pop(pid) for pid in ended]


def _stop(children: dict[int, str]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while children and (left := deadline - time.monotonic()) > 0:
        signal.sigtimedwait({signal.SIGCHLD}, left)
        _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _wish(text: str) -> _Wish:
    try:
        pairs = parse_pairs(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if len(pairs) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not one processor, like north=8003:0.05")
    ((name, place),) = pairs.items()
    port, colon, fee = place.partition(":")
    return _Wish(name, options.whole(0, PORT_MAX)(port), _fee(fee) if colon else FEE)


def _fee(text: str) -> Decimal:
    try:
        fee = Decimal(text)
    except InvalidOperation:
        fee = Decimal(-1)
    if not 0 <= fee < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part of an amount, from 0 to below 1")
    return fee
