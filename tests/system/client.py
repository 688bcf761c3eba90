"""Clients like shops: one for single requests, one that pays as fast as it can, one that pays steadily with retries."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from engine.lab.contest.books import Totals, engine_totals

TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = 0.005  # of a steady payer between two payments
LOOK_SECONDS_MIN, LOOK_SECONDS_MAX = 0.02, 0.5  # between two looks at what is waited for
AMOUNT_CENTS = 1990


class Payment(NamedTuple):
    """A payment as its shop knows it."""

    correlation_id: str
    cents: int


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body, its decimals exact."""
        return json.loads(self.body, parse_float=Decimal)


def new_payments(count: int, cents: Callable[[int], int] = lambda _: AMOUNT_CENTS) -> list[Payment]:
    """Payments with new ids; the amount of each is ``cents`` of its number."""
    return [Payment(str(uuid.uuid4()), cents(number)) for number in range(count)]


def body_of(payment: Payment) -> bytes:
    """What is sent for it."""
    amount = f"{payment.cents // 100}.{payment.cents % 100:02d}"
    return f'{{"correlationId": "{payment.correlation_id}", "amount": {amount}}}'.encode()


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Returns as soon as ``condition`` holds; fails with ``what`` when it does not within ``seconds``.

    Asking takes a quarter of the time at most: what is waited for needs the machine too.
    """
    begun = time.monotonic()
    deadline = begun + seconds
    while not condition():
        now = time.monotonic()
        assert now < deadline, f"not within {seconds} s: {what}"
        time.sleep(min(max(LOOK_SECONDS_MIN, 3 * (now - begun)), LOOK_SECONDS_MAX))
        begun = time.monotonic()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """One kept connection to the engine: to nginx's TCP port, or to an API process' Unix socket. For one thread."""

    def __init__(self, where: int | str) -> None:
        self._connection: http.client.HTTPConnection
        if isinstance(where, int):
            self._connection = http.client.HTTPConnection("127.0.0.1", where, timeout=TIMEOUT_SECONDS)
        else:
            self._connection = _UnixConnection(where)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Any request. Raises OSError and http.client.HTTPException when there is no answer."""
        try:
            self._connection.request(method, path, body, headers or {})
            response = self._connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def pay(self, payment: Payment) -> Answer:
        """Hands a payment in."""
        return self.request("POST", "/payments", body_of(payment), {"Content-Type": "application/json"})

    def status(self, payment: Payment) -> Answer:
        """Asks what became of it."""
        return self.request("GET", f"/payments/{payment.correlation_id}/status")

    def summary(self, from_: str | None = None, to: str | None = None) -> Totals:
        """What the engine says was settled in a window (ISO 8601)."""
        bounds = {name: text for name, text in (("from", from_), ("to", to)) if text is not None}
        answer = self.request("GET", "/payments-summary?" + urlencode(bounds))
        assert answer.status == 200, answer
        return engine_totals(answer.json())

    def pending(self) -> int:
        """Accepted payments that are not settled."""
        answer = self.request("GET", "/health")
        assert answer.status == 200, answer
        queues = answer.json()["queues"]
        assert queues["failed"] == 0
        return int(queues["pending"])

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


@contextmanager
def client(where: int | str) -> Iterator[Client]:
    """A `Client` that is closed at the end."""
    shop = Client(where)
    try:
        yield shop
    finally:
        shop.close()


def burst(port: int, payments: Sequence[Payment], connections: int = 16) -> dict[Payment, int]:
    """Hands all payments in as fast as ``connections`` plain sockets can; the status of each."""

    def pay(share: Sequence[Payment]) -> list[int]:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            return [_exchange(connection, request) for request in map(_request, share)]

    shares = [payments[start::connections] for start in range(connections)]
    with ThreadPoolExecutor(connections) as threads:
        statuses = list(threads.map(pay, shares))
    return {
        payment: status
        for share, got in zip(shares, statuses, strict=True)
        for payment, status in zip(share, got, strict=True)
    }


def _request(payment: Payment) -> bytes:
    body = body_of(payment)
    head = (
        f"POST /payments HTTP/1.1\r\nHost: e\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _exchange(connection: socket.socket, request: bytes) -> int:
    """Sends a request, reads its answer whole (several times as quick as http.client), and returns the status."""
    connection.sendall(request)
    answer = connection.recv(65_536)
    while True:
        head, blank, body = answer.partition(b"\r\n\r\n")
        if blank:
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if len(body) >= int(length):
                return int(head[9:12])
        more = connection.recv(65_536)
        if not more:
            raise ConnectionResetError("closed in the middle of an answer")
        answer += more


@dataclass
class Steady:
    """What steady payers have done so far. Only their threads write it, and each adds only."""

    sent: list[Payment] = field(default_factory=list)
    accepted: list[Payment] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)  # every answer that was not a 202, and every missing one

    def wait_for_more(self, count: int, seconds: float = 20.0) -> None:
        """Returns when ``count`` more payments have been accepted."""
        goal = len(self.accepted) + count
        wait_until(lambda: len(self.accepted) >= goal, seconds, f"{count} more payments accepted; {self.troubles[-3:]}")


@contextmanager
def steady(port: int, connections: int = 4) -> Iterator[Steady]:
    """Pays about 150 times a second on each connection, until the end of the block.

    A payment that has no 202 is sent again, the same, until it has one or the block has ended.
    """
    told = Steady()
    over = threading.Event()

    def pay(numbers: Iterator[int]) -> None:
        with client(port) as shop:
            while not over.is_set():
                (payment,) = new_payments(1, lambda _: 1 + next(numbers) % 5000)
                told.sent.append(payment)
                while True:
                    try:
                        answer = shop.pay(payment)
                        trouble = "" if answer.status == 202 else f"{answer.status} {answer.body!r}"
                    except (OSError, http.client.HTTPException) as error:
                        trouble = repr(error)
                    if not trouble:
                        told.accepted.append(payment)
                    else:
                        told.troubles.append(trouble)
                    if over.wait(PAUSE_SECONDS) or not trouble:
                        break

    with ThreadPoolExecutor(connections) as threads:
        numbers = itertools.count()
        payers = [threads.submit(pay, numbers) for _ in range(connections)]
        try:
            yield told
        finally:
            over.set()
    for payer in payers:
        payer.result()
