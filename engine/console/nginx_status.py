"""What nginx says of itself: its ``stub_status``, under a name that only this machine may ask for.

In containers the console is not on nginx's machine: there it asks on a Unix socket in the run directory, which both
have (``ops/nginx/watched.conf``).
"""

from __future__ import annotations

import http.client
import os
import re
import socket
from typing import Final, NamedTuple

# The name of the server block that `up` adds to nginx.conf (engine/supervise/nginx.py).
HOST: Final = "nginx-status.engine.invalid"
SOCKET: Final = "nginx-status.sock"
WAIT_SECONDS: Final = 0.2
_ANSWER_BYTES_MAX: Final = 1024
_TEXT: Final = re.compile(
    rb"Active connections: (\d+) \nserver accepts handled requests\n (\d+) (\d+) (\d+) \n"
    rb"Reading: (\d+) Writing: (\d+) Waiting: (\d+) \n"
)


class NginxStatus(NamedTuple):
    """Connections with clients, and what nginx has counted since it started."""

    active: int
    accepted: int
    handled: int
    requests: int
    reading: int
    writing: int
    waiting: int


def read(port: int, run_dir: str) -> NginxStatus | None:
    """What the nginx of ``run_dir`` says, or else the one on ``port`` of this machine; None where it says nothing."""
    path = os.path.join(run_dir, SOCKET)
    connection = _Beside(path) if os.path.exists(path) else http.client.HTTPConnection("127.0.0.1", port)
    connection.timeout = WAIT_SECONDS
    try:
        connection.request("GET", "/", headers={"Host": HOST})
        found = _TEXT.fullmatch(connection.getresponse().read(_ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return NginxStatus(*map(int, found.groups())) if found else None


class _Beside(http.client.HTTPConnection):
    """A connection to a Unix socket, whose path stands in the place of the host."""

    def connect(self) -> None:
        """See :class:`HTTPConnection`."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)
