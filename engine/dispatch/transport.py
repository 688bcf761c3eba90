"""The network of the dispatcher: many requests in flight over kept-alive connections, by one pycurl multi-handle.

It knows no payments' lives: it sends what it is given and says what came back.

*Warning*: when a kept connection breaks without an answer, libcurl by itself sends the request again on a new one, a
POST too, and tells only what became of the second: a 429 there would hide that the first one was charged. It cannot do
so when it cannot have the body once more. So the body comes from a function that gives it once, without a way to seek,
and never from POSTFIELDS; such a request then fails, with an unknown outcome.

*Warning*: libcurl does not call the timer callback again for a value that has not changed. So the stored time is reset
before ``socket_action``, and ``socket_action`` repeated while the callback sets 0; otherwise a transfer waits a second
for nothing.

*Cost*: libcurl wants a socket watched while a request is on it, and no more when its answer is there. A kept
connection's stays in the epoll all the same, until it says something that nobody waits for: that spares every payment a
call of the kernel. The timer's callback is a builtin function because libcurl calls it for every payment.
"""

from __future__ import annotations

import contextlib
import logging
import select
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from io import BytesIO
from typing import Any, NamedTuple, TypeGuard

import orjson
import pycurl

from engine.correlation import format_id
from engine.dispatch import outcome
from engine.dispatch.attempt import Attempt
from engine.dispatch.outcome import Outcome
from engine.routing.queries import ANSWER_MS_MAX

MIN_RESPONSE_MS_MAX = 3_600_000  # a longer time is no processor's
FEE_PATH = "/admin/payments-summary?from=2000-01-01T00:00:00Z&to=2000-01-01T00:00:00Z"
UPLOAD_BUFFER_BYTES = 16_384  # the least that libcurl takes
SPARE_CONNECTIONS = 8  # beside the payments': health and questions


log = logging.getLogger("engine.dispatch")


class Health(NamedTuple):
    """A processor's own word of itself."""

    processor: int
    failing: bool
    min_response_ms: int


class Fee(NamedTuple):
    """What a processor keeps, by its own word, in millionths of the amount."""

    processor: int
    ppm: int


class Query(IntEnum):
    """What a request asks that carries no payment."""

    HEALTH = 0
    FEE = 1


class Silence(NamedTuple):
    """A question has ended without a word that can be used."""

    processor: int
    query: Query


class _Request:
    """A curl handle that is used again and again, with what it is carrying now."""

    __slots__ = ("attempt", "body", "handle", "lookup", "processor", "query", "sending")

    def __init__(self, processor: int, lookup: bool) -> None:
        self.handle: Any = pycurl.Curl()
        self.processor = processor
        self.lookup = lookup
        self.attempt: Attempt | None = None  # None: it asks
        self.query = Query.HEALTH
        self.sending = BytesIO()  # what is still to be sent of the request's body
        self.body = bytearray()

    def collect(self, chunk: bytes) -> None:
        """Takes a piece of the answer; beyond the limit it is dropped."""
        if len(self.body) + len(chunk) <= outcome.BODY_BYTES_MAX:
            self.body += chunk


