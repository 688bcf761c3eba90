"""What a payment costs each process of the engine, in instructions: the real processes, driven from outside."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cost.counting import Counted, clean_environment, counted
from tests.lab.simulate.processes import REPOSITORY, processors
from tests.system.client import client, new_payments, wait_until
from tests.system.running import Place, is_alive, place

WARM_UP = 400  # payments before the count begins: the interpreter specialises code, handles and buffers are made
PAYMENTS = 1000
# So few in flight that all are answered when the dispatcher, slowed down, looks again: with the default it depends on
# the machine's mood whether 64 or 256 are, and the cost with it, by 7 %.
CALM = {"ENGINE_IN_FLIGHT_MAX": "32"}
READY_SECONDS_MAX = 60.0
SETTLED_SECONDS_MAX = 60.0
_HEAD = b"POST /payments HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def intake() -> float:
    """Instructions of an API process for a ``POST /payments``, from the bytes of nginx to the 202.

    One connection, one payment after the other, two rings: as it is behind nginx.
    """
    # Nothing is sent there: there is no dispatcher.
    with place("http://127.0.0.1:9", "http://127.0.0.1:10") as here, _counted(here, "api") as api:
        wait_until(lambda: api.is_alive() and is_alive(here.api_socket(0)), READY_SECONDS_MAX, "it answers")
        pay(here, WARM_UP)
        with api.counting():
            pay(here, PAYMENTS)
        return api.stop() / PAYMENTS


def dispatch() -> float:
    """Instructions of the dispatcher for a payment, from the ring to the books, with a healthy processor.

    All payments wait in the ring when it begins, so that nothing depends on the pacing.
    """
    with (
        processors() as simulated,
        place(simulated.default.base_url, simulated.fallback.base_url, **CALM) as here,
        _running(here, "api"),
        _counted(here, "dispatch") as dispatcher,
    ):
        wait_until(lambda: is_alive(here.api_socket(0)), READY_SECONDS_MAX, "the API process answers")
        _dispatch(here, dispatcher, WARM_UP)
        with dispatcher.counting():
            _dispatch(here, dispatcher, PAYMENTS)
        return dispatcher.stop() / PAYMENTS


MEASURES: dict[str, Callable[[], float]] = {"intake": intake, "dispatch": dispatch}


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
