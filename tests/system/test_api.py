"""What the whole engine promises its clients, asked through nginx and of each API process."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import Answer, Client, Payment, client, new_payments, wait_until

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with processes.processors() as simulated, running.engine(simulated) as engine:
        yield World(engine, simulated)


@pytest.fixture(autouse=True)
def _empty(world: World) -> None:
    world.empty()


@pytest.fixture
def shop(world: World) -> Iterator[Client]:
    with client(world.engine.port) as through_nginx:
        yield through_nginx


@pytest.fixture
def apis(world: World) -> Iterator[list[Client]]:
    with client(world.engine.place.api_socket(0)) as first, client(world.engine.place.api_socket(1)) as second:
        yield [first, second]


def check_problem(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]


def are_failing(shop: Client) -> list[bool]:
    processors = shop.request("GET", "/health").json()["processors"]
    return [processors[name]["failing"] for name in ("default", "fallback")]


def test_a_payment_is_accepted_and_its_status_is_true_on_every_api_process(
    world: World, shop: Client, apis: list[Client]
) -> None:
    world.processors.default.set_failing(True)
    world.processors.fallback.set_failing(True)
    (payment,) = new_payments(1, lambda _: 123_456)
    answer = shop.pay(payment)
    assert (answer.status, answer.body) == (202, b"")
    for api in apis:
        told = api.status(payment)
        assert told.status == 200
        assert told.json()["status"] in ("queued", "processing")
    world.processors.default.set_failing(False)
    wait_until(lambda: shop.status(payment).json()["status"] == "completed", 10, "completed")
    (charged,) = world.processors.default.charged()
    assert charged.correlation_id == payment.correlation_id
    for api in [*apis, shop]:
        told = api.status(payment).json()
        assert (told["processor"], told["requestedAt"]) == ("default", charged.requested_at)
        assert told["amount"] * 100 == payment.cents
        assert told["acceptedAt"] <= told["requestedAt"] <= told["settledAt"]
    world.check_settled_once([payment])


def test_what_was_accepted_is_known_everywhere_from_the_moment_of_the_202(world: World, apis: list[Client]) -> None:
    payments = new_payments(100)
    for number, payment in enumerate(payments):
        assert apis[number % 2].pay(payment).status == 202
        assert apis[1 - number % 2].status(payment).status == 200
    world.check_settled_once(payments)


def test_amounts_reach_the_processors_and_the_summary_to_the_cent(world: World, shop: Client) -> None:
    payments = new_payments(300, lambda number: [1, 7, 10, 101, 1990, 999_999_999, 99_456_789_012][number % 7] + number)
    assert {shop.pay(payment).status for payment in payments} == {202}
    world.check_settled_once(payments)


def test_the_same_payment_again_is_accepted_and_charged_once(world: World, shop: Client, apis: list[Client]) -> None:
    (payment,) = new_payments(1)
    assert [to.pay(payment).status for to in (shop, *apis, shop)] == [202] * 4
    world.check_settled_once([payment])
    assert [to.pay(payment).status for to in (shop, *apis)] == [202] * 3
    world.check_settled_once([payment])


def test_the_same_correlation_id_with_another_amount_is_a_conflict(
    world: World, shop: Client, apis: list[Client]
) -> None:
    (payment,) = new_payments(1)
    assert apis[0].pay(payment).status == 202
    for to in (shop, *apis):
        check_problem(to.pay(payment._replace(cents=payment.cents + 1)), 409)
    world.check_settled_once([payment])


def test_a_correlation_id_that_comes_to_both_api_processes_at_once_is_charged_once(world: World) -> None:
    payments = new_payments(200)
    both = threading.Barrier(2)

    def pay(index: int) -> list[tuple[int, int]]:
        """Each pays the odd ones for the same amount, the even ones for an amount of its own."""
        statuses = []
        with client(world.engine.place.api_socket(index)) as api:
            for number, (correlation_id, cents) in enumerate(payments):
                both.wait(20)
                payment = Payment(correlation_id, cents if number % 2 else cents + index)
                statuses.append((api.pay(payment).status, payment.cents))
        return statuses

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(pay, (0, 1))
    accepted = []
    for number, (payment, one, other) in enumerate(zip(payments, first, second, strict=True)):
        statuses = sorted((one[0], other[0]))
        assert statuses == ([202, 202] if number % 2 else [202, 409])
        accepted.append(payment._replace(cents=one[1] if one[0] == 202 else other[1]))
    world.check_settled_once(accepted)


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("GET", "/payments-summary", b"", "", 200),
        ("GET", "/payments-summary?from=2020-01-01T00:00:00.000Z&to=2020-01-02T00:00:00Z", b"", "", 200),
        ("GET", "/payments-summary?from=&to=", b"", "", 200),
        ("GET", "/payments-summary?to=2030-01-01T00:00:00.123456%2B02:00", b"", "", 200),
        ("GET", "/payments-summary?from=yesterday", b"", "", 400),
        ("POST", "/payments-summary", b"", "", 405),
        ("GET", "/health", b"", "", 200),
        ("GET", "/healthcheck", b"", "", 200),
        ("DELETE", "/health", b"", "", 405),
        ("GET", f"/payments/{UNKNOWN_ID}/status", b"", "", 404),
        ("GET", "/payments/nonsense/status", b"", "", 400),
        ("GET", "/payments", b"", "", 405),
        ("GET", "/purge-payments", b"", "", 405),
        ("GET", "/", b"", "", 404),
        ("GET", "/admin", b"", "", 404),
        ("POST", "/payments", b"{", "application/json", 400),
        ("POST", "/payments", b"[]", "application/json", 400),
        ("POST", "/payments", b'{"correlationId": "x", "amount": 1}', "application/json", 400),
        ("POST", "/payments", f'{{"correlationId": "{UNKNOWN_ID}"}}'.encode(), "application/json", 400),
        ("POST", "/payments", f'{{"correlationId": "{UNKNOWN_ID}", "amount": 1.999}}'.encode(), "", 400),
        ("POST", "/payments", f'{{"correlationId": "{UNKNOWN_ID}", "amount": -1}}'.encode(), "", 400),
        ("POST", "/payments", f'{{"correlationId": "{UNKNOWN_ID}", "amount": 1}}'.encode(), "text/plain", 415),
        ("POST", "/payments", b" " * 5000, "application/json", 413),  # the API process' limit
        ("POST", "/payments", b" " * 9000, "application/json", 413),  # nginx's own
        ("GET", "/" + "x" * 6000, b"", "", 414),
    ],
)
def test_every_route_answers_through_nginx_and_every_error_is_a_problem(
    shop: Client, method: str, path: str, body: bytes, content_type: str, status: int
) -> None:
    answer = shop.request(method, path, body, {"Content-Type": content_type} if content_type else {})
    if status >= 400:
        check_problem(answer, status)
    assert answer.status == status
    assert ("Allow" in answer.headers) == (status == 405)
    assert shop.summary().count == 0


def test_what_is_no_http_gets_a_problem_too(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.engine.port), 5) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: e\r\nContent-Length: nonsense\r\n\r\n")
        said = b"".join(iter(lambda: raw.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: application/problem+json" in said


def test_health_tells_how_processors_and_queues_are(world: World, shop: Client) -> None:
    world.processors.default.set_failing(True)
    world.processors.fallback.set_failing(True)
    payments = new_payments(5)
    assert {shop.pay(payment).status for payment in payments} == {202}
    health = shop.request("GET", "/health").json()
    assert health["queues"]["pending"] == len(payments)
    assert health["queues"]["failed"] == 0
    assert set(health["processors"]) == {"default", "fallback"}
    assert health["dispatcher"]["alive"]
    wait_until(lambda: all(are_failing(shop)), 15, "both health queries")
    assert shop.request("GET", "/health").json()["status"] == "degraded"
    world.processors.default.set_failing(False)
    world.processors.fallback.set_failing(False)
    world.check_settled_once(payments)


def test_purge_forgets_everything_everywhere(world: World, shop: Client, apis: list[Client]) -> None:
    settled = new_payments(20)
    assert {shop.pay(payment).status for payment in settled} == {202}
    world.check_settled_once(settled)
    world.processors.default.set_failing(True)
    world.processors.fallback.set_failing(True)
    pending = new_payments(20)
    assert {shop.pay(payment).status for payment in pending} == {202}
    assert shop.request("POST", "/purge-payments").status == 200
    for to in (shop, *apis):
        assert {to.status(payment).status for payment in (*settled, *pending)} == {404}
        assert (to.summary().count, to.pending()) == (0, 0)
    world.processors.reset()
    assert {shop.pay(payment).status for payment in settled} == {202}
    world.check_settled_once(settled)


def test_nginx_says_itself_that_no_api_process_is_there(world: World, shop: Client) -> None:
    (payment,) = new_payments(1)
    engine = world.engine
    with engine.standing_still("up"):  # so that it does not start them again at once
        for name in ("api 0", "api 1"):
            engine.send_signal(name, signal.SIGKILL)
        wait_until(lambda: shop.request("GET", "/healthcheck").status == 503, 5, "they are gone")
        for answer in (shop.pay(payment), shop.status(payment), shop.request("GET", "/payments-summary")):
            check_problem(answer, 503)
            assert answer.headers["Retry-After"] == "1"
    engine.wait_until_it_answers()
    wait_until(lambda: shop.pay(payment).status == 202, 5, "the same payment is accepted now")
    world.check_settled_once([payment])


def test_nginx_says_itself_that_no_api_process_answers_in_time(world: World, shop: Client) -> None:
    (payment,) = new_payments(1)
    with world.engine.standing_still("up", "api 0", "api 1"):  # so that it does not start them again
        answer = shop.pay(payment)
        check_problem(answer, 504)
        assert answer.headers["Retry-After"] == "1"
    wait_until(lambda: shop.pay(payment).status == 202, 5, "the same payment is accepted now")
    world.check_settled_once([payment])
