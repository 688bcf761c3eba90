"""What a payment costs each process of the engine, in instructions: the real processes, driven from outside."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from tests.cost.counting import Counted, clean_environment, counted
from tests.lab.simulate.processes import REPOSITORY, processors
from tests.system.client import client, new_payments, wait_until
from tests.system.running import Place, is_alive, place

# Payments before the count begins: callgrind translates code, the interpreter specialises it, handles and buffers are
# made.
WARM_UP = 400
PAYMENTS = 1000
# So few in flight that all are answered when the dispatcher, slowed down, looks again: with the default it depends on
# the machine's mood whether 64 or 256 are, and the cost with it, by 7 %.
CALM = {"ENGINE_IN_FLIGHT_MAX": "32"}
# What is beside a payment's own way is off, or one of the two is on.
PLAIN = {"ENGINE_METRICS": "0", "ENGINE_LEDGER": "off"}
METRICS = PLAIN | {"ENGINE_METRICS": "1"}
LEDGER = PLAIN | {"ENGINE_LEDGER": "best"}
READY_SECONDS_MAX = 60.0
SETTLED_SECONDS_MAX = 300.0  # what counts is instructions: on a busy machine they take long
_HEAD = b"POST /payments HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def intake(settings: Mapping[str, str] = PLAIN) -> float:
    """Instructions of an API process for a ``POST /payments``, from the bytes of nginx to the 202, with ``settings``.

    One connection, one payment after the other, two rings: as it is behind nginx.
    """
    # Nothing is sent there: there is no dispatcher.
    with place("http://127.0.0.1:9", "http://127.0.0.1:10", **settings) as here, _counted(here, "api") as api:
        wait_until(lambda: api.is_alive() and is_alive(here.api_socket(0)), READY_SECONDS_MAX, "it answers")
        with api.counting(lambda: pay(here, WARM_UP)):
            pay(here, PAYMENTS)
        return api.stop() / PAYMENTS


def dispatch(settings: Mapping[str, str] = PLAIN) -> float:
    """Instructions of the dispatcher for a payment, from the ring to the books, with a healthy processor.

    ``settings``: the engine's.

    All payments wait in the ring when it begins, so that nothing depends on the pacing.
    """
    with (
        processors() as simulated,
        place(simulated.default.base_url, simulated.fallback.base_url, **CALM, **settings) as here,
        _running(here, "api"),
        _counted(here, "dispatch") as dispatcher,
    ):
        wait_until(lambda: is_alive(here.api_socket(0)), READY_SECONDS_MAX, "the API process answers")
        with dispatcher.counting(lambda: _dispatch(here, dispatcher, WARM_UP)):
            _dispatch(here, dispatcher, PAYMENTS)
        return dispatcher.stop() / PAYMENTS


ANEW: dict[str, Callable[[], float]] = {
    "intake": intake,
    "intake-metrics": partial(intake, METRICS),
    "dispatch": dispatch,
    "dispatch-metrics": partial(dispatch, METRICS),
    "dispatch-ledger": partial(dispatch, LEDGER),
}
# Each is made once, for several tests.
MEASURES: dict[str, Callable[[], float]] = {name: cache(measured) for name, measured in ANEW.items()}


def pay(here: Place, count: int) -> None:
    """Hands ``count`` new payments in at the API process, each in one piece as from nginx, one after the other."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(READY_SECONDS_MAX)
        connection.connect(here.api_socket(0))
        for payment in new_payments(count):
            body = b'{"correlationId":"%s","amount":19.90}' % payment.correlation_id.encode()
            connection.sendall(_HEAD % len(body) + body)
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 202 "), answer


@contextmanager
def _counted(here: Place, command: str) -> Iterator[Counted]:
    with (
        tempfile.TemporaryDirectory(prefix="cost-") as directory,
        counted(Path(directory), clean_environment(here.settings), command) as process,
    ):
        yield process


@contextmanager
def _running(here: Place, command: str) -> Iterator[None]:
    """``python -m engine command``, not counted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", command],
        cwd=REPOSITORY, env=clean_environment(here.settings), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(READY_SECONDS_MAX)


def _dispatch(here: Place, dispatcher: Counted, count: int) -> None:
    """Returns when the dispatcher has settled ``count`` new payments, which waited for it in the ring."""
    dispatcher.process.send_signal(signal.SIGSTOP)
    pay(here, count)
    dispatcher.process.send_signal(signal.SIGCONT)
    with client(here.api_socket(0)) as shop:
        wait_until(lambda: dispatcher.is_alive() and shop.pending() == 0, SETTLED_SECONDS_MAX, "all settled")
