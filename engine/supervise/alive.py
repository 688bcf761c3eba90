"""Asking an engine and its processes whether they are alive, and whether they are ready."""

from __future__ import annotations

import errno
import http.client
import socket
import time
from collections.abc import Sequence

from engine.logs.logger import Logger
from engine.supervise.pulse import Sign

READY_SECONDS = 10.0  # so long a start waits for API processes that answer and are not ready
ANSWER_SECONDS = 0.2  # longest wait for an answer that only finds out whether a process is there; it asks again
_NOBODY = (errno.ECONNREFUSED, errno.ENOENT, errno.ENOTDIR)

log = Logger("engine.up")


def is_alive(host: str, port: int) -> bool:
    """Whether ``/healthcheck`` answers 200 there within a second."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/healthcheck")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listens(address: tuple[str, int]) -> Sign:
    """Whether somebody listens on this TCP address. Who is too busy to take a connection does."""
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        return Sign.GONE if probe.connect_ex(address) in _NOBODY else Sign.SERVES


def answers(path: str) -> Sign:
    """Whether an API process answers on its Unix socket.

    That it can be connected to says nothing: the kernel takes connections for one that is stopped, too. Nor does it
    matter what it answers: one that cannot accept just now is not mended by another start.
    """
    return _asked(path, "/healthcheck")[0]


def is_ready(path: str) -> bool:
    """Whether the API process on this Unix socket can accept payments that will be settled: its ``/readyz``."""
    return b" 200 " in _asked(path, "/readyz")[1]


class Readiness:
    """Whether a start is over: all API processes are ready, or have had :data:`READY_SECONDS` for it.

    A start does not fail for that: a ring that is full is emptied by an engine that runs. The log has it then.

    Parameters:
      paths: the API processes' sockets.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._until_s: float | None = None

    def __call__(self) -> bool:
        now_s = time.monotonic()
        self._until_s = self._until_s or now_s + READY_SECONDS
        unready = [path for path in self._paths if not is_ready(path)]
        if unready and now_s >= self._until_s:
            log.warning("not_ready", sockets=", ".join(unready))
        return not unready or now_s >= self._until_s


def _asked(path: str, what: str) -> tuple[Sign, bytes]:
    """What an API process shows of itself, and the first bytes of its answer."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_SECONDS)
        try:
            problem = probe.connect_ex(path)
            if problem:
                return Sign.GONE if problem in _NOBODY else Sign.SILENT, b""
            probe.sendall(f"GET {what} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode())
            said = probe.recv(64)
        except OSError:
            return Sign.SILENT, b""
    return Sign.SERVES if said.startswith(b"HTTP/") else Sign.SILENT, said
