"""The network of the dispatcher: many requests in flight over kept-alive connections, by one pycurl multi-handle.

It does not know the life of a payment, nor the protocol of a processor. It carries the requests that a connector makes
(:mod:`engine.connectors`), and reports what the connector reads in the answers.

*Warning*: when a kept connection breaks without an answer, libcurl by itself sends the request again on a new one, even
a POST, and reports only the outcome of the second. A 429 there would hide that the first one was charged. libcurl
cannot do so if it cannot get the body again. So the body comes from a function that gives it once, without a way to
seek, and never from POSTFIELDS. Such a request then fails, with an unknown outcome.

*Warning*: libcurl does not call the timer callback again for a value that has not changed. So the stored time is reset
before ``socket_action``, and ``socket_action`` is repeated while the callback sets 0. Otherwise a transfer waits a
second for nothing.

*Cost*: libcurl wants a socket to be watched while a request is on it, and no longer once its answer is there. The
socket of a kept connection stays in the epoll all the same, until it is ready without a request. That saves a system
call for every payment. The timer's callback is a builtin function because libcurl calls it for every payment. Methods
of pycurl are looked up once for each object, and called by a local name: the look-up takes as long as some of them do.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import pycurl

from engine.authorities import trust
from engine.connectors import answers
from engine.connectors.answers import CHARGED, Fee, Health, Outcome, Query, Silence
from engine.connectors.connector import Body, Connector, Request
from engine.correlation import format_id
from engine.dispatch.attempt import Attempt
from engine.dispatch.carrier import Carrier
from engine.dispatch.names import Names
from engine.logs.logger import Logger
from engine.memory.journal_layout import STATUS_NO_ANSWER
from engine.routing.queries import ANSWER_MS_MAX

UPLOAD_BUFFER_BYTES = 16_384  # the least that libcurl takes
SPARE_CONNECTIONS = 8  # for health and fee queries, in addition to those of payments
# Headers that libcurl would add to a payment by itself. They tell a processor nothing, and with Expect libcurl would
# wait for permission before it sends a larger body.
UNSAID = ("Expect:", "Accept:", "User-Agent:")
# What libcurl waits for at a socket, in the words of the epoll.
_MASKS = {
    pycurl.POLL_NONE: 0,
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_EPOLLIN, _IN = select.EPOLLIN, pycurl.CSELECT_IN
_RESPONSE_CODE, _TOTAL_TIME_T = pycurl.RESPONSE_CODE, pycurl.TOTAL_TIME_T

log = Logger("engine.dispatch")


class Transport:
    """Sends payments, lookups and queries, and reports how they ended.

    Parameters:
      urls: origins of the processors, with their base paths.
      connectors: the connector of each of them.
      connect_timeout_ms, request_timeout_ms: see :mod:`engine.settings`.
      in_flight_max: most requests in flight at each processor; this many connections are kept.
      notes_ends: whether to note at each attempt how it ended, for journal and metrics.
      epoll: where libcurl's sockets are watched; the caller waits on it and hands events to :meth:`act`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        connectors: Sequence[Connector],
        *,
        connect_timeout_ms: int,
        request_timeout_ms: int,
        in_flight_max: int,
        epoll: select.epoll,
        notes_ends: bool = False,
    ) -> None:
        assert len(urls) == len(connectors)
        self._urls = tuple(urls)
        self._connectors = tuple(connectors)
        self._connect_timeout_ms = connect_timeout_ms
        self._request_timeout_ms = request_timeout_ms
        self._epoll = epoll
        self._notes_ends = notes_ends
        self._names = Names(urls)
        self._timer: deque[int] = deque(maxlen=1)  # what libcurl's timer was set to since it was last read, in ms
        self._due: float | None = None
        self._is_new = False  # whether something was begun since the timer was last read
        self._wanted: set[int] = set()  # descriptors that libcurl waits for
        # [processor][lookup]: handles that carry nothing
        self._idle: list[tuple[list[Carrier], list[Carrier]]] = [([], []) for _ in urls]
        # The answer of each processor that meant CHARGED last, its status and body. Nearly all are the same, and a
        # connector reads the same from it each time.
        self._charged: list[tuple[int, Body]] = [(-1, b"")] * len(urls)
        self._busy: dict[Any, Carrier] = {}
        self.troubles = [0] * len(urls)  # why a request had no answer, as libcurl's code; 0 if the last query had one
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._timer.append)
        self._multi.setopt(pycurl.M_MAXCONNECTS, len(self._urls) * (in_flight_max + SPARE_CONNECTIONS))
        self._add, self._remove = self._multi.add_handle, self._multi.remove_handle
        self._socket_action, self._watch_for = self._multi.socket_action, epoll.modify

    def send(self, attempt: Attempt) -> None:
        """Sends a payment or a lookup; its end is in a later :meth:`results`."""
        processor = attempt.processor
        if attempt.lookup:
            carrier = self._take(processor, True)
            carrier.load(self._urls[processor], carrier.connector.lookup(attempt.id_high, attempt.id_low))
        else:
            idle = self._idle[processor][False]
            carrier = idle.pop() if idle else self._new(processor, False)
            payment_body = carrier.connector.payment_body  # as a method it would be looked up in the class each time
            carrier.fill(payment_body(attempt.id_high, attempt.id_low, attempt.cents, attempt.requested_ms))
        carrier.attempt = attempt
        self._begin(carrier)

    def ask_health(self, processor: int) -> None:
        """Queries the health of a processor; a later :meth:`results` has its Health, or Silence."""
        self._ask(processor, Query.HEALTH, self._connectors[processor].health)

    def ask_fee(self, processor: int) -> None:
        """Queries the fee of a processor; a later :meth:`results` has its Fee, or Silence."""
        self._ask(processor, Query.FEE, self._connectors[processor].fee)

    def _ask(self, processor: int, query: Query, request: Request) -> None:
        carrier = self._take(processor, True)
        carrier.query = query
        carrier.load(self._urls[processor], request)
        carrier.handle.setopt(pycurl.TIMEOUT_MS, ANSWER_MS_MAX)
        # If a kept connection broke, libcurl would send the query again at once, and a processor counts both.
        carrier.handle.setopt(pycurl.FRESH_CONNECT, 1)
        carrier.handle.setopt(pycurl.FORBID_REUSE, 1)
        self._begin(carrier)

    def act(self, events: Sequence[tuple[int, int]]) -> None:
        """Handles events of the epoll on libcurl's sockets, and its timer."""
        socket_action = self._socket_action
        for descriptor, event in events:
            if descriptor not in self._wanted:
                # The peer closes a kept connection. libcurl finds out when it wants to use it.
                self._forget(descriptor)
                continue
            socket_action(descriptor, _IN if event == _EPOLLIN else _action(event))
        self.kick()

    def kick(self) -> None:
        """Lets libcurl do what its timer says. It must be called after :meth:`send`, so that the requests leave."""
        while (due := self._due_at()) is not None and due <= time.monotonic():
            self._due = None
            self._socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def wait_ms(self) -> float | None:
        """How long the caller may wait before it must call :meth:`act`; None: until a socket is ready."""
        due = self._due_at()
        return None if due is None else max(0.0, (due - time.monotonic()) * 1000)

    def results(self) -> tuple[list[tuple[Attempt, Outcome]], list[Health | Fee | Silence]]:
        """Everything that has ended since the last call: attempts, and for each query the processor's answer."""
        payments: list[tuple[Attempt, Outcome]] = []
        words: list[Health | Fee | Silence] = []
        more = 1
        if self._names.changed:
            self._tell_new_addresses()
        while more:
            more, succeeded, failed = self._multi.info_read()
            for handle in succeeded:
                carrier = self._busy.pop(handle)
                getinfo, attempt = carrier.getinfo, carrier.attempt
                status = getinfo(_RESPONSE_CODE)
                if attempt is None:
                    self.troubles[carrier.processor] = 0
                    words.append(_word(carrier, status))
                else:
                    usual_status, usual_body = self._charged[carrier.processor]
                    is_usual = status == usual_status and carrier.body == usual_body and not carrier.lookup
                    payments.append((attempt, CHARGED if is_usual else self._outcome(carrier, attempt, status)))
                    if self._notes_ends:  # spelled out, because this is done for every payment
                        attempt.status = status
                        attempt.took_us = getinfo(_TOTAL_TIME_T)
                self._give_back(carrier)
            for handle, code, _ in failed:
                carrier = self._busy.pop(handle)
                self.troubles[carrier.processor] = code
                self._names.doubt(carrier.processor)
                if carrier.attempt is not None:
                    sent = carrier.getinfo(pycurl.REQUEST_SIZE) > 0  # its bytes, on any connection that libcurl tried
                    payments.append((carrier.attempt, answers.of_error(sent)))
                    if self._notes_ends:
                        carrier.attempt.status = STATUS_NO_ANSWER + code
                        carrier.attempt.took_us = carrier.getinfo(_TOTAL_TIME_T)
                else:
                    words.append(Silence(carrier.processor, carrier.query))
                self._give_back(carrier)
        return payments, words

    def drop(self, attempt: Attempt) -> None:
        """Drops the request of ``attempt`` if it has not ended; its end is never reported."""
        for handle, carrier in self._busy.items():
            if carrier.attempt is attempt:
                del self._busy[handle]
                self._give_back(carrier)
                return

    def abandon(self) -> None:
        """Drops every request for a payment; their ends are never reported. Queries go on."""
        for handle, carrier in list(self._busy.items()):
            if carrier.attempt is not None:
                del self._busy[handle]
                self._give_back(carrier)

    def close(self) -> None:
        """Drops every request and closes every connection."""
        for carrier in self._busy.values():
            self._give_back(carrier)
        self._busy.clear()
        for pools in self._idle:
            for carrier in (*pools[0], *pools[1]):
                carrier.handle.close()
        self._multi.close()
        self._names.close()

    def _take(self, processor: int, lookup: bool) -> Carrier:
        pool = self._idle[processor][lookup]
        carrier = pool.pop() if pool else self._new(processor, lookup)
        if lookup:  # a query sets other headers
            carrier.handle.setopt(pycurl.TIMEOUT_MS, self._request_timeout_ms)
            carrier.handle.setopt(pycurl.FRESH_CONNECT, 0)
            carrier.handle.setopt(pycurl.FORBID_REUSE, 0)
        return carrier

    def _new(self, processor: int, lookup: bool) -> Carrier:
        carrier = Carrier(processor, self._connectors[processor], lookup)
        handle = carrier.handle
        handle.setopt(pycurl.NOSIGNAL, 1)
        # Payments go to the processor, whatever the environment says: it is not even looked at.
        handle.setopt(pycurl.NOPROXY, "*")
        trust(handle, self._urls[processor])
        self._tell_address(carrier)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, self._connect_timeout_ms)
        handle.setopt(pycurl.TIMEOUT_MS, self._request_timeout_ms)
        handle.setopt(pycurl.WRITEFUNCTION, carrier.body.extend)
        handle.setopt(pycurl.MAXFILESIZE, answers.BODY_BYTES_MAX)  # a longer answer fails, as if it had broken off
        handle.setopt(pycurl.READFUNCTION, carrier.sending.read)
        if lookup:
            # Asks for an answer that is not compressed, and decompresses one that comes compressed anyway. The answer
            # to a payment cannot be read if it is compressed: it is unknown, and the payment is looked up. (This option
            # would cost 1 % of each payment.)
            handle.setopt(pycurl.ACCEPT_ENCODING, "identity")
        else:
            carrier.load(self._urls[processor], carrier.connector.payments, UNSAID)
            # The default buffer was most of a handle's memory: 64 kB for a body of 120 bytes.
            handle.setopt(pycurl.UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES)
        return carrier

    def _tell_address(self, carrier: Carrier) -> None:
        """Has libcurl take the address of the processor's name for all requests from the next one of this handle on."""
        entry = self._names.entry(carrier.processor)
        if entry:
            carrier.handle.setopt(pycurl.RESOLVE, [entry])

    def _tell_new_addresses(self) -> None:
        changed = self._names.changed
        numbers = {changed.popleft() for _ in range(len(changed))}
        for number in numbers:
            for carrier in (*self._idle[number][0], *self._idle[number][1], *self._busy.values()):
                if carrier.processor == number:
                    self._tell_address(carrier)

    def _begin(self, carrier: Carrier) -> None:
        self._busy[carrier.handle] = carrier
        add = self._add
        add(carrier.handle)
        self._is_new = True

    def _give_back(self, carrier: Carrier) -> None:
        remove = self._remove
        remove(carrier.handle)
        carrier.attempt = None
        carrier.body.clear()
        self._idle[carrier.processor][carrier.lookup].append(carrier)

    def _outcome(self, carrier: Carrier, attempt: Attempt, status: int) -> Outcome:
        """What an answer means. No answer of a processor stops the dispatcher: one that cannot be read is unknown."""
        try:
            if attempt.lookup:
                return carrier.connector.read_lookup(status, carrier.body, attempt.id_high, attempt.id_low)
            outcome = carrier.connector.read_payment(status, carrier.body)
        except Exception:
            correlation_id = format_id(attempt.id_high, attempt.id_low)
            said = {"processor": carrier.processor, "status": status}
            log.exception("payment_unreadable", correlation_id=correlation_id, **said)
            return answers.UNKNOWN
        if outcome == CHARGED:
            self._charged[carrier.processor] = status, bytes(carrier.body)
        return outcome

    def _due_at(self) -> float | None:
        """When libcurl's timer runs out, in s; None: it is not set."""
        if self._is_new:  # the timer may not have been set, see the module
            self._is_new, self._due = False, 0.0
            self._timer.clear()
        elif self._timer:
            wait_ms = self._timer.pop()
            self._due = None if wait_ms < 0 else time.monotonic() + wait_ms / 1000
        return self._due

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._wanted.discard(descriptor)
            return
        self._wanted.add(descriptor)
        watch_for = self._watch_for
        try:
            watch_for(descriptor, _MASKS[what])
        except FileNotFoundError:  # a new socket; its number may be that of a socket that libcurl has closed
            self._epoll.register(descriptor, _MASKS[what])

    def _forget(self, descriptor: int) -> None:
        """Stops watching a socket, if it is still there."""
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)


def _action(event: int) -> int:
    """What libcurl is told of an event of the epoll at a socket."""
    action = pycurl.CSELECT_IN if event & (select.EPOLLIN | select.EPOLLHUP) else 0
    if event & select.EPOLLOUT:
        action |= pycurl.CSELECT_OUT
    return action | pycurl.CSELECT_ERR if event & select.EPOLLERR else action


def _word(carrier: Carrier, status: int) -> Health | Fee | Silence:
    """What an answer to a query says; Silence if it cannot be read."""
    connector, processor, query = carrier.connector, carrier.processor, carrier.query
    read = connector.read_health if query is Query.HEALTH else connector.read_fee
    try:
        return read(processor, status, carrier.body) or Silence(processor, query)
    except Exception:
        log.exception("query_unreadable", processor=processor, status=status)
        return Silence(processor, query)
