"""The routes: each is a function from a request to an answer."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from engine.books.reader import BooksBusyError, BooksReader
from engine.correlation import format_id
from engine.intake import health, openapi, payment, problem, purging, window
from engine.intake.acceptor import Acceptor, StripeBusyError, Verdict
from engine.intake.committer import Committer
from engine.intake.fast_path import FastPath
from engine.intake.http import Held, Http, Later, Request
from engine.intake.problem import Answer
from engine.memory import clock, layout
from engine.memory.doorbell import Doorbell
from engine.memory.status import StatusBlock
from engine.memory.words import Words
from engine.ring.ring import LostError, RingWriter
from engine.settings import Settings

# A refusal that is said at once leaves this process the fewest open requests, and nginx comes here first (least_conn).
# Held for longer than an acceptance takes, it lets nginx go to one that has room.
FULL_HELD_MS = 5

ANSWERS = {
    Verdict.ACCEPTED: problem.ACCEPTED,
    Verdict.SAME: problem.ACCEPTED,
    Verdict.CONFLICT: problem.CONFLICT,
}
HELD = {Verdict.FULL: problem.FULL, Verdict.UNRECORDED: problem.UNRECORDED}


class Server:
    """The API over its acceptor, its ring, the books and the doorbell."""

    def __init__(
        self,
        settings: Settings,
        acceptor: Acceptor,
        ring: RingWriter,
        books_words: Words,
        books: BooksReader,
        doorbell: Doorbell,
        committer: Committer | None = None,
        fast_path: FastPath | None = None,
        lost: Callable[[], str] = str,
    ) -> None:
        self._settings = settings
        self._acceptor = acceptor
        self._ring = ring
        self._books_words = books_words
        self._books = books
        self._doorbell = doorbell
        self._committer = committer
        self._fast_path = fast_path
        self._lost = lost  # says what has become of the segments, "" when all are whole
        self._token = settings.intake.admin_token.encode()
        self._names = settings.processors.names

    def add_routes(self, http: Http) -> None:
        """Puts all routes on ``http``."""
        http.route_body(
            "/payments", self._settings.intake.body_bytes_max, check_content_type, self.pay, self._fast_path
        )
        description = openapi.prepared(self._settings)
        gets = {
            "/payments-summary": self.summary,
            "/payments/:id/status": self.status,
            "/health": self.health,
            "/healthcheck": lambda _: problem.ALIVE,
            "/readyz": self.ready,
            "/openapi.json": lambda _: description,
        }
        for path, handler in gets.items():
            http.route("GET", path, handler)
            http.route("HEAD", path, handler)
            http.route("*", path, lambda _: problem.READ_ONLY)
        http.route("POST", "/purge-payments", self.purge)
        for path in ("/payments", "/purge-payments"):
            http.route("*", path, lambda _: problem.POST_ONLY)
        http.route_rest(problem.NOT_FOUND)

    def pay(self, body: bytes) -> Answer | Later | Held:
        """POST /payments. 202 means: in the ring, and with a committer: on disk."""
        try:
            id_high, id_low, cents = payment.parse(body, self._settings.intake.amount_cents_max)
        except payment.BadPayment as error:
            return problem.bad_request(error.field, error.reason)
        try:
            verdict = self._acceptor.accept(
                id_high, id_low, cents, time.time_ns() // 1_000_000, clock.read_ms(self._books_words)
            )
        except BooksBusyError:
            return problem.BUSY
        except LostError:
            return problem.LOST
        except StripeBusyError:
            return problem.STUCK
        if self._committer is not None and verdict in (Verdict.ACCEPTED, Verdict.SAME):
            return self._committed(self._committer, id_high, id_low)
        if verdict is Verdict.ACCEPTED:
            self._doorbell.ring_if_asleep()
            return problem.ACCEPTED
        if verdict in HELD:
            return Held(lambda: HELD[verdict], FULL_HELD_MS)
        if verdict is Verdict.FAILED:
            return self._has_failed(id_high, id_low)
        return ANSWERS[verdict]

    def _has_failed(self, id_high: int, id_low: int) -> Answer:
        try:
            found = self._acceptor.find(id_high, id_low)
        except BooksBusyError:
            return problem.BUSY
        except LostError:
            return problem.LOST
        return problem.HAS_FAILED[found.reason if found is not None else layout.REASON_NONE]

    def _committed(self, committer: Committer, id_high: int, id_low: int) -> Answer | Later:
        """202 when the payment is on disk."""
        try:
            place = self._acceptor.place(id_high, id_low)
        except LostError:
            return problem.LOST

        def done() -> Answer | None:
            try:
                if place is None or place.is_kept():
                    return problem.ACCEPTED
            except LostError:
                return problem.LOST
            committer.gather()  # it is in another process's ring, which has not committed it yet
            return None

        return done() or done

    def summary(self, request: Request) -> Answer | Held:
        """GET /payments-summary: held for a moment while the dispatcher listens for answers that are due."""
        self._ring.note_summary(time.time_ns() // 1_000_000)
        try:
            bounds = window.parse(request.query())
        except window.BadBound as error:
            return problem.bad_request(error.field, error.reason)
        if StatusBlock(self._books_words).listens and not request.is_head():
            return Held(lambda: self._sums(*bounds), window.HELD_MS)
        return self._sums(*bounds)

    def _sums(self, from_ms: int | None, to_ms: int | None) -> Answer:
        try:
            sums, resolution_ms = self._books.resolved(from_ms, to_ms)
        except BooksBusyError:
            return problem.BUSY
        # Written by hand: a float would not hold a large sum to the cent.
        parts = (
            f'"{name}":{{"totalRequests":{total.payments},"totalAmount":{payment.format_cents(total.cents)}}}'
            for name, total in zip(self._names, sums, strict=True)
        )
        return problem.json_answer(f"{{{','.join(parts)}}}".encode(), *window.resolution_headers(resolution_ms))

    def status(self, request: Request) -> Answer:
        """GET /payments/{correlationId}/status."""
        try:
            id_high, id_low = payment.parse_id(request.parameter(0))
        except payment.BadPayment as error:
            return problem.bad_request(error.field, error.reason)
        try:
            found = self._acceptor.find(id_high, id_low)
        except BooksBusyError:
            return problem.BUSY
        except LostError:
            return problem.LOST
        if found is None:
            return problem.UNKNOWN_PAYMENT
        # If a payment waits (again), the dispatcher's words may be an older payment's, or those of a failed attempt.
        attempted = found.state in (layout.PROCESSING, layout.ALREADY, layout.COMPLETED, layout.CHARGED_BEFORE)
        settled = found.state in (layout.COMPLETED, layout.FAILED, layout.CHARGED_BEFORE)
        # In a slot that is not done, the reason is still an older payment's; a parking place has its own.
        reason = found.reason if settled or found.is_parked else layout.REASON_NONE
        differs = settled and reason == layout.REASON_AMOUNT
        document = {
            "correlationId": format_id(id_high, id_low),
            "status": layout.STATE_NAMES[found.state],
            "amount": orjson.Fragment(payment.format_cents(found.cents)),
            "processor": self._names[found.processor] if attempted else None,
            "attempts": found.attempts,
            "acceptedAt": _instant(found.accepted_ms),
            "requestedAt": _instant(found.requested_ms) if attempted else None,
            "settledAt": _instant(found.settled_ms) if settled and found.settled_ms else None,
            "reason": layout.REASON_NAMES[reason],
            "chargedBefore": found.state == layout.CHARGED_BEFORE,
            "settledAmount": orjson.Fragment(payment.format_cents(found.first_ms)) if differs else None,
        }
        return problem.json_answer(orjson.dumps(document))

    def health(self, _: Request) -> Answer:
        """GET /health: always 200, because this process is able to accept payments."""
        try:
            totals = self._books.totals()
        except BooksBusyError:
            return problem.BUSY
        # The rings are read after the books: a payment that is settled in between still counts as pending.
        document = health.report(
            self._books_words,
            totals,
            self._acceptor.usage(),
            self._settings,
            time.time_ns() // 1_000_000,
            clock.read_ms(self._books_words),
        )
        return problem.json_answer(orjson.dumps(document))

    def ready(self, _: Request) -> Answer:
        """GET /readyz: 200 when this process can accept payments, else 503 with the reasons."""
        own = self._acceptor.own_usage()
        reasons = health.unready(self._books_words, self._lost(), own, time.time_ns() // 1_000_000)
        return problem.not_ready(reasons) if reasons else problem.READY

    def purge(self, request: Request) -> Answer | Later:
        """POST /purge-payments: asks the dispatcher to forget everything, and answers when it has."""
        token = request.header(b"x-engine-token")
        if not self._settings.intake.purge and not (self._token and hmac.compare_digest(token, self._token)):
            return problem.FORBIDDEN
        done = purging.ask(self._ring.words, is_withdrawn=self._ring.waits_for_ledger)
        self._doorbell.ring_if_asleep()
        return done


def check_content_type(request: Request) -> Answer | None:
    """Refuses a body whose Content-Type is not JSON. A body without a Content-Type counts as JSON."""
    content_type = request.header(b"content-type")
    if content_type == b"application/json" or not content_type:
        return None
    media_type = content_type.partition(b";")[0].strip().lower()
    is_json = media_type == b"application/json" or media_type.endswith(b"+json")
    return None if is_json else problem.NOT_JSON


def _instant(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
