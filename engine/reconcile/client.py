"""Asking the processors: one request after the other, at a bounded rate, and each with a limit of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import pycurl

from engine.authorities import trust
from engine.connectors.answers import BODY_BYTES_MAX, UNKNOWN, Outcome, Summary
from engine.connectors.connector import Connector, Request
from engine.reconcile.asks import UnansweredError

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 30.0  # a summary may read many rows
TRIES: Final = 3  # of a request that gets no usable answer
AGAIN_SECONDS: Final = 1.0  # between two tries


class Pace:
    """Lets something happen ``per_second`` times in a second at most."""

    def __init__(self, per_second: float, sleep: Callable[[float], object], now: Callable[[], float]) -> None:
        self._apart = 1 / per_second
        self._sleep, self._now = sleep, now
        self._next = now()

    def wait(self) -> None:
        """Waits until it may happen."""
        now = self._now()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._apart


class Client:
    """Processors at ``urls``, which speak as ``connectors`` do.

    ``summaries``, ``lookups``: the pace of each; ``sleep``: waits so many seconds. Counts what it has asked.
    """

    def __init__(
        self,
        urls: Sequence[str],
        connectors: Sequence[Connector],
        summaries_a_second: float,
        lookups_a_second: float,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._urls, self._connectors, self._sleep = urls, connectors, sleep
        self._summary_pace = Pace(summaries_a_second, sleep, time.monotonic)
        self._lookup_pace = Pace(lookups_a_second, sleep, time.monotonic)
        self._handle = pycurl.Curl()
        self.summaries = 0
        self.lookups = 0

    def close(self) -> None:
        """Closes all connections."""
        self._handle.close()

    def summary(self, processor: int, from_ms: int, to_ms: int) -> Summary:
        """The sums of a window, both ends included. Raises UnansweredError."""
        connector = self._connectors[processor]
        why = ""
        for number in range(TRIES):
            if number:
                self._sleep(AGAIN_SECONDS)
            self._summary_pace.wait()
            self.summaries += 1
            try:
                status, body = self._ask(processor, connector.summary(from_ms, to_ms))
                found = connector.read_summary(status, body)
            except (pycurl.error, ValueError, LookupError, TypeError) as error:
                found, status, why = None, 0, _said(error)
            if found is not None:
                return found
            why = f"it answers {status}, and no summary" if status else why
            if status in (401, 403):
                break
        raise UnansweredError(f"its summary cannot be asked for: {why}")

    def lookup(self, processor: int, identity: bytes) -> Outcome:
        """What is stored for an id; UNKNOWN without a usable answer. Raises UnansweredError if there is none at all."""
        high, low = divmod(int.from_bytes(identity, "big"), 1 << 64)
        connector = self._connectors[processor]
        why = ""
        for number in range(TRIES):
            if number:
                self._sleep(AGAIN_SECONDS)
            self._lookup_pace.wait()
            self.lookups += 1
            try:
                status, body = self._ask(processor, connector.lookup(high, low))
            except pycurl.error as error:
                why = _said(error)
                continue
            try:
                found = connector.read_lookup(status, body, high, low)
            except (ValueError, LookupError, TypeError):
                found = UNKNOWN
            if found != UNKNOWN:
                return found
            why = f"it answers {status}"
        raise UnansweredError(f"a payment cannot be looked up: {why}")

    def _ask(self, processor: int, request: Request) -> tuple[int, bytearray]:
        handle, body = self._handle, bytearray()
        handle.reset()  # keeps its connections
        handle.setopt(pycurl.URL, self._urls[processor] + request.path)
        trust(handle, self._urls[processor])
        handle.setopt(pycurl.CUSTOMREQUEST, request.method)
        headers = [f"{name}: {value}" for name, value in request.headers]
        if request.body:
            handle.setopt(pycurl.POSTFIELDS, request.body)
        handle.setopt(pycurl.HTTPHEADER, [*headers, "Expect:"])
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.PROXY, "")  # it goes to the processor, whatever the environment says
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(CONNECT_SECONDS * 1000))
        handle.setopt(pycurl.TIMEOUT_MS, int(ANSWER_SECONDS * 1000))
        handle.setopt(pycurl.MAXFILESIZE, BODY_BYTES_MAX)
        handle.setopt(pycurl.ACCEPT_ENCODING, "identity")
        handle.setopt(pycurl.WRITEFUNCTION, body.extend)
        handle.perform()
        return handle.getinfo(pycurl.RESPONSE_CODE), body


def _said(error: Exception) -> str:
    """What libcurl, or a reading, says."""
    return str(error.args[-1]) if error.args else type(error).__name__
