"""The books beside the ledger, the client that asks processors, and the words of the command."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engine.books.reader import Sum
from engine.connectors import rinha
from engine.connectors.answers import ABSENT, Summary
from engine.connectors.connector import Connector
from engine.ledger.database import Database
from engine.reconcile import cases, text
from engine.reconcile.asks import UnansweredError
from engine.reconcile.cases import Run, Version
from engine.reconcile.client import Client, Pace
from engine.reconcile.driver import Driver
from engine.reconcile.finding import BOOKS, BY_A_PERSON, MISSING_HERE, MISSING_THERE, PROCESSOR, TIME_DIFFERS, Finding
from engine.reconcile.progress import Progress
from engine.reconcile.span import Difference, Span
from tests.connectors import invented
from tests.ledger.making import NOW_MS
from tests.reconcile.world import NAMES, STRETCH, World

# --- books ------------------------------------------------------------------------------------------------------------


class Kept:
    """Books that have what the ledger has, and ``more``, by millisecond, at processor 1; exact from ``exact_ms`` on."""

    def __init__(self, world: World, more: dict[int, Sum], exact_ms: int = 0) -> None:
        self.world, self.more, self.exact_ms = world, more, exact_ms

    def window(self, from_ms: int, to_ms: int) -> tuple[Sum, ...] | None:
        if from_ms < self.exact_ms:
            return None
        sums = []
        for number in range(2):
            rows = [row for row in self.world.rows if row.processor == number]
            rows = [row for row in rows if row.requested_ms is not None and from_ms <= row.requested_ms <= to_ms]
            more = [one for at_ms, one in self.more.items() if number and from_ms <= at_ms <= to_ms]
            sums.append(Sum(len(rows) + sum(one[0] for one in more), sum(row.cents for row in rows) +
                            sum(one[1] for one in more)))  # fmt: skip
        return tuple(sums)


@pytest.fixture
def world(ledger: Database) -> World:
    return World(ledger, 60)


def reconciled(world: World, books: Kept) -> int:
    return Driver(world.database, books, world.client, NAMES, world._sleep).reconcile(STRETCH, False)[1]


def test_what_the_books_have_and_the_ledger_does_not_is_found_by_second(world: World) -> None:
    books = Kept(world, {NOW_MS + 77_777: Sum(2, 30)})
    assert reconciled(world, books) == 1
    (found,) = world.open()
    assert (found.state, found.against, found.processor) == (MISSING_HERE, BOOKS, 1)
    assert (found.span, found.difference) == (Span(NOW_MS + 77_000, NOW_MS + 77_999), Difference(2, 30))
    assert reconciled(world, books) == 1 and len(cases.versions(world.database)) == 1, "it is not found again"
    books.more.clear()
    assert reconciled(world, books) == 0


def test_what_the_ledger_carries_a_moment_later_is_waited_for(world: World) -> None:
    books = Kept(world, {NOW_MS + 77_777: Sum(1, 30)})
    slept = world._sleep

    def carried(seconds: float) -> None:
        slept(seconds)
        books.more.clear()

    world._sleep = carried  # type: ignore[method-assign]
    assert reconciled(world, books) == 0 and world.states() == [] and world.slept > 0


def test_what_the_books_do_not_tell_exactly_is_not_compared(world: World) -> None:
    assert reconciled(world, Kept(world, {NOW_MS + 77_777: Sum(1, 30)}, exact_ms=NOW_MS + 1)) == 0


# --- asking -----------------------------------------------------------------------------------------------------------


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A processor that answers so, the last one for ever; its address, and what it is asked."""
    left, asked = list(answers), list[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('X-Rinha-Token')}")
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/base", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def asking(url: str, connector: Connector | None = None) -> Iterator[Client]:
    client = Client([url], [connector or rinha.connector("secret")], 1000, 1000, lambda _: None)
    yield client
    client.close()


GOOD = b'{"totalRequests":2,"totalAmount":39.80,"totalFee":1.99,"feePerTransaction":0.05}'


def test_a_summary_is_asked_for_with_the_token_and_again_after_a_bad_answer() -> None:
    with answering((500, b""), (200, b"<html>"), (200, GOOD)) as (url, asked), asking(url) as client:
        assert client.summary(0, 0, 999) == Summary(2, 3980)
        assert client.summaries == len(asked) == 3
        window = "from=1970-01-01T00:00:00.000Z&to=1970-01-01T00:00:00.999999Z"
        assert asked[0] == f"/base/admin/payments-summary?{window} secret"


