"""A connector for tests, and a processor for it: everything that can differ from the contest's protocol differs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from engine.connectors import answers
from engine.connectors.answers import Fee, Health, Outcome, Summary, found
from engine.connectors.connector import Body, Connector, Request

ACCEPTED = b"TAKEN"


def connector(key: str) -> Connector:
    """PUT for payments, POST for lookups, plain text, and a key with all but the health."""
    keyed = (("Api-Key", key),)
    return Connector(
        payments=Request("PUT", "/v2/charges", (("Content-Type", "text/plain"), *keyed)),
        payment_body=payment_body,
        lookup=lambda high, low: Request(
            "POST", "/v2/search", (("Content-Type", "text/plain"), ("Purpose", "lookup")), b"%016x%016x" % (high, low)
        ),
        health=Request("GET", "/v2/up"),
        fee=Request("GET", "/v2/terms?unit=bps", keyed),
        summary=lambda begin, end: Request("GET", f"/v2/sums?since={begin}&until={end + 1}", keyed),
        read_payment=read_payment,
        read_lookup=read_lookup,
        read_health=read_health,
        read_fee=read_fee,
        read_summary=read_summary,
    )


def payment_body(id_high: int, id_low: int, cents: int, requested_ms: int) -> bytes:
    return b"%016x%016x %d %d" % (id_high, id_low, cents, requested_ms)


def read_payment(status: int, body: Body) -> Outcome:
    if status == 201 and body == ACCEPTED:
        return answers.CHARGED
    return {409: answers.ALREADY, 420: answers.REJECTED}.get(status, answers.UNKNOWN)


def read_lookup(status: int, body: Body, id_high: int, id_low: int) -> Outcome:
    if status == 204:
        return answers.ABSENT
    identity, cents, requested_ms = body.split()  # raises when it is anything else
    if status != 200 or int(identity, 16) != id_high << 64 | id_low:
        return answers.UNKNOWN
    return found(int(requested_ms), int(cents))


def read_health(processor: int, status: int, body: Body) -> Health | None:
    return Health(processor, body != b"up", 0) if status == 200 else None


def read_fee(processor: int, status: int, body: Body) -> Fee | None:
    return Fee(processor, int(body) * 100) if status == 200 else None


def read_summary(status: int, body: Body) -> Summary | None:
    payments, cents = body.split()
    return Summary(int(payments), int(cents)) if status == 200 else None


class Seen(NamedTuple):
    """A request that has arrived; ``headers``: names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Invented:
    """A processor that understands :func:`connector`.

    ``ledger``: bodies that it has charged, by id. ``requests``: all requests that it got. ``unanswered``: this many of
    the next payments are charged, and then the connection is closed without an answer. ``terms``, ``record``: its
    answers to queries for the fee, and to lookups; empty: the truth.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.ledger: dict[bytes, bytes] = {}
        self.requests: list[Seen] = []
        self.unanswered = 0
        self.terms = b"290"
        self.record = b""

    def answer(self, seen: Seen) -> tuple[int, bytes] | None:
        """Status and body; None: it hangs up."""
        self.requests.append(seen)
        if seen[:2] == ("PUT", "/v2/charges"):
            return self._charge(seen.body)
        if seen[:2] == ("POST", "/v2/search"):
            record = self.record or self.ledger.get(seen.body)
            return (204, b"") if record is None else (200, record)
        if seen[:2] == ("GET", "/v2/up"):
            return 200, b"up"
        return (200, self.terms) if seen[:2] == ("GET", "/v2/terms?unit=bps") else (404, b"")

    def _charge(self, body: bytes) -> tuple[int, bytes] | None:
        identity = body.split()[0]
        if identity in self.ledger:
            return 409, b""
        self.ledger[identity] = body
        if self.unanswered:
            self.unanswered -= 1
            return None
        return 201, ACCEPTED


@contextmanager
def invented() -> Iterator[Invented]:
    """A processor of its own on loopback, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = processor.answer(Seen(self.command, self.path, headers, body))
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            if answer[0] != 204:
                self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def do_PUT(self) -> None:
            self._handle()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    processor = Invented(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield processor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
