"""The paying process: unique payments over kept-alive connections, each sent again until it is accepted.

It is a process of its own, so that it is not held up by what looks at memory or draws. One thread and one epoll: about
25 µs of CPU for a payment, and one request at a time on each connection, so that latency is what a client sees.

What was accepted is told as a number, a sum of cents, and a *fingerprint*: the sum of all correlationIds as 128-bit
numbers. They are random, so when as many payments with the same fingerprint were charged, they are the same payments,
each once, and nothing has to keep millions of ids.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NamedTuple

from engine.lab.soak.flow import Pace
from engine.lab.soak.histogram import Histogram

FINGERPRINT = 1 << 128
CENTS_MIN, CENTS_MAX = 1000, 9999  # the same number of digits, so every request is equally long
ANSWER_S_MAX = 10.0
CONNECT_S_MAX = 1.0
AGAIN_S = 0.1  # a payment that was not accepted is sent again after so long
LOOK_AROUND_S = 1.0  # how often to look for answers that are overdue
BATCH_S = 0.001  # payments that are due within it are begun together: epoll waits no less
_IDS_AT_ONCE = 1024
_KEY_BYTES = 16
_RECEIVED_MAX = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Payment(NamedTuple):
    """A payment: its id as a number, its amount, and the request that hands it in."""

    number: int
    cents: int
    request: bytes


@dataclass(frozen=True)
class Order:
    """What the payer is to do from now on: pay at this rate, or, once it is over, only finish what was begun."""

    rate_per_s: float
    over: bool = False


@dataclass
class Told:
    """What has become of the payments.

    Parameters:
      begun: payments that were sent at least once.
      accepted, cents, fingerprint: those that were answered 202.
      refused: other answers, by status.
      unanswered: requests without an answer, by reason.
      counts, max_us: latencies of accepted requests in µs since the last time they were told, see `Histogram`.
      cpu_s: CPU time of the payer so far.
    """

    begun: int = 0
    accepted: int = 0
    cents: int = 0
    fingerprint: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    counts: Counter[int] = field(default_factory=Counter)
    max_us: int = 0
    cpu_s: float = 0.0


def new_payments(host: str) -> Iterator[Payment]:
    """Payments that have not been seen before, of random amounts, without end."""
    head = (
        f"POST /payments HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    ).encode()
    body = b'{"correlationId":"%s-%s-%s-%s-%s","amount":%d.%02d}'
    length = len(body % (b"-" * 8, b"-" * 4, b"-" * 4, b"-" * 4, b"-" * 12, CENTS_MIN // 100, 0))
    whole = head % length + body
    span = CENTS_MAX - CENTS_MIN + 1
    while True:
        block = os.urandom(_IDS_AT_ONCE * _KEY_BYTES)
        digits = block.hex().encode()
        for at in range(0, len(block), _KEY_BYTES):
            number = int.from_bytes(block[at : at + _KEY_BYTES], "big")
            cents = CENTS_MIN + number % span
            text = digits[2 * at : 2 * at + 32]
            parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
            yield Payment(number, cents, whole % (*parts, cents // 100, cents % 100))


def status_of(answer: bytes) -> int:
    """The status of an answer that is there as a whole, 0 while it is not. Raises ValueError when it is no HTTP."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return 0
    length = _LENGTH.search(answer, 0, end + 2)
    if len(answer) < end + 4 + (int(length[1]) if length else 0):
        return 0
    return int(answer[9:12])


class _Connection:
    """A kept-alive connection, ``socket`` being None while there is none, with the payment that is on its way."""

    __slots__ = ("payment", "received", "sent_ns", "socket")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.payment: Payment | None = None
        self.received = b""
        self.sent_ns = 0