def test_a_processor_that_gives_no_summary_is_a_sentence() -> None:
    with answering((503, b"")) as (url, asked), asking(url) as client:
        with pytest.raises(UnansweredError, match="it answers 503, and no summary"):
            client.summary(0, 0, 999)
        assert len(asked) == 3
    with answering((401, b"")) as (url, asked), asking(url) as client:
        with pytest.raises(UnansweredError, match="it answers 401"):
            client.summary(0, 0, 999)
        assert len(asked) == 1, "a token that is wrong stays wrong"
    with asking("http://127.0.0.1:1") as client, pytest.raises(UnansweredError, match="cannot be asked for: "):
        client.summary(0, 0, 999)
    with answering((200, b"x" * 100_000)) as (url, _), asking(url) as client, pytest.raises(UnansweredError):
        client.summary(0, 0, 999)


def test_a_lookup_without_a_clear_answer_is_asked_again_and_is_no_absence() -> None:
    with answering((500, b""), (404, b"")) as (url, asked), asking(url) as client:
        assert client.lookup(0, bytes(16)) == ABSENT and client.lookups == len(asked) == 2
        assert asked[0] == "/base/payments/00000000-0000-0000-0000-000000000000 None"
    why = "a payment cannot be looked up: it answers 500"
    with answering((500, b"")) as (url, _), asking(url) as client, pytest.raises(UnansweredError, match=why):
        client.lookup(0, bytes(16))


def test_another_connector_is_asked_in_its_own_words() -> None:
    with invented.invented() as processor, asking(processor.url, invented.connector("key")) as client:
        assert client.lookup(0, bytes(16)) == ABSENT
        with pytest.raises(UnansweredError, match="cannot be asked for"):
            client.summary(0, 0, 999)  # this one has no sums: its answer cannot be read
    assert [one.method for one in processor.requests] == ["POST", "GET", "GET", "GET"]


def test_requests_have_a_pace() -> None:
    now, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(4, sleep, lambda: now[0])
    for _ in range(9):
        pace.wait()
    assert now[0] == pytest.approx(102.0) and len(slept) == 8
    now[0] += 60
    for _ in range(2):
        pace.wait()
    assert now[0] == pytest.approx(162.25), "what was not used is not made up for"


# --- words ------------------------------------------------------------------------------------------------------------

ID = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
GONE = Finding(
    MISSING_THERE, PROCESSOR, 0, Span(NOW_MS + 5, NOW_MS + 5), Difference(-1, -1990), ID, None,
    "the processor does not find its id",
)  # fmt: skip
FOUND = [
    Version(1, 1, NOW_MS, None, GONE),
    Version(1, 2, NOW_MS, "A. Auditor", GONE._replace(state=BY_A_PERSON, evidence="their \x1b[2Jmail " + "x" * 90)),
    Version(2, 1, NOW_MS, None, Finding(
        TIME_DIFFERS, PROCESSOR, 1, Span(NOW_MS, NOW_MS), Difference(0, 0), ID, NOW_MS + 1, "moved")),
    Version(3, 1, NOW_MS, None, Finding(
        MISSING_HERE, BOOKS, 1, Span(NOW_MS, NOW_MS + 999), Difference(12, 10**11))),
]  # fmt: skip


def test_a_table_has_80_columns_and_can_do_nothing_to_a_terminal() -> None:
    shown = text.table(FOUND, {0: "default", 1: "a-rather-long-name"})
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown and "A. Auditor" in shown
    assert "   1 missing there        default  2026-11-27 08:00:00.005    -1          -19.90" in shown
    assert "payment 00010203-0405-0607-0809-0a0b0c0d0e0f" in shown
    assert "there under 2026-11-27 08:00:00.001" in shown


def test_machines_get_everything() -> None:
    lines = text.machine(FOUND, {0: "default", 1: "fallback"}, "csv").splitlines()
    assert len(lines) == 5 and lines[1].startswith(
        "1,1,missing there,processor,default,2026-11-27T08:00:00.005Z,2026-11-27T08:00:00.005Z,"
        "00010203-0405-0607-0809-0a0b0c0d0e0f,-1,-1990,,"
    )


def test_a_run_is_told_in_a_few_lines() -> None:
    run = Run(Span(NOW_MS, NOW_MS + 599_999), False, NOW_MS, 1, 23, 2, "default: " + "it says nothing " * 9)
    told = text.summary(run, 1)
    assert "1 window of" in told and "23 summary calls and 2 lookups" in told and told.endswith("1 exception is open.")
    assert max(map(len, told.splitlines())) <= 80


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_alone() -> None:
    for stream, is_drawn in ((Terminal(), True), (io.StringIO(), False)):
        bar = Progress(4, "payments", stream)
        bar.step()
        bar.end()
        assert ("1 of 4 payments" in stream.getvalue()) is is_drawn
