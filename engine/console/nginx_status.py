"""What nginx says of itself: its ``stub_status``, under a name that only this machine may ask for."""

from __future__ import annotations

import http.client
import re
from typing import Final, NamedTuple

# The name of the server block that `up` adds to nginx.conf (engine/supervise/nginx.py).
HOST: Final = "nginx-status.engine.invalid"
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


def read(port: int) -> NginxStatus | None:
    """What the nginx on ``port`` of this machine says; None where it says nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", "/", headers={"Host": HOST})
        found = _TEXT.fullmatch(connection.getresponse().read(_ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return NginxStatus(*map(int, found.groups())) if found else None
