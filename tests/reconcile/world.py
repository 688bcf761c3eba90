"""Simulated processors and a ledger that agree, with discrepancies to order."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal

from engine.connectors import rinha
from engine.connectors.answers import UNKNOWN, Outcome, Summary
from engine.connectors.connector import Request
from engine.lab.simulate import routes
from engine.lab.simulate.behaviour import Processor, ProcessorSettings
from engine.lab.simulate.wire import Payment
from engine.ledger.carry import carry
from engine.ledger.database import Database
from engine.ledger.rows import Batch, EraRow, PaymentRow
from engine.processors import PPM
from engine.reconcile import cases
from engine.reconcile.asks import UnansweredError
from engine.reconcile.cases import Run
from engine.reconcile.driver import Driver
from engine.reconcile.finding import Finding
from engine.reconcile.span import Span
from tests.ledger.making import NOW_MS, payment

NAMES = ("default", "fallback")
STRETCH = Span(NOW_MS, NOW_MS + 599_999)
FEES_PPM = (50_000, 150_000)


class Client:
    """Asks processors in this process, in the words of their connector. ``before``: is called before each answer."""

    def __init__(self, processors: list[Processor[object]]) -> None:
        self._processors = processors
        self._connector = rinha.connector("123")
        self.summaries = self.lookups = 0
        self.silent: set[int] = set()
        self.mute = False  # no lookup is answered
        self.unclear = set[bytes]()  # no lookup of these is
        self.before: Callable[[], None] = lambda: None

    def summary(self, processor: int, from_ms: int, to_ms: int) -> Summary:
        self.summaries += 1
        status, body = self._ask(processor, self._connector.summary(from_ms, to_ms))
        found = self._connector.read_summary(status, body)
        assert found is not None, body
        return found

    def lookup(self, processor: int, identity: bytes) -> Outcome:
        self.lookups += 1
        if self.mute or identity in self.unclear:
            raise UnansweredError("it says nothing of payments")
        high, low = divmod(int.from_bytes(identity, "big"), 1 << 64)
        status, body = self._ask(processor, self._connector.lookup(high, low))
        found = self._connector.read_lookup(status, body, high, low)
        assert found is not UNKNOWN
        return found

    def _ask(self, processor: int, request: Request) -> tuple[int, bytes]:
        self.before()
        if processor in self.silent:
            raise UnansweredError("it says nothing")
        path, _, query = request.path.partition("?")
        token = dict(request.headers).get("X-Rinha-Token")
        asked = routes.Request(request.method, path, query, token, request.body)
        reply = routes.answer(self._processors[processor], asked, 0)
        return reply.status, reply.body


class NoBooks:
    """Books that are not there."""

    is_there = False

    def window(self, _from_ms: int, _to_ms: int) -> None:
        return None


class World:
    """A ledger and two processors with ``count`` payments of ``length_ms``, the same in both."""

    def __init__(self, database: Database, count: int, seed: int = 1, length_ms: int = 600_000) -> None:
        self.length_ms = length_ms
        self.draw = random.Random(seed)
        self.database = database
        self.charged: list[dict[bytes, Payment]] = [{}, {}]
        self.processors: list[Processor[object]] = [
            Processor(ProcessorSettings(name, Decimal(ppm) / PPM)) for name, ppm in zip(NAMES, FEES_PPM, strict=True)
        ]
        self.client = Client(self.processors)
        self.slept = 0.0
        self.rows = [self._row(number) for number in range(count)]
        self.carry(*self.rows)
        for row in self.rows:
            self.charge(row)
        self.apply()

    def _row(self, number: int) -> PaymentRow:
        at_ms = NOW_MS + self.draw.randrange(self.length_ms)
        amount = self.draw.choice((1990, self.draw.randrange(1, 10**6)))
        processor = int(self.draw.random() < 0.3)
        return payment(
            number,
            accepted_ms=at_ms - 5,
            requested_ms=at_ms,
            processor=processor,
            cents=amount,
            fee_ppm=FEES_PPM[processor],
        )

    def carry(self, *rows: PaymentRow, eras: tuple[EraRow, ...] = ()) -> None:
        before = self.database.cursor()
        after = before._replace(journal=before.journal + 1, era=eras[-1].number if eras else before.era)
        assert carry(self.database, Batch(before, after, rows, eras=eras)) == 0

    def charge(self, row: PaymentRow, *, cents: int = 0, at_ms: int = 0) -> None:
        """The processor of a row has it; :meth:`apply` then tells the processor."""
        assert row.processor is not None and row.requested_ms is not None
        self.charged[row.processor][row.id] = Payment(row.id, cents or row.cents, at_ms or row.requested_ms)

    def add(self, processor: int, at_ms: int, cents: int) -> bytes:
        """A payment at a processor that nobody here knows."""
        identity = self.draw.randbytes(16)
        self.charged[processor][identity] = Payment(identity, cents, at_ms)
        return identity

    def apply(self) -> None:
        """The processors have what was said, and nothing else."""
        for processor, charged in zip(self.processors, self.charged, strict=True):
            processor.purge()
            for one in charged.values():
                assert processor.store.insert(one)

    def reconcile(self, span: Span = STRETCH, *, deep: bool = False) -> tuple[Run, int]:
        self.client.summaries = self.client.lookups = 0
        driver = Driver(self.database, NoBooks(), self.client, NAMES, self._sleep)
        return driver.reconcile(span, deep)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds

    def open(self) -> list[Finding]:
        """The exceptions that are open."""
        return [one.last for one in cases.last(self.database) if cases.is_open(one.last)]

    def states(self) -> list[str]:
        """How every exception is now."""
        return [one.last.state for one in cases.last(self.database)]
