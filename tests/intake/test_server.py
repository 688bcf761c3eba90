"""What the API promises, asked of real processes over their Unix sockets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from engine import settings as settings_module
from engine.books.reader import EXACT_MS, Sum, Window
from engine.dispatch.attempt import Now
from engine.dispatch.settlement import Settlement
from engine.intake.held import Held
from engine.intake.problem import Answer
from engine.intake.server import FULL_HELD_MS, Server
from engine.memory import layout
from engine.memory.status import StatusBlock
from engine.memory.words import zeros
from engine.processors import DEFAULT, FALLBACK
from engine.storage import locks, mapping
from tests.intake.engine import Engine, engine, new_id, pay, purging, wait_until

PROBLEM = "application/problem+json"
BODY_BYTES_MAX = 4096
TOKEN = "a-secret"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two API processes that many tests share; rings are large enough never to be full."""
    run_dir = str(tmp_path_factory.mktemp("api"))
    with engine(run_dir, ENGINE_RING_SLOTS="4096", ENGINE_ADMIN_TOKEN=TOKEN) as made:
        made.start(0)
        made.start(1)
        yield made


@pytest.fixture
def client(world: Engine) -> Iterator[httpx.Client]:
    with world.client(0) as client:
        yield client


def expect_problem(response: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    """A problem as RFC 9457 wants it, that says nothing of the inside."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"] == response.reason_phrase
    assert document.get("field") == field
    for word in ("Traceback", "Error(", "python", "/work", ".py", "engine."):
        assert word not in response.text
    return document


# --- paying ----------------------------------------------------------------------------------------------------------


def test_a_payment_is_accepted_with_an_empty_202_and_is_in_the_ring(world: Engine, client: httpx.Client) -> None:
    identity = new_id()
    response = pay(client, identity)
    assert (response.status_code, response.content, response.headers["content-length"]) == (202, b"", "0")
    number = int(identity.replace("-", ""), 16)
    found = world.rings[0].find(number >> 64, number & (1 << 64) - 1)
    assert found is not None
    assert found.cents == 1990
    assert abs(found.accepted_ms - time.time() * 1000) < 5000


def test_the_same_payment_again_is_202_and_is_in_the_ring_once(world: Engine, client: httpx.Client) -> None:
    identity = new_id()
    head = world.rings[0].head
    assert [pay(client, text).status_code for text in (identity, identity, identity.upper())] == [202, 202, 202]
    assert world.rings[0].head == head + 1


def test_the_same_id_with_another_amount_is_a_conflict_on_any_process(world: Engine, client: httpx.Client) -> None:
    identity = new_id()
    pay(client, identity)
    with world.client(1) as other:
        for asked in (client, other):
            expect_problem(pay(asked, identity, 19.91), 409, "correlationId")
            assert pay(asked, identity).status_code == 202


def test_the_same_id_at_both_processes_at_once_is_accepted_once(world: Engine) -> None:
    ids = [new_id() for _ in range(300)]
    heads = sum(ring.head for ring in world.rings)
    start = threading.Barrier(4)
    statuses: list[int] = []

    def hand_in(index: int) -> None:
        with world.client(index) as client:
            start.wait()
            statuses.extend(pay(client, identity).status_code for identity in ids)

    threads = [threading.Thread(target=hand_in, args=(number % 2,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [202] * 1200
    assert sum(ring.head for ring in world.rings) == heads + 300


def test_a_body_may_come_in_pieces(world: Engine) -> None:
    identity = new_id()
    body = json.dumps({"correlationId": identity, "amount": 1}).encode()
    with connect(world) as connection:
        connection.sendall(f"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for at in range(0, len(body), 20):
            time.sleep(0.005)  # so that the pieces do arrive one by one
            connection.sendall(body[at : at + 20])
        assert receive_status(connection) == 202


def test_a_chunked_body_is_read(client: httpx.Client) -> None:
    body = json.dumps({"correlationId": new_id(), "amount": 1}).encode()
    assert client.post("/payments", content=iter([body[:30], body[30:]])).status_code == 202


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.pay+json", None]
)
def test_json_by_any_of_its_names_or_by_none_is_accepted(client: httpx.Client, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    body = json.dumps({"correlationId": new_id(), "amount": 1}).encode()
    assert client.post("/payments", content=body, headers=headers).status_code == 202


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"not json", None),
        (b"[]", None),
        (b'{"amount":1}', "correlationId"),
        (b'{"correlationId":"x","amount":1}', "correlationId"),
        (b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"}', "amount"),
        (b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":"1"}', "amount"),
        (b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":-1}', "amount"),
        (b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":1.001}', "amount"),
        (b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":1e999999999}', "amount"),
        (b'{"a":' * 700, None),
    ],
)
def test_a_body_that_is_no_payment_is_400_and_names_the_field(
    client: httpx.Client, body: bytes, field: str | None
) -> None:
    response = client.post("/payments", content=body)
    assert response.status_code == 400
    # Which of the two an amount beyond every number is: no JSON, or no amount.
    expect_problem(response, 400, response.json().get("field") if b"e999" in body else field)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"]
)
def test_a_body_that_says_it_is_something_else_is_415(client: httpx.Client, content_type: str) -> None:
    body = json.dumps({"correlationId": new_id(), "amount": 1}).encode()
    expect_problem(client.post("/payments", content=body, headers={"Content-Type": content_type}), 415)


def test_a_body_at_the_limit_is_read_and_one_beyond_it_is_413(client: httpx.Client) -> None:
    body = json.dumps({"correlationId": new_id(), "amount": 1}).encode()
    padded = body + b" " * (BODY_BYTES_MAX - len(body))
    assert client.post("/payments", content=padded).status_code == 202
    expect_problem(client.post("/payments", content=padded + b" "), 413)
    expect_problem(client.post("/payments", content=iter([padded, b" "])), 413)


def test_a_413_is_answered_before_the_body_and_leaves_the_connection_usable(world: Engine) -> None:
    with connect(world) as connection:
        connection.sendall(b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert receive_status(connection) == 413
        connection.sendall(b"x" * 1_000_000)
        connection.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_status(connection) == 200


def test_a_client_that_hangs_up_in_the_middle_of_a_body_is_forgotten(world: Engine, client: httpx.Client) -> None:
    for _ in range(50):
        with connect(world) as connection:
            connection.sendall(b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert pay(client, new_id()).status_code == 202


@pytest.mark.parametrize(
    "path", ["/", "/payment", "/payments/", "/payments/x", "/payments/x/status/", "/health/x", "/%00"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_404(client: httpx.Client, path: str, method: str) -> None:
    assert "/openapi.json" in expect_problem(client.request(method, path), 404)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/payments", "POST"),
        ("PUT", "/payments", "POST"),
        ("OPTIONS", "/payments", "POST"),
        ("GET", "/purge-payments", "POST"),
        ("POST", "/payments-summary", "GET, HEAD"),
        ("DELETE", "/health", "GET, HEAD"),
        ("PATCH", "/healthcheck", "GET, HEAD"),
        ("POST", "/payments/4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3/status", "GET, HEAD"),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(
    client: httpx.Client, method: str, path: str, allow: str
) -> None:
    response = client.request(method, path)
    expect_problem(response, 405)
    assert response.headers["allow"] == allow


def test_a_path_is_the_same_however_what_needs_no_escape_is_written(client: httpx.Client) -> None:
    identity = new_id()
    body = {"correlationId": identity, "amount": 1.5}
    assert client.post("/pa%79ments", json=body).status_code == 202
    assert client.post("/%70ayments", json=body | {"amount": 2}).status_code == 409
    escaped = identity.replace("-", "%2D")
    for path in (f"/payments/{escaped}/status", f"/p%61yments/{escaped}/st%61tus"):
        assert client.get(path).json()["correlationId"] == identity
        assert client.head(path).status_code == 200
    summary = client.get("/payments%2dsummary?from=2026-07-16")
    assert summary.status_code == 200 and set(summary.json()) == {"default", "fallback"}
    expect_problem(client.get("/payments%2Dsummary?from=yesterday"), 400, "from")
    assert client.get("/pa%79ments").headers["allow"] == "POST"
    for other in (
        "/payments%2Fsummary",
        f"/payments%2F{identity}/status",
        "/pa%zzyments",
        "/payments%00",
        "/health%20",
    ):
        expect_problem(client.get(other), 404)


@pytest.mark.parametrize("path", ["/health", "/healthcheck", "/payments-summary", "/payments", "/nothing"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert head.status_code == get.status_code
    assert head.headers["content-length"] == get.headers["content-length"] or path == "/health"
    assert head.content == b""
    assert client.get("/healthcheck").status_code == 200


def test_bytes_that_are_no_http_do_not_disturb_the_others(world: Engine, client: httpx.Client) -> None:
    for junk in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /payments HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with connect(world) as connection:
            connection.sendall(junk)
    assert client.get("/healthcheck").status_code == 200


# --- a list of processors --------------------------------------------------------------------------------------------

THREE = "near=http://127.0.0.1:8001,far=http://127.0.0.1:8002,third=http://127.0.0.1:8003"


def test_an_engine_with_three_processors_shows_all_of_them_by_their_names(tmp_path: Path) -> None:
    with engine(str(tmp_path), ENGINE_PROCESSORS=THREE) as world:
        world.start()
        with world.client() as client:
            identity = new_id()
            assert pay(client, identity, 12.5).status_code == 202
            world.settle(0, world.rings[0].head - 1, 2)
            summary = client.get("/payments-summary")
            nothing = '{"totalRequests":0,"totalAmount":0.00}'
            assert summary.text == (
                f'{{"near":{nothing},"far":{nothing},"third":{{"totalRequests":1,"totalAmount":12.50}}}}'
            )
            status = client.get(f"/payments/{identity}/status").json()
            assert (status["status"], status["processor"]) == ("completed", "third")
            StatusBlock(world.books.words).processor(2).breaker_open = 1
            health = client.get("/health").json()
            assert list(health["processors"]) == ["near", "far", "third"]
            assert "breaker of third is open" in health["reasons"]
            assert health["queues"]["pending"] == 0
            told = client.get("/openapi.json").json()["paths"]
            schema = told["/payments-summary"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            assert list(schema["properties"]) == ["near", "far", "third"]


# --- status ----------------------------------------------------------------------------------------------------------


def test_a_payments_status_is_true_on_every_process_from_its_202_on(world: Engine, client: httpx.Client) -> None:
    identity = new_id()
    position = world.rings[0].head
    assert pay(client, identity, 12.5).status_code == 202
    with world.client(1) as other:
        queued = other.get(f"/payments/{identity}/status").json()
        assert queued == client.get(f"/payments/{identity.upper()}/status").json()
        accepted_at = queued.pop("acceptedAt")
        assert accepted_at.endswith("Z") and len(accepted_at) == len("2026-07-16T12:00:00.000Z")
        assert queued == {
            "correlationId": identity,
            "status": "queued",
            "amount": 12.5,
            "processor": None,
            "attempts": 0,
            "requestedAt": None,
            "settledAt": None,
            "reason": None,
            "chargedBefore": False,
            "settledAmount": None,
        }
        ring = world.rings[0]
        at = ring.offset(position)
        ring.words[at + layout.SLOT_REQUESTED_MS] = 1_784_203_200_007
        word = layout.pack_progress(position, layout.PROCESSING, FALLBACK, 2)
        ring.words[at + layout.SLOT_PROGRESS] = word
        processing = other.get(f"/payments/{identity}/status").json()
        assert (processing["status"], processing["processor"], processing["attempts"]) == ("processing", "fallback", 2)
        assert (processing["requestedAt"], processing["settledAt"]) == ("2026-07-16T12:00:00.007Z", None)
        world.settle(0, position, FALLBACK)
        completed = other.get(f"/payments/{identity}/status").json()
        assert (completed["status"], completed["processor"]) == ("completed", "fallback")
        assert completed["settledAt"] is not None


def test_the_status_says_what_a_person_should_know_of_a_payment(tmp_path: Path) -> None:
    with engine(str(tmp_path), ENGINE_RING_SLOTS="64", ENGINE_ADMIN_TOKEN=TOKEN) as world:
        world.start()
        with world.client() as client:
            _check_what_a_person_should_know(world, client)


def _check_what_a_person_should_know(world: Engine, client: httpx.Client) -> None:
    names = [new_id() for _ in range(4)]
    first = world.rings[0].head
    for name in names:
        assert pay(client, name, 5).status_code == 202
    now = Now(0, time.time_ns() // 1_000_000)
    settlement = Settlement(world.rings, world.writer, mapping.books_shape(world.settings))
    paid = [settlement.payment(0, first + number) for number in range(4)]
    world.writer.begin(now.wall_ms)
    settlement.complete_with(now, 0, paid[0], now.wall_ms, 1990, layout.REASON_AMOUNT)
    settlement.complete_with(now, 0, paid[1], now.wall_ms, 500, layout.REASON_UNCONFIRMED)
    settlement.charged_before(now, 0, paid[2], FALLBACK, now.wall_ms - 5000)
    settlement.fail(now, 0, paid[3], layout.REASON_REFUSED)
    world.writer.commit()
    shown = [client.get(f"/payments/{name}/status").json() for name in names]
    assert [one["status"] for one in shown] == ["completed", "completed", "completed", "failed"]
    assert [one["reason"] for one in shown] == ["amount differs", "unconfirmed", None, "refused"]
    assert [one["chargedBefore"] for one in shown] == [False, False, True, False]
    assert [(one["amount"], one["settledAmount"]) for one in shown] == [(5, 19.9), (5, None), (5, None), (5, None)]
    assert shown[2]["processor"] == "fallback"
    health = client.get("/health").json()
    assert (health["queues"]["chargedBefore"], health["queues"]["failed"]) == (1, 1)
    assert health["discrepancies"] == {"amountDiffers": 1, "unconfirmed": 1}
    # The summary counts what the processors have: 19.90 and 5.00, and nothing of an earlier life.
    assert client.get("/payments-summary").json()["default"]["totalAmount"] == 24.9
    # A correlationId has one life ...
    again = [pay(client, name, 5) for name in names]
    assert [answer.status_code for answer in again] == [202, 202, 202, 409]
    assert "every processor has refused it" in again[3].json()["detail"]
    expect_problem(pay(client, names[3], 6), 409, "correlationId")
    # ... until a purge.
    with purging(world):
        assert client.post("/purge-payments", headers={"X-Engine-Token": TOKEN}).status_code == 200
    assert pay(client, names[3], 6).status_code == 202


def test_the_status_of_an_unknown_payment_is_404_and_of_what_is_no_id_400(client: httpx.Client) -> None:
    expect_problem(client.get(f"/payments/{new_id()}/status"), 404, "correlationId")
    for text in ("x", "4a7901b87d264d9daa194dc1c7cf60b3", "%20", "a" * 1000, "%ff"):
        expect_problem(client.get(f"/payments/{text}/status"), 400, "correlationId")


# --- summary ---------------------------------------------------------------------------------------------------------


def test_the_summary_has_exactly_what_was_settled_to_the_cent(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        world.start()
        with world.client() as client:
            assert client.get("/payments-summary").json() == {
                "default": {"totalRequests": 0, "totalAmount": 0},
                "fallback": {"totalRequests": 0, "totalAmount": 0},
            }
            for amount in (999_999_999.99, 999_999_999.99, 0.01):
                assert pay(client, new_id(), amount).status_code == 202
            world.settle(0, 0)
            earlier_ms = world.settle(0, 1)
            wait_until(lambda: time.time_ns() // 1_000_000 > earlier_ms, "the clock")
            last_ms = world.settle(0, 2, FALLBACK)
            response = client.get("/payments-summary")
            assert response.headers["content-type"] == "application/json"
            assert response.text == (
                '{"default":{"totalRequests":2,"totalAmount":1999999999.98},'
                '"fallback":{"totalRequests":1,"totalAmount":0.01}}'
            )
            stamp = instant(last_ms)
            later = client.get("/payments-summary", params={"from": stamp, "to": stamp}).json()
            assert [later[name]["totalRequests"] for name in ("default", "fallback")] == [0, 1]
            spaced = client.get(f"/payments-summary?from={stamp[:-1]}+00:00&to=").json()
            assert spaced == later


def test_a_summary_of_long_ago_says_what_it_is_exact_to(tmp_path: Path) -> None:
    with engine(str(tmp_path), ENGINE_BOOKS_RECENT_SECONDS="30", ENGINE_BOOKS_HORIZON_HOURS="1") as world:
        world.start()
        with world.client() as client:
            assert pay(client, new_id(), 1.0).status_code == 202
            settled_ms = world.settle(0, 0)
            seconds = {"from": instant(settled_ms // 1000 * 1000), "to": instant(settled_ms // 1000 * 1000 + 999)}
            moment = {"from": instant(settled_ms // 1000 * 1000 + 1), "to": instant(settled_ms // 1000 * 1000 + 998)}
            assert "summary-resolution" not in client.get("/payments-summary", params=moment).headers
            for later_ms, resolution in ((60_000, "1s"), (3 * 3_600_000, "none")):
                world.writer.begin(settled_ms + later_ms)
                world.writer.commit()
                for ask in (client.get, client.head):
                    assert ask("/payments-summary", params=moment).headers["summary-resolution"] == resolution
                    assert "summary-resolution" not in ask("/payments-summary").headers
                exact = client.get("/payments-summary", params=seconds)
                assert exact.headers.get("summary-resolution", "1s") == resolution
            assert exact.json()["default"]["totalRequests"] == 0


def test_a_summary_waits_a_moment_for_answers_that_are_due(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        world.start()
        with world.client() as client:
            at_once = client.get("/payments-summary")
            StatusBlock(world.books.words).listens = 1
            assert client.get("/payments-summary").text == at_once.text
            head = client.head("/payments-summary")
            assert (head.status_code, head.text) == (200, "")
            expect_problem(client.get("/payments-summary?from=yesterday"), 400, "from")


def test_a_summary_that_waits_has_what_was_settled_meanwhile() -> None:
    class Books:
        sums = (Sum(0, 0), Sum(0, 0))

        def resolved(self, *_bounds: int | None) -> Window:
            return Window(self.sums, EXACT_MS)

    class Anything:
        pointer = None

        def note_summary(self, _now_ms: int) -> None:
            pass

        def query(self) -> str:
            return "to=2026-07-16T10:00:00Z"

        def is_head(self) -> bool:
            return False

    words, books, anything = zeros(layout.REDO_AT), Books(), cast(Any, Anything())
    server = Server(settings_module.read({}), anything, anything, words, cast(Any, books), anything)
    StatusBlock(words).listens = 1
    held = server.summary(anything)
    assert isinstance(held, Held)
    books.sums = (Sum(1, 1990), Sum(0, 0))
    answer = held.later()
    assert isinstance(answer, Answer) and b'"totalRequests":1,"totalAmount":19.90' in answer.body


def instant(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=5", "to"),
        ("from=2026-07-16&from=2026-07-16", "from"),
        ("form=2026-07-16", "form"),
    ],
)
def test_a_bound_that_cannot_be_read_is_400_and_named(client: httpx.Client, query: str, field: str) -> None:
    expect_problem(client.get(f"/payments-summary?{query}"), 400, field)


def test_a_lock_that_a_stopped_process_holds_is_503_and_the_others_are_served(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        world.start()
        holder = os.open(world.books.lock_path, os.O_RDWR)
        locks.take(holder, 0, layout.STRIPES)
        with world.client() as client:
            for _ in range(3):
                stuck = pay(client, identity := new_id(), 1.0)
                expect_problem(stuck, 503)
                assert stuck.headers["retry-after"] == "1"
            assert client.get("/health").status_code == 200
            locks.free(holder, 0, layout.STRIPES)
            assert pay(client, identity, 1.0).status_code == 202
            assert client.get(f"/payments/{identity}/status").json()["status"] == "queued"
        os.close(holder)


def test_ready_is_who_can_accept_and_the_reasons_are_said_else(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        world.start()
        with world.client() as client:
            status = StatusBlock(world.books.words)
            expect_problem(client.get("/readyz"), 503)
            assert client.get("/readyz").json()["detail"] == "Not ready: dispatcher is down."
            status.heartbeat_ms = time.time_ns() // 1_000_000
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
            assert client.head("/readyz").status_code == 200
            status.heartbeat_ms = time.time_ns() // 1_000_000 - 60_000
            assert client.get("/readyz").status_code == 503
            for _ in range(world.settings.storage.ring_slots):
                assert pay(client, new_id(), 1.0).status_code == 202
            status.heartbeat_ms = time.time_ns() // 1_000_000
            refused = client.get("/readyz")
            assert (refused.status_code, refused.json()["detail"]) == (503, "Not ready: the ring is full.")
            assert refused.headers["retry-after"] == "1"
            mapping.remove_all(world.settings)
            assert "the ring is full" in client.get("/readyz").json()["detail"]
            assert len(client.get("/readyz").json()["detail"].split(";")) == 2, "memory is gone too"
            assert client.get("/healthcheck").status_code == 200


# --- health ----------------------------------------------------------------------------------------------------------


def test_health_shows_the_dispatchers_status_block_and_is_200_without_one(world: Engine, client: httpx.Client) -> None:
    shown = client.get("/health").json()
    assert shown["status"] == "degraded"
    assert "dispatcher is down" in shown["reasons"]
    assert set(shown["processors"]) == {"default", "fallback"}
    pending = shown["queues"]["pending"]
    pay(client, new_id())
    assert client.get("/health").json()["queues"] == {
        "pending": pending + 1, "failed": 0, "parked": 0, "deadLetters": 0, "chargedBefore": 0,
        "declared": 0, "failedInLedgerOnly": 0,
    }  # fmt: skip
    status = StatusBlock(world.books.words)
    status.heartbeat_ms = time.time_ns() // 1_000_000
    status.processor(DEFAULT).min_response_ms = 120
    alive = client.get("/health").json()
    assert (alive["status"], alive["processors"]["default"]["minResponseTime"]) == ("ok", 120)
    status.heartbeat_ms = 0


# --- a full ring -----------------------------------------------------------------------------------------------------


def test_a_full_ring_is_503_with_retry_after_and_nothing_accepted_is_lost(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        world.start()
        with world.client() as client:
            ids = [new_id() for _ in range(64)]
            assert {pay(client, identity).status_code for identity in ids} == {202}
            refused = pay(client, new_id())
            expect_problem(refused, 503)
            assert refused.headers["retry-after"] == "1"
            assert pay(client, ids[0]).status_code == 202
            assert client.get("/health").json()["rings"][0] == {"full": True, "refused": 1}
            for identity in ids:
                assert client.get(f"/payments/{identity}/status").json()["status"] == "queued"
            world.settle(0, 0)
            assert pay(client, new_id()).status_code == 202
            expect_problem(pay(client, new_id()), 503)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Engine]:
    """An engine whose first ring is full."""
    with engine(str(tmp_path)) as world:
        world.start()
        with world.client() as client:
            assert {pay(client, new_id()).status_code for _ in range(64)} == {202}
        yield world


def test_a_refusal_stays_open_for_longer_than_an_acceptance(full: Engine) -> None:
    with full.client() as client:
        began = time.monotonic()
        assert [pay(client, new_id()).status_code for _ in range(10)] == [503] * 10
        assert time.monotonic() - began >= 10 * (FULL_HELD_MS - 1) / 1000


def test_refusals_that_never_pause_do_not_put_each_other_off(full: Engine) -> None:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(100)]
        for connection in sockets:
            connection.connect(full.settings.host.api_socket(0))
            connection.settimeout(10)
            body = f'{{"correlationId":"{new_id()}","amount":1}}'
            connection.sendall(
                f"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            time.sleep(FULL_HELD_MS / 10_000)
        sockets[0].setblocking(False)
        assert sockets[0].recv(12) == b"HTTP/1.1 503", "the first was answered before the last came"


# --- purge -----------------------------------------------------------------------------------------------------------


def test_purging_needs_the_token_where_it_is_not_switched_on(world: Engine, client: httpx.Client) -> None:
    assert "ENGINE_ADMIN_TOKEN" in expect_problem(client.post("/purge-payments"), 403)["detail"]
    for token in ("", "wrong", TOKEN + "x"):
        expect_problem(client.post("/purge-payments", headers={"X-Engine-Token": token}), 403)
    with purging(world):
        assert client.post("/purge-payments", headers={"X-Engine-Token": TOKEN}).status_code == 200


def test_without_a_token_set_no_token_is_right(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        world.start()
        with world.client() as client:
            expect_problem(client.post("/purge-payments", headers={"X-Engine-Token": ""}), 403)
            expect_problem(client.post("/purge-payments", headers={"X-Engine-Token": "x"}), 403)


def test_a_purge_is_answered_when_the_dispatcher_has_done_it_and_wakes_it(tmp_path: Path) -> None:
    with engine(str(tmp_path), ENGINE_PURGE="1") as world:
        world.start()
        bell = os.open(world.settings.host.doorbell_path, os.O_RDWR | os.O_NONBLOCK)
        StatusBlock(world.books.words).asleep = 1
        with world.client() as client, purging(world):
            identity = new_id()
            pay(client, identity)
            assert client.post("/purge-payments", content=b"ignored").status_code == 200
            expect_problem(client.get(f"/payments/{identity}/status"), 404, "correlationId")
            assert pay(client, identity).status_code == 202
        assert os.read(bell, 100) == b"!!!"
        os.close(bell)


def test_a_purge_that_nobody_carries_out_is_503_in_the_end(tmp_path: Path) -> None:
    with engine(str(tmp_path), ENGINE_PURGE="1") as world:
        world.start()
        with world.client() as client:
            expect_problem(client.post("/purge-payments"), 503)


# --- starting and stopping -------------------------------------------------------------------------------------------


def test_sigterm_ends_the_process_in_good_order_within_a_second_and_a_half(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        process = world.start()
        with world.client() as client:
            pay(client, new_id())  # a connection that is kept alive and idle
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert time.monotonic() - began < 1.5


def test_a_request_that_is_under_way_at_sigterm_is_finished(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        process = world.start()
        identity = new_id()
        body = json.dumps({"correlationId": identity, "amount": 1}).encode()
        with connect(world) as connection:
            head = f"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:10])
            # The server has read it when it has read what came later on another connection.
            with world.client() as client:
                client.get("/healthcheck")
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: not can_connect(world), "the socket to close")
            connection.sendall(body[10:])
            answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 202")
        assert b"Connection: close" in answer
        assert process.wait(5) == 0
        assert world.rings[0].head == 1


def test_after_kill_9_and_a_new_start_every_accepted_payment_is_there(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        process = world.start()
        ids = [new_id() for _ in range(30)]
        with world.client() as client:
            assert {pay(client, identity).status_code for identity in ids} == {202}
        process.kill()
        process.wait()
        world.start()
        with world.client() as client:
            for identity in ids:
                assert client.get(f"/payments/{identity}/status").json()["status"] == "queued"
            assert {pay(client, identity).status_code for identity in ids} == {202}
            assert pay(client, new_id()).status_code == 202
        assert world.rings[0].head == 31


def test_a_payment_that_got_a_202_survives_kill_9_in_the_middle_of_the_load(tmp_path: Path) -> None:
    with engine(str(tmp_path), ENGINE_RING_SLOTS="16384") as world:
        process = world.start()
        accepted: list[str] = []

        def load() -> None:
            with world.client() as client:
                while True:
                    identity = new_id()
                    try:
                        status = pay(client, identity).status_code
                    except httpx.TransportError:
                        return
                    assert status == 202
                    accepted.append(identity)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(accepted) > 200, "some payments")
        process.kill()
        for thread in threads:
            thread.join()
        for identity in accepted:
            number = int(identity.replace("-", ""), 16)
            assert world.rings[0].find(number >> 64, number & (1 << 64) - 1) is not None


def test_a_second_process_for_the_same_ring_refuses_to_start(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        world.start()
        second = world.launch(0)
        _, stderr = second.communicate(timeout=10)
        assert second.returncode == 1
        assert "a ring has one writer" in stderr
        with world.client() as client:
            assert pay(client, new_id()).status_code == 202


@pytest.mark.parametrize(
    ("index", "environment", "message"),
    [
        (2, {}, "--index 2: must be 0 to 1"),
        (-1, {}, "--index -1: must be 0 to 1"),
        (0, {"ENGINE_UNKNOWN": "1"}, "ENGINE_UNKNOWN: unknown"),
        (0, {"ENGINE_PURGE": "yes"}, "ENGINE_PURGE='yes': must be 0 or 1"),
        (0, {"ENGINE_RING_SLOTS": "128"}, "ENGINE_RING_SLOTS says 128 and the memory has 64"),
    ],
)
def test_what_cannot_be_used_stops_the_start_with_a_clear_sentence(
    tmp_path: Path, index: int, environment: dict[str, str], message: str
) -> None:
    with engine(str(tmp_path)) as world:
        assert world.books.lock()  # a dispatcher is at work: the memory keeps its sizes
        process = world.launch(index, **environment)
        _, stderr = process.communicate(timeout=10)
        assert process.returncode == 2
        assert message in stderr
        assert "Traceback" not in stderr


def test_the_socket_lets_owner_and_group_connect(world: Engine) -> None:
    assert os.stat(world.settings.host.api_socket(0)).st_mode & 0o777 == 0o660


def connect(world: Engine, index: int = 0) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(world.settings.host.api_socket(index))
    return connection


def can_connect(world: Engine) -> bool:
    try:
        connect(world).close()
    except OSError:
        return False
    return True


def receive_status(connection: socket.socket) -> int:
    """The status of the next answer, which is read to the end of its headers and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(4096)
    return int(head.split()[1])


def test_a_trace_is_known_of_what_the_fast_path_gives_up_and_of_no_request_after_it(tmp_path: Path) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    # As nginx passes them on.
    traced = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "content-type": "application/json;traced"}
    plain = {"content-type": "application/json"}
    with engine(str(tmp_path)) as world:
        world.start()
        with world.client() as client:
            body = {"correlationId": new_id(), "amount": 1.5}
            accepted = client.post("/payments", json=body, headers=traced)
            assert accepted.status_code == 202 and "request-id" not in accepted.headers, "the fast path took it"
            other = body | {"amount": 2.5}
            refused = client.post("/payments", json=other, headers=traced)
            assert (
                (refused.status_code, refused.headers["request-id"])
                == (409, trace)
                == (409, refused.json()["requestId"])
            )
            made = {client.post("/payments", json=other, headers=plain).headers["request-id"] for _ in range(3)}
            assert len(made) == 3 and trace not in made
            for header in ("x" * 55, "00-" + "0" * 52, "", trace):
                invalid = client.post("/payments", json=other, headers=traced | {"traceparent": header})
                assert invalid.status_code == 409 and len(invalid.headers["request-id"]) == 32
                assert invalid.headers["request-id"] != header
            assert client.get("/health", headers=traced).headers["request-id"] == trace
