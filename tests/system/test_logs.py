"""The lines of a real engine in an outage of everything around it: few, of one schema, and without secrets."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import Any

from engine.lab.launch import free_ports
from engine.logs.events import EVENTS
from tests.system.client import Client, Payment, client, new_payments, wait_until
from tests.system.running import Engine, Place, engine_in, place

SECRET = "SEEN/5ecret"
PAYMENTS = 200
REFUSALS = 150
LINES_MAX = 200
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SCHEMA = {"time", "level", "event", "process", "pid", "text"}


def lines(here: Place) -> list[dict[str, Any]]:
    """All that any process has written: each line is an object. One that is being written is not there yet."""
    whole, _, _ = here.said().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def test_an_outage_of_everything_writes_few_lines_and_no_secret_and_hides_no_payment() -> None:
    default, fallback, database, console = free_ports(4)
    url = f"http://shop:SEEN-default@127.0.0.1:{default}"
    settings = {
        "ENGINE_LOG_FORMAT": "json",
        "ENGINE_ACCESS_LOG_PERCENT": "1",
        "ENGINE_ADMIN_TOKEN": f"{SECRET}-admin",
        "ENGINE_PROCESSOR_TOKEN": f"{SECRET}-processor",
        "ENGINE_FEE_QUERY": "1",
        "ENGINE_PURGE": "0",
        "ENGINE_LEDGER": "best",
        "ENGINE_LEDGER_URL": f"postgresql://engine:SEEN-ledger@127.0.0.1:{database}/ledger",
        "ENGINE_CONSOLE": "1",
        "ENGINE_CONSOLE_PORT": str(console),
        "ENGINE_DRAIN_SECONDS": "0",
    }
    with place(url, f"http://127.0.0.1:{fallback}", **settings) as here, engine_in(here) as running:
        paid = new_payments(PAYMENTS)
        with client(running.port) as shop:
            assert {shop.pay(payment).status for payment in paid} == {202}
            _refused(shop, paid[0])
            running.wait_for_another("api 0", running.send_signal("api 0", signal.SIGKILL))
            for payment in paid:
                assert shop.status(payment).json()["status"] in ("queued", "processing"), "each is found by its id"
        _without_api_processes(running)
        wait_until(
            lambda: any(line["event"] == "routing_changed" for line in lines(here)), 20, "what becomes of payments"
        )
        running.stop()
        said, text = lines(here), here.said()
    assert len(said) < LINES_MAX and text.endswith("\n")
    assert "SEEN" not in text and "5ecret" not in text
    assert all(line.keys() >= SCHEMA and line["event"] in EVENTS for line in said)
    _check(Counter(line["event"] for line in said), said, paid[0])


def _refused(shop: Client, payment: Payment) -> None:
    """Requests with secrets in each part, and conflicts."""
    for _ in range(REFUSALS):
        assert shop.pay(payment._replace(cents=payment.cents + 1)).status == 409
    trace = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "Content-Type": "application/json"}
    body = f'{{"correlationId": "{payment.correlation_id}", "amount": 0.01}}'.encode()
    conflict = shop.request("POST", "/payments", body, trace)
    assert conflict.status == 409
    assert conflict.headers["Request-Id"] == conflict.json()["requestId"] == TRACE
    secrets = {"Authorization": f"Bearer {SECRET}", "X-Engine-Token": f"{SECRET}-wrong", "Cookie": f"token={SECRET}"}
    for method, path, sent in (
        ("POST", "/purge-payments", b""),
        ("GET", f"/payments-summary?token={SECRET}", b""),
        ("GET", f"/health?password={SECRET}", b""),
        ("POST", "/payments", f'{{"correlationId": "{SECRET}", "amount": 1, "token": "{SECRET}"}}'.encode()),
    ):
        assert len(shop.request(method, path, sent, secrets).headers["Request-Id"]) == 32


def _without_api_processes(running: Engine) -> None:
    """Requests that nginx must refuse by itself."""
    with running.standing_still("up"):
        for index in range(2):
            running.send_signal(f"api {index}", signal.SIGKILL)
        with client(running.port) as shop:
            for _ in range(REFUSALS):
                answer = shop.request("POST", f"/payments?token={SECRET}", b"{}")
                assert answer.status == 503 and answer.headers["Request-Id"] == answer.json()["requestId"]
    running.wait_until_it_answers()


def _check(events: Counter[str], said: list[dict[str, Any]], payment: Payment) -> None:
    assert {"serving", "processor_changed", "process_ended", "nginx_said", "nginx_refused", "database_away"} <= {
        *events
    }
    refused = [line for line in said if line["event"] == "payment_refused"]
    assert {line["correlationId"] for line in refused} == {payment.correlation_id} and refused[0]["requestId"]
    own = sum(line["count"] for line in said if line.get("of") == "nginx_refused 503")
    assert own + events["nginx_refused"] == REFUSALS, "each is written or counted"
    assert {"up", "api-0", "api-1", "dispatcher", "ledger", "console"} <= {line["process"] for line in said}
