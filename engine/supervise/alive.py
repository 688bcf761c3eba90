"""Asking an engine whether it is alive."""

from __future__ import annotations

import http.client


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
