"""JSON over kept-alive HTTP: what the clients of engine and processors have in common."""

from __future__ import annotations

import http.client
import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 3.0

Window = tuple[str, str]  # ISO 8601, both inclusive
Bounds = tuple[str | None, str | None]  # a window, open at a side that is None


class ServiceError(Exception):
    """A service gave no usable answer; the text names it and says why. ``status`` is its HTTP status, 0 for none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


def iso_ms(epoch_s: float) -> str:
    """A point in time as the summaries take it: UTC, ms, ``Z``."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def windowed(path: str, bounds: Bounds | None) -> str:
    """``path`` with ``bounds`` as its query; None is no bounds."""
    query = {name: bound for name, bound in zip(("from", "to"), bounds or (), strict=False) if bound is not None}
    return f"{path}?{urlencode(query)}" if query else path


class Service:
    """An HTTP service. Threads may share one; its requests are made one after the other.

    Parameters:
      name: for messages.
      base_url: like ``http://127.0.0.1:9999``.
      headers: of every request.

    Raises ServiceError if the address cannot be used.
    """

    def __init__(self, name: str, base_url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ServiceError(f"{name}: {base_url!r} is not like http://host:port")
        self.name = name
        self.base_url = base_url.rstrip("/")
        self.headers = headers
        self._host, self._port = parts.hostname, parts.port
        self._connection = self.new_connection(TIMEOUT_S)
        self._lock = threading.Lock()

    def new_connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """One more connection, which is opened by its first request and belongs to the caller."""
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)

    def exchange(
        self, method: str, path: str, content: Any = None, timeout_s: float = TIMEOUT_S
    ) -> tuple[http.client.HTTPMessage, bytes]:
        """One request on the kept connection; headers and body of its 2xx answer. Raises ServiceError.

        Asks once more when a kept connection turns out to be closed: servers drop idle ones (socketify's after 10 s,
        which is exactly the pause between two audits), and every call made here may be repeated.
        """
        headers, body = dict(self.headers), None
        if content is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(content).encode()
        with self._lock:
            status, answer_headers, answer = self._ask(method, path, body, headers, timeout_s)
        if 200 <= status < 300:
            return answer_headers, answer
        text = answer.decode(errors="replace").strip()
        place = f"{self.name} at {self.base_url}: {method} {path.partition('?')[0]}"
        raise ServiceError(f"{place}: {status} {text:.200}", status)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        self._connection.timeout = timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        for was_kept in (self._connection.sock is not None, False):
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                return response.status, response.headers, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if was_kept and isinstance(error, ConnectionError):
                    continue
                reason = str(error) or type(error).__name__
                raise ServiceError(f"{self.name} at {self.base_url}: {reason}") from None
        raise AssertionError("the second time no connection was kept")

    def json(self, method: str, path: str, content: Any = None) -> Any:
        """As :meth:`exchange`, the answer as JSON with its decimals exact. Raises ServiceError."""
        _, answer = self.exchange(method, path, content)
        try:
            return json.loads(answer, parse_float=Decimal)
        except ValueError:
            text = answer.decode(errors="replace")
            raise ServiceError(f"{self.name} at {self.base_url}: {path}: not JSON: {text:.200}") from None

    def close(self) -> None:
        """Closes the kept connection."""
        self._connection.close()
