"""A processor that does, request by request, what a test tells it: words that the simulated one never says."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

CHARGED = b'{"message":"payment processed successfully"}'
EXISTS = b'{"message":"it exists already"}'


class Said(NamedTuple):
    """An answer; ``None`` in its place hangs up."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """A payment request, or a lookup (``document`` is empty)."""

    correlation_id: str
    document: dict[str, Any]
    body: bytes


Behaviour = Callable[["Scripted", Request], Said | None]


class Scripted:
    """``ledger``: what it has charged, the bodies by id; ``requests`` and ``lookups``: the ids it was asked for.

    ``pay`` and ``look_up`` answer; ``health`` is what it says of itself.
    """

    def __init__(self) -> None:
        self.ledger: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.lookups: list[str] = []
        self.others: list[str] = []  # paths of what is neither
        self.pay: Behaviour = charge
        self.look_up: Behaviour = show
        self.lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def reset(self) -> None:
        """Forgets everything and is healthy."""
        self.pay, self.look_up = charge, show
        self.ledger.clear()
        self.requests.clear()
        self.lookups.clear()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def insert(processor: Scripted, request: Request) -> bool:
    """Charges a payment; False when it is there."""
    with processor.lock:
        if request.correlation_id in processor.ledger:
            return False
        processor.ledger[request.correlation_id] = request.body
        return True


def charge(processor: Scripted, request: Request) -> Said | None:
    """As a healthy processor."""
    return Said(200, CHARGED) if insert(processor, request) else Said(422, EXISTS)


def show(processor: Scripted, request: Request) -> Said | None:
    """The stored payment, or 404."""
    body = processor.ledger.get(request.correlation_id)
    return Said(404) if body is None else Said(200, body)


def says(status: int, body: bytes = b"", *, inserts: bool = False) -> Behaviour:
    """Always the same answer; ``inserts``: and charges all the same."""

    def behave(processor: Scripted, request: Request) -> Said | None:
        if inserts:
            insert(processor, request)
        return Said(status, body)

    return behave


def packed(behaviour: Behaviour) -> Behaviour:
    """The same in the content coding gzip, even if the client does not accept it."""

    def behave(processor: Scripted, request: Request) -> Said | None:
        said = behaviour(processor, request)
        return said and Said(said.status, gzip.compress(said.body), (("Content-Encoding", "gzip"),))

    return behave


def marked(behaviour: Behaviour) -> Behaviour:
    """The same behind a byte order mark."""

    def behave(processor: Scripted, request: Request) -> Said | None:
        said = behaviour(processor, request)
        return said and Said(said.status, b"\xef\xbb\xbf" + said.body)

    return behave


def only(picked: Callable[[Request], bool], behaviour: Behaviour, otherwise: Behaviour = charge) -> Behaviour:
    """``behaviour`` for the requests that are ``picked``."""
    return lambda processor, request: (behaviour if picked(request) else otherwise)(processor, request)


@contextmanager
def scripted() -> Iterator[Scripted]:
    """A processor up to the end of the block."""
    made = Scripted()
    try:
        yield made
    finally:
        made.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, processor: Scripted) -> None:
        self.processor = processor
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        document = json.loads(body)
        processor = self._processor()
        processor.requests.append(document["correlationId"])
        self._say(processor.pay(processor, Request(document["correlationId"], document, body)))

    def do_GET(self) -> None:
        processor = self._processor()
        if self.path == "/payments/service-health":
            self._say(Said(200, b'{"failing":false,"minResponseTime":0}'))
        elif self.path.startswith("/payments/"):
            name = self.path.removeprefix("/payments/")
            processor.lookups.append(name)
            self._say(processor.look_up(processor, Request(name, {}, b"")))
        else:
            processor.others.append(self.path)
            self._say(Said(404))

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _processor(self) -> Scripted:
        assert isinstance(self.server, _Server)
        return self.server.processor

    def _say(self, said: Said | None) -> None:
        if said is None:
            self.close_connection = True
            return
        self.send_response(said.status)
        for name, value in (("Content-Type", "application/json"), *said.headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body)
