"""The watcher sees an engine that refuses, is not ready, does not settle, or takes an id with two amounts."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engine.lab.chaos import watcher
from engine.lab.chaos.watcher import Watcher
from engine.lab.contest.timetable import Clock
from tests.system.client import wait_until


class Shop(ThreadingHTTPServer):
    """An engine that is as the test wants it."""

    daemon_threads = True
    settles = True
    takes_twice = False
    is_open = True

    def __init__(self) -> None:
        self.amounts: dict[str, float] = {}
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop

    def do_POST(self) -> None:
        paid = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.is_open:
            self._say(503)
            return
        amount = self.server.amounts.setdefault(paid["correlationId"], paid["amount"])
        self._say(202 if amount == paid["amount"] or self.server.takes_twice else 409)

    def do_GET(self) -> None:
        status = "completed" if self.server.settles else "queued"
        self._say(200, json.dumps({"status": status}).encode())

    def _say(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as made:
        yield made
        made.shutdown()


@contextlib.contextmanager
def watching(shop: Shop, *sockets: str) -> Iterator[Watcher]:
    origin = f"http://127.0.0.1:{shop.server_address[1]}"
    made = Watcher(origin, sockets, Decimal("19.90"), Clock(time.time()))
    made.start()
    try:
        yield made
    finally:
        made.finish()


def sees(made: Watcher, complaint: str) -> None:
    wait_until(lambda: any(sample.complaint == complaint for sample in made.samples), 20, complaint)


def test_an_engine_that_serves_is_seen_to_and_each_payment_is_kept(shop: Shop) -> None:
    with watching(shop) as made:
        wait_until(lambda: len(made.samples) >= 5, 20, "some samples")
        assert made.has_served_since(0.0)
    assert not any(sample.complaint for sample in made.samples) and made.taken_twice == []
    assert {one.correlation_id for one in made.sent if one.is_accepted} == set(shop.amounts)


def test_what_is_refused_is_seen_and_that_it_is_over_too(shop: Shop) -> None:
    shop.is_open = False
    with watching(shop) as made:
        sees(made, "a payment was answered 503")
        assert not made.has_served_since(0.0)
        shop.is_open = True
        wait_until(lambda: not made.samples[-1].complaint, 20, "it serves")
        assert not made.has_served_since(0.0) and made.has_served_since(made.samples[-1].at_s)


def test_a_process_that_is_not_ready_is_seen(shop: Shop, tmp_path: object) -> None:
    with watching(shop, f"{tmp_path}/nobody.sock") as made:
        sees(made, "an API process was not ready")


def test_what_is_accepted_and_not_settled_is_seen(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "SETTLE_S", 0.2)
    shop.settles = False
    with watching(shop) as made:
        sees(made, "what was accepted was not settled")


def test_an_id_that_is_accepted_with_two_amounts_is_seen(shop: Shop) -> None:
    shop.takes_twice = True
    with watching(shop) as made:
        wait_until(lambda: bool(made.taken_twice), 20, "it is seen")


def test_an_engine_that_is_away_is_seen() -> None:
    with Shop() as shop:
        shop.shutdown()
    with watching(shop) as made:
        sees(made, "a payment was not answered")
