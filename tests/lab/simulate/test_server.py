"""The promises over real sockets, by the real command."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from engine.lab.services.processor import Charged, Processor
from engine.lab.services.service import ServiceError
from engine.lab.simulate.server import BODY_BYTES_MAX
from engine.lab.simulate.wire import parse_key
from tests.lab.simulate.payments import NOON, payment_body, payment_id
from tests.lab.simulate.processes import Processors, processors

WAIT_SECONDS_MAX = 5.0


@pytest.fixture(scope="module")
def running() -> Iterator[Processors]:
    with processors(["--handled-max", "3", "--waiting-max", "2", "--health-window-ms", "300"]) as started:
        yield started


@pytest.fixture
def pair(running: Processors) -> Iterator[Processors]:
    running.reset()
    yield running
    wait_until(lambda: running.default.stats()["in_flight"] == 0)


@pytest.fixture
def default(pair: Processors) -> Processor:
    return pair.default


def pay(processor: Processor, number: int, amount: float | str = 19.9, requested_at: str = NOON) -> int:
    return processor.request("POST", "/payments", payment_body(number, amount, requested_at))[0]


def connect(processor: Processor) -> socket.socket:
    parts = urlsplit(processor.base_url)
    assert parts.hostname is not None and parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=WAIT_SECONDS_MAX)


def raw_payment(body: bytes) -> bytes:
    return b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def test_a_payment_is_charged_shown_and_summed(default: Processor) -> None:
    assert pay(default, 1, "19.90") == 200
    status, headers, body = default.request("GET", f"/payments/{payment_id(1)}")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"correlationId": payment_id(1), "amount": 19.9, "requestedAt": NOON}
    summary = default.summary((NOON, NOON))
    assert (summary.count, summary.cents, summary.fee_cents) == (1, 1990, 100)
    assert str(summary.fee) == "0.05"


def test_the_two_have_their_own_fees_and_books(pair: Processors) -> None:
    assert pay(pair.fallback, 1) == 200
    assert str(pair.fallback.summary().fee) == "0.15"
    assert pair.default.summary().count == 0
    assert pay(pair.default, 2) == 200
    assert pair.charged_twice() == set()
    assert pay(pair.default, 1) == 200
    assert pair.charged_twice() == {parse_key(payment_id(1))}


def test_a_duplicate_is_422_and_a_bad_payment_400(default: Processor) -> None:
    assert pay(default, 1) == 200
    assert pay(default, 1) == 422
    assert pay(default, 2, '"much"') == 400
    assert pay(default, 2, requested_at="soon") == 400
    assert default.request("POST", "/payments", b"{")[0] == 400
    assert default.request("POST", "/payments")[0] == 400
    assert default.stats() | {"inserted": 1, "duplicate": 1, "bad_request": 4} == default.stats()


def test_the_configured_delay_is_kept_to_a_few_ms(default: Processor) -> None:
    default.set_delay(60)
    waits_ms = []
    for number in range(8):
        started = time.perf_counter()
        assert pay(default, number) == 200
        waits_ms.append((time.perf_counter() - started) * 1000)
    assert min(waits_ms) >= 60
    assert min(waits_ms) < 63  # the best of them: others share these cores


def test_the_insert_happens_though_the_caller_has_hung_up(default: Processor) -> None:
    default.set_delay(150)
    with connect(default) as caller:
        caller.sendall(raw_payment(payment_body(1)))
        wait_until(lambda: default.stats()["in_flight"] == 1)
    assert default.request("GET", f"/payments/{payment_id(1)}")[0] == 404
    wait_until(lambda: default.request("GET", f"/payments/{payment_id(1)}")[0] == 200)


def test_a_caller_that_hangs_up_within_the_body_is_forgotten(default: Processor) -> None:
    with connect(default) as caller:
        caller.sendall(raw_payment(payment_body(1))[:-10])
    assert pay(default, 2) == 200
    assert [charged.correlation_id for charged in default.charged()] == [payment_id(2)]


def test_a_body_may_come_in_pieces_however_much_happens_between_them(default: Processor) -> None:
    raw = raw_payment(payment_body(1))
    head = raw.index(b"\r\n\r\n") + 4
    with connect(default) as caller:
        for piece in (raw[:head], raw[head : head + 20], raw[head + 20 :]):
            caller.sendall(piece)
            for number in range(300):  # enough for the garbage collector to run in the processor
                default.request("GET", f"/payments/{payment_id(number + 1000)}")
        assert caller.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_too_large_is_413(default: Processor) -> None:
    assert default.request("POST", "/payments", b" " * (BODY_BYTES_MAX + 1))[0] == 413


def test_beyond_the_limits_it_is_429_at_once_and_the_waiting_are_served(default: Processor) -> None:
    default.set_delay(300)
    with ThreadPoolExecutor(8) as pool:
        paying = [pool.submit(pay, default, number) for number in range(5)]
        wait_until(lambda: default.stats()["waiting"] == 2)
        started = time.monotonic()
        assert pay(default, 5) == 429
        assert time.monotonic() - started < 0.2
        assert default.request("GET", f"/payments/{payment_id(0)}")[0] == 404  # only payments are limited
        assert [future.result() for future in paying] == [200] * 5
    stats = default.stats()
    assert (stats["rejected"], stats["in_flight_max"], stats["waiting_max"]) == (1, 3, 2)


def test_health_is_answered_once_in_a_window_for_each_processor(pair: Processors) -> None:
    pair.default.set_delay(20)
    pair.default.set_failing(True)

    def health(processor: Processor) -> tuple[int, bytes]:
        status, _, body = processor.request("GET", "/payments/service-health")
        return status, body

    assert health(pair.default) == (200, b'{"failing":true,"minResponseTime":20}')
    assert health(pair.default)[0] == 429
    assert health(pair.fallback)[0] == 200
    wait_until(lambda: health(pair.default)[0] == 200)


def test_failing_is_500_and_charges_nothing(default: Processor) -> None:
    default.set_failing(True)
    assert pay(default, 1) == 500
    default.set_failing(False)
    assert list(default.charged()) == []


@pytest.mark.parametrize("is_charged", [False, True])
@pytest.mark.parametrize("delay_ms", [0, 10])
def test_a_reset_is_a_real_one(default: Processor, delay_ms: int, is_charged: bool) -> None:
    default.set_delay(delay_ms)
    default.set_faults({"reset_after_insert" if is_charged else "reset_before_insert": 1})
    with pytest.raises(ConnectionResetError):
        pay(default, 1)
    assert default.summary().count == is_charged
    assert pay(default, 1) == (422 if is_charged else 200)


def test_a_hang_is_silent_and_then_closed(default: Processor) -> None:
    default.set_faults({"hang_after_insert": 1}, hang_ms=200)
    started = time.monotonic()
    with pytest.raises(http.client.RemoteDisconnected):
        pay(default, 1)
    assert time.monotonic() - started >= 0.2
    assert default.summary().count == 1


def test_a_late_insert_is_not_there_when_it_is_asked_for_and_comes_all_the_same(
    default: Processor,
) -> None:
    default.set_faults({"late_insert": 1}, late_ms=200)
    with connect(default) as caller:
        caller.sendall(raw_payment(payment_body(1)))
        wait_until(lambda: default.stats()["in_flight"] == 1)
    assert default.summary().count == 0
    wait_until(lambda: default.summary().count == 1)


def test_nonsense_and_errors_after_the_insert_and_429_come_on_demand(default: Processor) -> None:
    default.set_faults({"nonsense": 1, "nonsense_html": 1, "error_after_insert": 1})
    for expected, content_type in [(200, "application/json"), (200, "text/html"), (500, "application/json")]:
        number = default.summary().count
        status, headers, body = default.request("POST", "/payments", payment_body(number))
        assert (status, headers["Content-Type"]) == (expected, content_type)
        if status == 200:
            with pytest.raises(ValueError):
                json.loads(body)
    assert default.summary().count == 3
    assert default.faults_done() == {"nonsense": 1, "nonsense_html": 1, "error_after_insert": 1}
    default.set_faults(probabilities={"reject": 1.0}, seed=4)
    assert pay(default, 9) == 429
    default.clear_faults()
    assert pay(default, 9) == 200


def test_everything_charged_can_be_listed(default: Processor) -> None:
    assert [pay(default, number, "0.35") for number in range(20)] == [200] * 20
    assert list(default.charged()) == [Charged(payment_id(number), 35, NOON) for number in range(20)]
    assert list(default.charged_keys()) == [parse_key(payment_id(number)) for number in range(20)]


def test_a_wrong_token_is_an_error_for_the_client(default: Processor) -> None:
    stranger = Processor("stranger", default.base_url, token="wrong")
    with pytest.raises(ServiceError, match="401"):
        stranger.summary()
    with pytest.raises(ServiceError, match="401"):
        stranger.purge()
    default.set_token("changed")
    assert default.summary().count == 0
    default.set_token("123")


def test_many_callers_at_once_lose_nothing(pair: Processors) -> None:
    payments_each = 200

    def caller(first: int) -> None:
        parts = urlsplit(pair.fallback.base_url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=WAIT_SECONDS_MAX)
        for number in range(first, first + payments_each):
            connection.request("POST", "/payments", payment_body(number, "19.90"))
            response = connection.getresponse()
            response.read()
            assert response.status == 200
        connection.close()

    callers = [threading.Thread(target=caller, args=(number * payments_each,)) for number in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    summary = pair.fallback.summary()
    assert (summary.count, summary.cents) == (8 * payments_each, 8 * payments_each * 1990)
    assert len(set(pair.fallback.charged_keys())) == 8 * payments_each