class Transport:
    """Sends attempts and health queries.

    Parameters:
      urls: origins of default and fallback.
      connect_timeout_ms, request_timeout_ms: see :mod:`engine.settings`.
      in_flight_max: for each processor; so many connections are kept.
      token: with which a processor tells its fee.
      epoll: where libcurl's sockets are watched; the caller waits on it and hands events to :meth:`act`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        connect_timeout_ms: int,
        request_timeout_ms: int,
        in_flight_max: int,
        token: str,
        epoll: select.epoll,
    ) -> None:
        self._urls = tuple(urls)
        self._connect_timeout_ms = connect_timeout_ms
        self._request_timeout_ms = request_timeout_ms
        self._token = token
        self._epoll = epoll
        self._timer: deque[int] = deque(maxlen=1)  # what libcurl's timer was set to since it was last looked at, in ms
        self._due: float | None = None
        self._wanted: set[int] = set()  # descriptors that libcurl waits for
        self._stamped_ms = -1
        self._stamp = ""
        # [processor][lookup]: handles that carry nothing
        self._idle: list[tuple[list[_Request], list[_Request]]] = [([], []) for _ in urls]
        self._busy: dict[Any, _Request] = {}
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._timer.append)
        self._multi.setopt(pycurl.M_MAXCONNECTS, len(self._urls) * (in_flight_max + SPARE_CONNECTIONS))

    def send(self, attempt: Attempt) -> None:
        """Sends a payment or the question for it; its end is in a later :meth:`results`."""
        request = self._take(attempt.processor, attempt.lookup)
        request.attempt = attempt
        name = format_id(attempt.id_high, attempt.id_low)
        if attempt.lookup:
            request.handle.setopt(pycurl.URL, f"{self._urls[attempt.processor]}/payments/{name}")
        else:
            whole, part = divmod(attempt.cents, 100)
            moment = self._timestamp(attempt.requested_ms)
            body = f'{{"correlationId":"{name}","amount":{whole}.{part:02d},"requestedAt":"{moment}"}}'.encode()
            request.handle.setopt(pycurl.POSTFIELDSIZE, len(body))
            request.sending.__init__(body)  # type: ignore[misc]  # filled anew: its read() is the handle's READFUNCTION
        self._begin(request)

    def ask_health(self, processor: int) -> None:
        """Asks a processor how it is; its word, or that it said none, is in a later :meth:`results`."""
        self._ask(processor, Query.HEALTH, "/payments/service-health", [])

    def ask_fee(self, processor: int) -> None:
        """Asks a processor what it keeps; its word, or that it said none, is in a later :meth:`results`.

        The fee stands in its summary, of whatever window: the shortest costs it least.
        """
        self._ask(processor, Query.FEE, FEE_PATH, [f"X-Rinha-Token: {self._token}"])

    def _ask(self, processor: int, query: Query, path: str, headers: list[str]) -> None:
        request = self._take(processor, True)
        request.query = query
        request.handle.setopt(pycurl.URL, f"{self._urls[processor]}{path}")
        request.handle.setopt(pycurl.HTTPHEADER, headers)
        request.handle.setopt(pycurl.TIMEOUT_MS, ANSWER_MS_MAX)
        # On a kept connection that breaks libcurl would ask again at once, and a processor counts both.
        request.handle.setopt(pycurl.FRESH_CONNECT, 1)
        request.handle.setopt(pycurl.FORBID_REUSE, 1)
        self._begin(request)

    def act(self, events: Sequence[tuple[int, int]]) -> None:
        """Handles events of the epoll on libcurl's sockets, and its timer."""
        for descriptor, event in events:
            if descriptor not in self._wanted:
                # A kept connection that its peer closes. libcurl finds out when it wants to use it.
                self._forget(descriptor)
                continue
            action = 0
            if event & (select.EPOLLIN | select.EPOLLHUP):
                action |= pycurl.CSELECT_IN
            if event & select.EPOLLOUT:
                action |= pycurl.CSELECT_OUT
            if event & select.EPOLLERR:
                action |= pycurl.CSELECT_ERR
            self._multi.socket_action(descriptor, action)
        self.kick()

    def kick(self) -> None:
        """Lets libcurl do what its timer says; to be called after :meth:`send`, so that what was sent leaves."""
        while (due := self._due_at()) is not None and due <= time.monotonic():
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def wait_ms(self) -> float | None:
        """How long may be waited before :meth:`act` must be called; None: until a socket is ready."""
        due = self._due_at()
        return None if due is None else max(0.0, (due - time.monotonic()) * 1000)

    def results(self) -> tuple[list[tuple[Attempt, Outcome]], list[Health | Fee | Silence]]:
        """Everything that has ended since the last call: payments, and for each question what the processor says."""
        payments: list[tuple[Attempt, Outcome]] = []
        words: list[Health | Fee | Silence] = []
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            for handle in succeeded:
                request = self._busy.pop(handle)
                status = handle.getinfo(pycurl.RESPONSE_CODE)
                if request.attempt is None:
                    read = _health if request.query is Query.HEALTH else _fee
                    word = read(request.processor, status, request.body)
                    words.append(word or Silence(request.processor, request.query))
                else:
                    payments.append((request.attempt, _read(request.attempt, status, request.body)))
                self._give_back(request)
            for handle, _, _ in failed:
                request = self._busy.pop(handle)
                if request.attempt is not None:
                    # Bytes of the request that left, on whatever connection libcurl tried.
                    sent = handle.getinfo(pycurl.REQUEST_SIZE) > 0
                    payments.append((request.attempt, outcome.of_error(sent)))
                else:
                    words.append(Silence(request.processor, request.query))
                self._give_back(request)
        return payments, words

    def drop(self, attempt: Attempt) -> None:
        """Drops the request of ``attempt``, if it has not ended; its end is never told."""
        for handle, request in self._busy.items():
            if request.attempt is attempt:
                del self._busy[handle]
                self._give_back(request)
                return

    def abandon(self) -> None:
        """Drops every request for a payment; their ends are never told. Questions to the processors go on."""
        for handle, request in list(self._busy.items()):
            if request.attempt is not None:
                del self._busy[handle]
                self._give_back(request)

    def close(self) -> None:
        """Drops every request and closes every connection."""
        for request in self._busy.values():
            self._give_back(request)
        self._busy.clear()
        for pools in self._idle:
            for request in (*pools[0], *pools[1]):
                request.handle.close()
        self._multi.close()

    def _take(self, processor: int, lookup: bool) -> _Request:
        pool = self._idle[processor][lookup]
        request = pool.pop() if pool else self._new(processor, lookup)
        if lookup:  # a question sets others
            request.handle.setopt(pycurl.TIMEOUT_MS, self._request_timeout_ms)
            request.handle.unsetopt(pycurl.HTTPHEADER)  # an empty list would leave those of the last request
            request.handle.setopt(pycurl.FRESH_CONNECT, 0)
            request.handle.setopt(pycurl.FORBID_REUSE, 0)
        return request

    def _new(self, processor: int, lookup: bool) -> _Request:
        request = _Request(processor, lookup)
        handle = request.handle
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.PROXY, "")  # whatever the environment says: payments go to the processor
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, self._connect_timeout_ms)
        handle.setopt(pycurl.TIMEOUT_MS, self._request_timeout_ms)
        handle.setopt(pycurl.WRITEFUNCTION, request.collect)
        if lookup:
            handle.setopt(pycurl.HTTPGET, 1)
            # Asks for an answer that is not packed, and unpacks one that comes packed all the same. A payment's answer
            # that is packed cannot be read: it is unknown, and looked up. (For each payment this would cost 1 %.)
            handle.setopt(pycurl.ACCEPT_ENCODING, "identity")
        else:
            handle.setopt(pycurl.URL, f"{self._urls[processor]}/payments")
            handle.setopt(pycurl.POST, 1)
            # Of each handle's memory this was most: 64 kB for a body of 120 bytes.
            handle.setopt(pycurl.UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES)
            # An empty Expect: libcurl would otherwise ask before it sends a larger body.
            # Without the headers that say nothing to a processor.
            handle.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", "Expect:", "Accept:", "User-Agent:"])
            handle.setopt(pycurl.READFUNCTION, request.sending.read)
        return request

    def _begin(self, request: _Request) -> None:
        self._busy[request.handle] = request
        self._multi.add_handle(request.handle)
        self._timer.clear()
        self._due = 0.0

    def _give_back(self, request: _Request) -> None:
        self._multi.remove_handle(request.handle)
        request.attempt = None
        request.body.clear()
        self._idle[request.processor][request.lookup].append(request)

    def _timestamp(self, moment_ms: int) -> str:
        if moment_ms != self._stamped_ms:  # what is sent together has the same
            second, ms = divmod(moment_ms, 1000)
            self._stamp = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
            self._stamped_ms = moment_ms
        return self._stamp

    def _due_at(self) -> float | None:
        """When libcurl's timer runs out, in s; None: it is not set."""
        if self._timer:
            wait_ms = self._timer.pop()
            self._due = None if wait_ms < 0 else time.monotonic() + wait_ms / 1000
        return self._due

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._wanted.discard(descriptor)
            return
        self._wanted.add(descriptor)
        mask = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (select.EPOLLOUT if what & pycurl.POLL_OUT else 0)
        try:
            self._epoll.modify(descriptor, mask)
        except FileNotFoundError:  # a new one; its number may be that of one that libcurl has closed
            self._epoll.register(descriptor, mask)

    def _forget(self, descriptor: int) -> None:
        """Watches a socket no more, if it is still there."""
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)