class Payer:
    """Pays until it is told that it is over.

    Parameters:
      port: where nginx listens on 127.0.0.1.
      connections: how many to keep, each with one request at a time.
      payments_max: how many payments to begin at most.
      orders: where orders come from; each is answered with a :class:`Told`.
    """

    def __init__(self, port: int, connections: int, payments_max: int, orders: Connection) -> None:
        self._address = ("127.0.0.1", port)
        self._payments = new_payments(f"127.0.0.1:{port}")
        self._payments_max = payments_max
        self._orders = orders
        self._epoll = select.epoll()
        self._epoll.register(orders.fileno(), select.EPOLLIN)
        self._connections = [_Connection() for _ in range(connections)]
        self._idle = list(self._connections)
        self._open: dict[int, _Connection] = {}
        self._again: deque[tuple[float, Payment]] = deque()
        self._pace = Pace(time.monotonic())
        self._over = False
        self._told = Told()
        self._latencies = Histogram()

    def run(self) -> None:
        """Until the other end of ``orders`` is closed."""
        look_around_s = time.monotonic() + LOOK_AROUND_S
        while True:
            self._begin_what_is_due()
            for descriptor, _ in self._epoll.poll(self._wait_s()):
                if descriptor != self._orders.fileno():
                    self._receive(self._open[descriptor])
                elif not self._obey():
                    return
            if time.monotonic() > look_around_s:
                look_around_s = time.monotonic() + LOOK_AROUND_S
                self._give_up_the_overdue()

    def _wait_s(self) -> float:
        wait_s = AGAIN_S if self._again else LOOK_AROUND_S
        if self._idle and self._has_more():
            wait_s = min(max(self._pace.wait_s(), BATCH_S), wait_s)
        return wait_s

    def _has_more(self) -> bool:
        return not self._over and self._told.begun < self._payments_max

    def _begin_what_is_due(self) -> None:
        now_s = time.monotonic()
        while self._again and self._idle and self._again[0][0] <= now_s:
            self._begin(self._again.popleft()[1])
        if self._has_more():
            wanted = min(len(self._idle), self._payments_max - self._told.begun)
            for _ in range(self._pace.take(wanted, now_s)):
                self._told.begun += 1
                self._begin(next(self._payments))

    def _begin(self, payment: Payment) -> None:
        connection = self._idle.pop()
        connection.payment = payment
        connection.sent_ns = time.monotonic_ns()
        try:
            if connection.socket is None:
                connection.socket = socket.create_connection(self._address, timeout=CONNECT_S_MAX)
                connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.socket.setblocking(False)
                self._open[connection.socket.fileno()] = connection
                self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
            connection.socket.sendall(payment.request)
        except OSError as error:
            self._break(connection, error)

    def _receive(self, connection: _Connection) -> None:
        assert connection.socket is not None
        if connection.payment is None:  # nginx closes what was idle for long
            self._close(connection)
            return
        try:
            chunk = connection.socket.recv(_RECEIVED_MAX)
            if not chunk:
                raise ConnectionResetError("closed")
            connection.received += chunk
            status = status_of(connection.received)
        except (OSError, ValueError) as error:
            self._break(connection, error)
            return
        if status:
            self._answered(connection, status)

    def _answered(self, connection: _Connection, status: int) -> None:
        payment = connection.payment
        assert payment is not None
        told = self._told
        if status == 202:
            told.accepted += 1
            told.cents += payment.cents
            told.fingerprint = (told.fingerprint + payment.number) % FINGERPRINT
            self._latencies.add((time.monotonic_ns() - connection.sent_ns) // 1000)
        else:
            told.refused[status] += 1
            self._again.append((time.monotonic() + AGAIN_S, payment))
        connection.payment = None
        if b"connection: close" in connection.received.lower():
            self._close(connection)
        connection.received = b""
        self._idle.append(connection)

    def _break(self, connection: _Connection, error: Exception) -> None:
        """A connection of which nothing more can be expected. Whether its payment was accepted is not known."""
        assert connection.payment is not None
        self._told.unanswered[str(error) or type(error).__name__] += 1
        self._again.append((time.monotonic() + AGAIN_S, connection.payment))
        if connection.socket is not None:
            self._close(connection)
        connection.payment = None
        connection.received = b""
        self._idle.append(connection)

    def _close(self, connection: _Connection) -> None:
        assert connection.socket is not None
        del self._open[connection.socket.fileno()]
        connection.socket.close()  # which takes it out of the epoll too
        connection.socket = None

    def _give_up_the_overdue(self) -> None:
        latest_ns = time.monotonic_ns() - int(ANSWER_S_MAX * 1e9)
        for connection in [one for one in self._open.values() if one.payment and one.sent_ns < latest_ns]:
            self._break(connection, TimeoutError(f"no answer within {ANSWER_S_MAX:g} s"))

    def _obey(self) -> bool:
        """Takes an order and tells how it stands; False when there will be no more orders."""
        try:
            order = self._orders.recv()
        except EOFError:
            return False
        assert isinstance(order, Order)
        self._over = order.over
        self._pace.set(order.rate_per_s, time.monotonic())
        self._told.counts, self._told.max_us = self._latencies.counts, self._latencies.max
        self._latencies = Histogram()
        self._told.cpu_s = time.process_time()
        self._orders.send(self._told)
        return True


def pay(port: int, connections: int, payments_max: int, orders: Connection) -> None:
    """What the paying process runs, see :class:`Payer`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives the orders
    Payer(port, connections, payments_max, orders).run()
