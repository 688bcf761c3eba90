"""How one processor treats payments as time passes: waiting, limits, failing, faults. No clock and no socket.

Times are integers in µs of any monotonic clock, handed in by the caller. A *ticket* is whatever the caller
knows a request by; it comes back with the request's ending.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import Enum
from typing import Generic, TypeVar

from engine.lab.simulate.changes import Changes
from engine.lab.simulate.faults import Fault, Faults
from engine.lab.simulate.heard import REQUEST, Heard
from engine.lab.simulate.replies import Cut, Ending, Reply, reply_json, reply_message
from engine.lab.simulate.store import PaymentStore
from engine.lab.simulate.wire import BadRequestError, Payment, parse_payment
from engine.memory.metrics_layout import TIMES_WORDS
from engine.memory.words import zeros
from engine.metrics import times

Ticket = TypeVar("Ticket")

DELAY_MS_MAX = 600_000

_PROCESSED = reply_message(200, "payment processed successfully")
_DUPLICATE = reply_message(422, "a payment with this correlationId already exists")
_FAILED = reply_message(500, "the processor is failing")
_REJECTED = reply_message(429, "too many requests")
_ENDS_BEFORE_INSERT: dict[Fault, Ending] = {
    Fault.RESET_BEFORE_INSERT: Cut.RESET,
    Fault.ERROR_BEFORE_INSERT: _FAILED,
}
_ENDS_AFTER_INSERT: dict[Fault, Ending] = {
    Fault.RESET_AFTER_INSERT: Cut.RESET,
    Fault.ERROR_AFTER_INSERT: _FAILED,
    Fault.NONSENSE: Reply(200, b'{"message": "payment proc'),
    Fault.NONSENSE_HTML: Reply(200, b"<html><body><h1>It works!</h1></body></html>", b"text/html"),
}


@dataclass(frozen=True, slots=True)
class ProcessorSettings:
    """What does not change while a processor runs.

    ``fee`` is the part of an amount that is kept (0.05 is 5 %). Of ``POST /payments``, ``handled_max`` are
    handled at once and ``waiting_max`` more wait their turn. One health call is answered each
    ``health_window_ms``.
    """

    name: str
    fee: Decimal
    token: str = "123"
    handled_max: int = 800
    waiting_max: int = 500
    health_window_ms: int = 5_000


@dataclass(slots=True)
class Stats:
    """How many ``POST /payments`` had each outcome, and the most that were on hand; since start or purge."""

    inserted: int = 0
    duplicate: int = 0
    failed: int = 0
    bad_request: int = 0
    rejected: int = 0
    in_flight_max: int = 0
    waiting_max: int = 0


class _Step(Enum):
    DECIDE = 0  # the configured delay is over
    INSERT = 1  # a late insert is due
    END = 2  # everything is done but the answer


class Processor(Generic[Ticket]):
    """One simulated processor.

    ``delay_ms``, ``faults`` and ``token`` may be set at any time, ``failing`` by `set_failing`. A delay holds
    for payments that begin after it was set; failing is looked at when a payment's delay is over. Every payment
    that was taken is carried to its end, whether or not anyone still waits for the answer. What followed each
    change of failing is in ``changes``, and how long requests took from their arrival to their end in ``took``, in the
    buckets of :mod:`engine.metrics.times`. What is charged goes into ``store``; by default into an empty one. What was
    asked is noted in ``heard``; by default nothing is.
    """

    def __init__(
        self, settings: ProcessorSettings, store: PaymentStore | None = None, heard: Heard | None = None
    ) -> None:
        self.settings = settings
        self.token = settings.token
        self.delay_ms = 0
        self._failing = False
        self.faults: Faults | None = None
        self.faults_done: Counter[Fault] = Counter()
        self.store = PaymentStore() if store is None else store
        self.heard = Heard() if heard is None else heard
        self.stats = Stats()
        self.changes = Changes(settings.name)
        self.took = zeros(TIMES_WORDS)
        self.in_flight = 0
        self._waiting: deque[tuple[Ticket, Payment, int]] = deque()  # the last is when it arrived, in µs
        # (due µs, order, ticket, payment, arrived µs, step, ending); the order keeps those due together in turn.
        self._schedule: list[tuple[int, int, Ticket, Payment, int, _Step, Ending | None]] = []
        self._order = 0
        self._health_again_us: int | None = None

    @property
    def failing(self) -> bool:
        """Whether payments whose delay is over are failed now."""
        return self._failing

    def set_failing(self, failing: bool, now_us: int) -> None:
        """Sets ``failing``; if that is a change, it is noted."""
        if failing != self._failing:
            self._failing = failing
            self.changes.note(failing, now_us)

    def pay(self, ticket: Ticket, body: bytes, now_us: int) -> Ending | None:
        """Takes a ``POST /payments``. Returns its ending, or None when `due` will give it later."""
        try:
            payment = parse_payment(body)
        except BadRequestError as error:
            self.stats.bad_request += 1
            return reply_message(400, str(error))
        self.heard.note(payment.key, now_us, REQUEST)
        ending = self._take(ticket, payment, now_us)
        if ending is not None:
            times.note(self.took, 0, 0)
        return ending

    def _take(self, ticket: Ticket, payment: Payment, now_us: int) -> Ending | None:
        if self.faults is not None and self.faults.draw_reject():
            self.faults_done[Fault.REJECT] += 1
            self.stats.rejected += 1
            return _REJECTED
        if self.in_flight < self.settings.handled_max:
            return self._begin(ticket, payment, now_us, now_us)
        if len(self._waiting) < self.settings.waiting_max:
            self._waiting.append((ticket, payment, now_us))
            self.stats.waiting_max = max(self.stats.waiting_max, len(self._waiting))
            return None
        self.stats.rejected += 1
        return _REJECTED

    def next_due_us(self) -> int | None:
        """When `due` has something to do, or None while nothing waits."""
        return self._schedule[0][0] if self._schedule else None

    def due(self, now_us: int) -> list[tuple[Ticket, Ending]]:
        """Does all that is due by now; returns the requests that ended, in order."""
        ended: list[tuple[Ticket, Ending]] = []
        while self._schedule and self._schedule[0][0] <= now_us:
            _, _, ticket, payment, arrived_us, step, ending = heapq.heappop(self._schedule)
            if step is _Step.DECIDE:
                ending = self._decide(ticket, payment, arrived_us, now_us)
            elif step is _Step.INSERT:
                ending = self._insert(payment, now_us)
            if ending is not None:
                self.in_flight -= 1
                self._end(ended, ticket, ending, now_us - arrived_us)
            while self._waiting and self.in_flight < self.settings.handled_max:
                ticket, payment, arrived_us = self._waiting.popleft()
                ending = self._begin(ticket, payment, arrived_us, now_us)
                if ending is not None:
                    self._end(ended, ticket, ending, now_us - arrived_us)
        return ended

    def _end(self, ended: list[tuple[Ticket, Ending]], ticket: Ticket, ending: Ending, took_us: int) -> None:
        times.note(self.took, 0, took_us)
        ended.append((ticket, ending))

    def health(self, now_us: int) -> Reply:
        """Answers ``GET /payments/service-health``; a call that is refused does not prolong the wait."""
        if self._health_again_us is not None and now_us < self._health_again_us:
            return _REJECTED
        self._health_again_us = now_us + self.settings.health_window_ms * 1000
        return reply_json(200, {"failing": self._failing, "minResponseTime": self.delay_ms})

    def purge(self) -> None:
        """Forgets all that was charged and heard, counts and changes. What is being handled is inserted still."""
        self.store.clear()
        self.heard.clear()
        self.stats = Stats()
        self.changes = Changes(self.settings.name)
        self.took = zeros(TIMES_WORDS)
        self.faults_done.clear()

    def stats_now(self) -> dict[str, int]:
        """`Stats`, and what is on hand at this moment."""
        return asdict(self.stats) | {"in_flight": self.in_flight, "waiting": len(self._waiting)}

    def _begin(self, ticket: Ticket, payment: Payment, arrived_us: int, now_us: int) -> Ending | None:
        self.in_flight += 1
        if self.in_flight > self.stats.in_flight_max:
            self.stats.in_flight_max = self.in_flight
        if self.delay_ms:
            self._later(now_us + self.delay_ms * 1000, ticket, payment, arrived_us, _Step.DECIDE)
            return None
        ending = self._decide(ticket, payment, arrived_us, now_us)
        if ending is not None:
            self.in_flight -= 1
        return ending

    def _later(
        self, due_us: int, ticket: Ticket, payment: Payment, arrived_us: int, step: _Step, ending: Ending | None = None
    ) -> None:
        self._order += 1
        heapq.heappush(self._schedule, (due_us, self._order, ticket, payment, arrived_us, step, ending))

    def _decide(self, ticket: Ticket, payment: Payment, arrived_us: int, now_us: int) -> Ending | None:
        if self._failing:
            self.stats.failed += 1
            self.changes.note_failed(arrived_us)
            return _FAILED
        faults = self.faults
        fault = None if faults is None else faults.draw()
        if faults is None or fault is None:
            return self._insert(payment, now_us)

        self.faults_done[fault] += 1
        hang_us = now_us + faults.hang_ms * 1000
        late_us = now_us + faults.late_ms * 1000
        if fault is Fault.LATE_INSERT:
            self._later(late_us, ticket, payment, arrived_us, _Step.INSERT)
            return None
        if fault is Fault.HANG_BEFORE_INSERT:
            self._later(hang_us, ticket, payment, arrived_us, _Step.END, Cut.CLOSE)
            return None
        if fault in _ENDS_BEFORE_INSERT:
            return _ENDS_BEFORE_INSERT[fault]

        reply = self._insert(payment, now_us)
        if fault is Fault.LATE_ANSWER:
            self._later(late_us, ticket, payment, arrived_us, _Step.END, reply)
            return None
        if fault is Fault.HANG_AFTER_INSERT:
            self._later(hang_us, ticket, payment, arrived_us, _Step.END, Cut.CLOSE)
            return None
        return _ENDS_AFTER_INSERT[fault]

    def _insert(self, payment: Payment, now_us: int) -> Reply:
        if self.store.insert(payment):
            self.stats.inserted += 1
            self.changes.note_inserted(now_us)
            return _PROCESSED
        self.stats.duplicate += 1
        return _DUPLICATE