def _read(attempt: Attempt, status: int, body: bytes | bytearray) -> Outcome:
    """What an answer means. Nothing that a processor can say stops the dispatcher: what cannot be read is unknown."""
    try:
        if attempt.lookup:
            return outcome.of_lookup(status, body, attempt.id_high, attempt.id_low)
        return outcome.of_payment(status, body)
    except Exception:
        log.exception("an answer with status %d that cannot be read", status)
        return outcome.UNKNOWN


def _health(processor: int, status: int, body: bytes | bytearray) -> Health | None:
    """The health in an answer of whatever status, for some say with 503 that they fail; None when it is none.

    A 429 says only that it was asked too soon. One that fails need not say how long it takes.
    """
    value = None if status == 429 else _object(body)
    if value is None:
        return None
    failing, min_response_ms = value.get("failing"), value.get("minResponseTime")
    if failing is True and "minResponseTime" not in value:
        min_response_ms = 0
    if not isinstance(failing, bool) or not _is_number(min_response_ms, MIN_RESPONSE_MS_MAX):
        return None
    return Health(processor, failing, round(min_response_ms))


def _fee(processor: int, status: int, body: bytes | bytearray) -> Fee | None:
    """The fee in a processor's summary; None when it is no summary (the token is another one, say)."""
    value = _object(body) if status == 200 else None
    share = None if value is None else value.get("feePerTransaction")
    return Fee(processor, round(share * 1_000_000)) if _is_number(share, 1) else None


def _object(body: bytes | bytearray) -> dict[str, object] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _is_number(value: object, most: int) -> TypeGuard[int | float]:
    """Whether it is a number from 0 to ``most``, whole or not; JSON has no NaN, and a comparison would refuse it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
