"""The routes: each is a function from a request to an answer."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from engine.books.reader import EXACT_MS, BooksBusyError, BooksReader, Sum
from engine.correlation import format_id
from engine.intake import health, openapi, payment, problem, purging, shown, window
from engine.intake.acceptor import Acceptor, StripeBusyError, Verdict
from engine.intake.committer import Committer
from engine.intake.fast_path import FastPath
from engine.intake.held import Held, Later
from engine.intake.http import Http
from engine.intake.meter import Meter
from engine.intake.problem import Answer
from engine.intake.request import Request
from engine.intake.verdicts import Verdicts
from engine.logs.logger import Logger
from engine.memory import clock, layout
from engine.memory.doorbell import Doorbell
from engine.memory.status import StatusBlock
from engine.memory.words import Words
from engine.payment import Payment
from engine.ring.ring import LostError, RingWriter
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.intake.elsewhere import Elsewhere
    from engine.intake.recorded import Recall, Records

# A refusal that is said at once leaves this process the fewest open requests, and nginx comes here first (least_conn).
# Held for longer than an acceptance takes, it lets nginx go to one that has room.
FULL_HELD_MS = 5

HELD = {Verdict.FULL: problem.FULL, Verdict.UNRECORDED: problem.UNRECORDED}

log = Logger("engine.intake")


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
        committer: Committer | Verdicts | None = None,
        fast_path: FastPath | None = None,
        lost: Callable[[], str] = str,
        meter: Meter | None = None,
        records: Records | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._elsewhere = elsewhere  # what the store knows of payments; None: this is no cell
        self._cell = committer if isinstance(committer, Verdicts) else None  # None: this is no cell
        self._settings = settings
        self._acceptor = acceptor
        self._ring = ring
        self._books_words = books_words
        self._books = books
        self._doorbell = doorbell
        self._committer = committer
        self._fast_path = fast_path
        self._lost = lost  # says what has become of the segments, "" when all are whole
        self._meter = meter  # counts the answers to payments
        self._records = records  # the ledger; None: there is none, or it cannot be read here
        self._token = settings.intake.admin_token.encode()
        self._names = settings.processors.names

    def add_routes(self, http: Http) -> None:
        """Puts all routes on ``http``."""
        http.route_body(
            "/payments",
            self._settings.intake.body_bytes_max,
            check_content_type,
            self.pay if self._cell is None else self.pay_on_cell,
            self._fast_path,
            self._meter,
        )
        description = openapi.prepared(self._settings)
        gets = {
            "/payments-summary": self.summary,
            "/payments/:id/status": self.status,
            "/payments/:id/attempts": self.attempts,
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
        return self._accept(id_high, id_low, cents, asks=self._records is not None)

    def pay_on_cell(self, body: bytes) -> Answer | Later | Held:
        """As :meth:`pay`, while the cell may accept payments."""
        assert self._cell is not None
        return self.pay(body) if self._cell.may_accept else problem.STORE_AWAY

    def _accept(self, id_high: int, id_low: int, cents: int, *, asks: bool) -> Answer | Later | Held:
        """``asks``: a payment that may have been here before the rings is first asked for in the ledger."""
        now_ms, clock_ms = time.time_ns() // 1_000_000, clock.read_ms(self._books_words)
        try:
            verdict = self._acceptor.accept(id_high, id_low, cents, now_ms, clock_ms, asks=asks)
        except BooksBusyError:
            return problem.BUSY
        except LostError:
            return problem.LOST
        except StripeBusyError:
            return problem.STUCK
        if verdict is Verdict.SAME and self._meter is not None:
            self._meter.duplicate()
        if verdict is Verdict.SEEN:
            return self._recalled(id_high, id_low, cents)
        if self._committer is not None and verdict in (Verdict.ACCEPTED, Verdict.SAME):
            return self._committed(self._committer, id_high, id_low)
        if verdict is Verdict.ACCEPTED:
            self._doorbell.ring_if_asleep()
            return problem.ACCEPTED
        if verdict in HELD:
            return Held(lambda: HELD[verdict], FULL_HELD_MS)
        return self._known(verdict, id_high, id_low)

    def _known(self, verdict: Verdict, id_high: int, id_low: int, has_failed: Answer | None = None) -> Answer:
        """What a payment gets that is here already; what is refused is logged.

        ``has_failed``: what one that has failed gets; None: memory tells.
        """
        if verdict is Verdict.SAME:
            return problem.ACCEPTED
        log.info("payment_refused", correlation_id=format_id(id_high, id_low), reason=verdict.name.lower())
        return (has_failed or self._has_failed(id_high, id_low)) if verdict is Verdict.FAILED else problem.CONFLICT

    def _recalled(self, id_high: int, id_low: int, cents: int) -> Answer | Later | Held:
        """Asks the ledger, and accepts the payment if that does not know it, or does not answer in time."""
        assert self._records is not None
        recall = self._records.recall(id_high, id_low)
        if recall is None:
            return self._accept(id_high, id_low, cents, asks=False)
        then: Later | None = None

        def done() -> Answer | None:
            nonlocal then
            if then is None:
                if not recall.is_over:
                    return None
                answer = self._decided(recall, id_high, id_low, cents)
                if isinstance(answer, Answer):
                    return answer
                then = answer.later if isinstance(answer, Held) else answer
            return then()

        return done

    def _decided(self, recall: Recall, id_high: int, id_low: int, cents: int) -> Answer | Later | Held:
        """What a payment gets that the ledger was asked for. What is in memory by now comes first."""
        known = recall.verdict(cents)
        if known is None or self._find(id_high, id_low) is not None:
            return self._accept(id_high, id_low, cents, asks=False)
        verdict, reason = known
        return self._known(verdict, id_high, id_low, problem.has_failed(reason))

    def _has_failed(self, id_high: int, id_low: int) -> Answer:
        found = self._find(id_high, id_low)
        if isinstance(found, Answer):
            return found
        return problem.has_failed(layout.REASON_NONE if found is None else found.reason)

    def _committed(self, committer: Committer | Verdicts, id_high: int, id_low: int) -> Answer | Later:
        """202 when the payment is on disk, or in the store."""
        try:
            return committer.wait(self._acceptor.place(id_high, id_low))
        except LostError:
            return problem.LOST

    def summary(self, request: Request) -> Answer | Later | Held:
        """GET /payments-summary: held for a moment while the dispatcher listens for answers that are due.

        What is too old for the books to be exact, the ledger makes exact, where it can.
        """
        self._ring.note_summary(time.time_ns() // 1_000_000)
        try:
            from_ms, to_ms = window.parse(request.query())
        except window.BadBound as error:
            return problem.bad_request(error.field, error.reason)
        if self._records is not None:
            later = self._records.sums(from_ms, to_ms, lambda sums: self._exact(sums, from_ms, to_ms))
            if later is not None:
                return later
        if StatusBlock(self._books_words).listens and not request.is_head():
            return Held(lambda: self._sums(from_ms, to_ms), window.HELD_MS)
        return self._sums(from_ms, to_ms)

    def _sums(self, from_ms: int | None, to_ms: int | None) -> Answer:
        # Before the books are read: what they are complete until, they have.
        complete = () if self._cell is None else self._cell.complete_headers(to_ms)
        try:
            sums, resolution_ms = self._books.resolved(from_ms, to_ms)
        except BooksBusyError:
            return problem.BUSY
        return self._summary(sums, resolution_ms, *complete)

    def _exact(self, sums: tuple[Sum, ...] | None, from_ms: int | None, to_ms: int | None) -> Answer:
        """What the ledger made exact; else what the books know."""
        return self._sums(from_ms, to_ms) if sums is None else self._summary(sums, EXACT_MS)

    def _summary(self, sums: tuple[Sum, ...], resolution_ms: int, *headers: tuple[bytes, bytes]) -> Answer:
        # Written by hand: a float would not hold a large sum to the cent.
        parts = (
            f'"{name}":{{"totalRequests":{total.payments},"totalAmount":{payment.format_cents(total.cents)}}}'
            for name, total in zip(self._names, sums, strict=True)
        )
        return problem.json_answer(
            f"{{{','.join(parts)}}}".encode(), *window.resolution_headers(resolution_ms), *headers
        )

    def status(self, request: Request) -> Answer | Later:
        """GET /payments/{correlationId}/status: from memory; what that does not have, from the ledger."""
        try:
            id_high, id_low = payment.parse_id(request.parameter(0))
        except payment.BadPayment as error:
            return problem.bad_request(error.field, error.reason)
        found = self._find(id_high, id_low)
        if isinstance(found, Answer):
            return found
        if self._elsewhere is not None and (found is None or shown.is_elsewhere(found)):
            return self._elsewhere.status(id_high, id_low)
        if found is not None:
            return problem.json_answer(shown.document(id_high, id_low, shown.of_memory(found), self._names))
        if self._records is not None:
            return self._records.status(id_high, id_low)
        return problem.LEDGER_AWAY if self._settings.ledger.is_on else problem.UNKNOWN_PAYMENT

    def attempts(self, request: Request) -> Answer | Later:
        """GET /payments/{correlationId}/attempts: from the ledger."""
        try:
            id_high, id_low = payment.parse_id(request.parameter(0))
        except payment.BadPayment as error:
            return problem.bad_request(error.field, error.reason)
        if not self._settings.ledger.is_on:
            return problem.NO_LEDGER
        if self._records is None:
            return problem.LEDGER_AWAY
        found = self._find(id_high, id_low)
        if isinstance(found, Answer):
            return found
        return self._records.attempts(id_high, id_low, is_here=found is not None)

    def _find(self, id_high: int, id_low: int) -> Payment | Answer | None:
        """A payment as memory has it; an answer when memory cannot be read."""
        try:
            return self._acceptor.find(id_high, id_low)
        except BooksBusyError:
            return problem.BUSY
        except LostError:
            return problem.LOST

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
            None if self._cell is None else self._cell.words,
        )
        return problem.json_answer(orjson.dumps(document))

    def ready(self, _: Request) -> Answer:
        """GET /readyz: 200 when this process can accept payments, else 503 with the reasons."""
        own = self._acceptor.own_usage()
        is_away = self._cell is not None and not self._cell.may_accept
        now_ms = time.time_ns() // 1_000_000
        reasons = health.unready(self._books_words, self._lost(), own, now_ms, is_away=is_away)
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
