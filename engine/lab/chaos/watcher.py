"""Sees at any moment whether the engine serves: it pays, and looks what becomes of what it has paid."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from http import HTTPStatus
from urllib.parse import urlsplit

from engine.lab.chaos.faults import Sample
from engine.lab.chaos.requests import Sent
from engine.lab.contest.timetable import Clock
from engine.supervise import alive

EVERY_S = 0.1
TIMEOUT_S = 1.5  # as long as the contest's client waits
SETTLE_S = 2.0  # what was accepted is settled within this time, or the engine does not serve
SENT_AGAIN = 20  # payments that were accepted last; one of them is sent again with another amount each time
_CENT = Decimal("0.01")


class Watcher(threading.Thread):
    """Pays every :data:`EVERY_S` until :meth:`finish`; ``samples``, ``sent`` and ``taken_twice`` are what it has seen.

    Parameters:
      origin: where the engine is.
      sockets: of its API processes.
      amount: of every payment.
    """

    def __init__(self, origin: str, sockets: Sequence[str], amount: Decimal, clock: Clock) -> None:
        super().__init__(name="watcher", daemon=True)
        parts = urlsplit(origin)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._sockets = sockets
        self._amount = amount
        self._clock = clock
        self._stopped = threading.Event()
        self._unsettled: deque[tuple[str, float]] = deque()
        self._recent: deque[str] = deque(maxlen=SENT_AGAIN)
        self.samples: list[Sample] = []
        self.sent: list[Sent] = []
        self.taken_twice: list[str] = []  # ids that were accepted with two amounts

    def finish(self) -> None:
        """Ends it."""
        self._stopped.set()
        if self.is_alive():
            self.join()
        self._connection.close()

    def has_served_since(self, at_s: float) -> bool:
        """Whether there is a sample that was begun after that, and every one of them is good."""
        own = [sample for sample in self.samples[-1000:] if sample.at_s >= at_s]
        return bool(own) and not any(sample.complaint for sample in own)

    def run(self) -> None:
        """The thread."""
        while not self._stopped.wait(EVERY_S):
            at_s = self._clock.now_s()
            complaint = self._pay() or self._unready() or self._settled()
            self.samples.append(Sample(at_s, self._clock.now_s(), complaint))

    def _pay(self) -> str:
        correlation_id = str(uuid.uuid4())
        status = self._post(correlation_id, self._amount)
        self.sent.append(Sent(correlation_id, time.time_ns() // 1_000_000, status, 0))
        if status != HTTPStatus.ACCEPTED:
            return f"a payment was answered {status}" if status else "a payment was not answered"
        self._unsettled.append((correlation_id, self._clock.now_s()))
        self._recent.append(correlation_id)
        again = self._recent[0]
        if self._post(again, self._amount + _CENT) == HTTPStatus.ACCEPTED:
            self.taken_twice.append(again)
        return ""

    def _unready(self) -> str:
        return "" if all(map(alive.is_ready, self._sockets)) else "an API process was not ready"

    def _settled(self) -> str:
        """Looks at what was accepted, the oldest first."""
        while self._unsettled:
            correlation_id, accepted_s = self._unsettled[0]
            if self._status(correlation_id) != "completed":
                is_late = self._clock.now_s() - accepted_s > SETTLE_S
                return "what was accepted was not settled" if is_late else ""
            self._unsettled.popleft()
        return ""

    def _post(self, correlation_id: str, amount: Decimal) -> int:
        body = json.dumps({"correlationId": correlation_id, "amount": float(amount)})
        return self._ask("POST", "/payments", body)[0]

    def _status(self, correlation_id: str) -> str:
        status, answer = self._ask("GET", f"/payments/{correlation_id}/status")
        return str(json.loads(answer)["status"]) if status == HTTPStatus.OK else ""

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Status, 0 when there is none, and body."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            with contextlib.suppress(OSError):
                self._connection.close()
            return 0, b""
