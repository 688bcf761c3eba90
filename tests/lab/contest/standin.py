"""A small backend that keeps the contest's rules, or breaks one on purpose, so that tests see the contest notice."""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Vice = Literal["none", "lies in summaries", "loses payments", "charges twice", "does not purge"]
RETRY_S = 0.02


class StandIn:
    """A backend in this process, on a free port of 127.0.0.1. A context manager.

    Payments are sent to the default processor, or to the other one when that answers 5xx, one after the other.
    """

    def __init__(self, default: str, fallback: str, vice: Vice = "none") -> None:
        self._processors = {"default": urlsplit(default), "fallback": urlsplit(fallback)}
        self._vice = vice
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._known: set[str] = set()
        self._settled: list[tuple[str, str, float]] = []  # processor, requestedAt, amount
        self._pending = 0
        self._lock = threading.Lock()
        self._stopping = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True),
            threading.Thread(target=self._settle_all, daemon=True),
        ]

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> StandIn:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._waiting.put(None)
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def accept(self, payment: dict[str, Any]) -> None:
        """Takes a payment over."""
        with self._lock:
            self._known.add(payment["correlationId"])
            self._pending += 1
        self._waiting.put(payment)

    def answer(self, method: str, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """Everything but payments: status and content."""
        with self._lock:
            if path == "/payments-summary":
                first, last = query.get("from", [""])[0], query.get("to", ["~"])[0]
                return 200, {name: self._total(name, first, last) for name in self._processors}
            if path.endswith("/status"):
                return (200 if path.split("/")[2] in self._known else 404), {}
            if path == "/health":
                return 200, {"status": "ok", "processors": {}, "queues": {"pending": self._pending, "failed": 0}}
            if (method, path) == ("POST", "/purge-payments") and self._vice != "does not purge":
                self._settled.clear()
                return 200, {}
        return 404, {"title": "no such thing"}

    def _total(self, name: str, first: str, last: str) -> dict[str, Any]:
        amounts = [amount for at, when, amount in self._settled if at == name and first <= when <= last]
        # A liar begins with the first payment: an engine that adds to nothing could not even be purged.
        lie = 1 if self._vice == "lies in summaries" and amounts else 0
        return {"totalRequests": len(amounts) + lie, "totalAmount": round(sum(amounts), 2)}

    def _settle_all(self) -> None:
        number = 0
        connections = {
            name: http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
            for name, parts in self._processors.items()
        }
        while (payment := self._waiting.get()) is not None and not self._stopping:
            number += 1
            if not (self._vice == "loses payments" and number % 3 == 0):
                self._settle(payment, connections, number)
            with self._lock:
                self._pending -= 1
        for connection in connections.values():
            connection.close()

    def _settle(self, payment: dict[str, Any], connections: dict[str, http.client.HTTPConnection], number: int) -> None:
        while not self._stopping:
            for name, connection in connections.items():
                if self._charge(payment, name, connection):
                    if self._vice == "charges twice" and number == 1:
                        self._charge(payment, "fallback", connections["fallback"])
                    return
            time.sleep(RETRY_S)

    def _charge(self, payment: dict[str, Any], name: str, connection: http.client.HTTPConnection) -> bool:
        when = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = json.dumps(payment | {"requestedAt": when})
        connection.request("POST", "/payments", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            return False
        with self._lock:
            self._settled.append((name, when, payment["amount"]))
        return True


def _handler(backend: StandIn) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/payments":
                backend.accept(json.loads(body))
                self._say(202, b"")
            else:
                self._answer("POST")

        def do_GET(self) -> None:
            self._answer("GET")

        def _answer(self, method: str) -> None:
            parts = urlsplit(self.path)
            status, content = backend.answer(method, parts.path, parse_qs(parts.query))
            self._say(status, json.dumps(content).encode())

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
