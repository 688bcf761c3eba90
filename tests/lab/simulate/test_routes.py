from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from engine.lab.simulate.behaviour import Processor, ProcessorSettings
from engine.lab.simulate.heard import Heard
from engine.lab.simulate.replies import Reply
from engine.lab.simulate.routes import LEFT_OUT_HEADER, NEXT_HEADER, PAGE_ROWS_MAX, Request, answer
from engine.metrics import times
from tests.lab.simulate.payments import NOON, NOON_MS, payment_body, payment_id


def new_processor(fee: str = "0.05") -> Processor[Any]:
    return Processor(ProcessorSettings("default", Decimal(fee)))


def ask(processor: Processor[Any], method: str, target: str, body: bytes = b"", token: str | None = "123") -> Reply:
    path, _, query = target.partition("?")
    return answer(processor, Request(method, path, query, token, body), 0)


def summary(processor: Processor[Any], query: str = "") -> dict[str, Any]:
    reply = ask(processor, "GET", "/admin/payments-summary?" + query)
    assert reply.status == 200
    fields: dict[str, Any] = json.loads(reply.body, parse_float=Decimal)
    return fields


def test_a_payment_is_shown_as_it_was_stored_and_404_before() -> None:
    processor = new_processor()
    assert ask(processor, "GET", f"/payments/{payment_id(1)}").status == 404
    processor.pay(None, payment_body(1, "10.005", "2025-07-15T14:00:00.1239+02:00"), 0)
    reply = ask(processor, "GET", f"/payments/{payment_id(1)}", token=None)
    assert reply.status == 200
    assert json.loads(reply.body) == {
        "correlationId": payment_id(1),
        "amount": 10.0,
        "requestedAt": "2025-07-15T12:00:00.123Z",
    }
    assert ask(processor, "GET", "/payments/7").status == 400


def test_a_summary_is_exact_to_the_cent_with_the_fee_of_the_sum() -> None:
    processor = new_processor("0.07")
    for number in range(1000):
        processor.pay(None, payment_body(number, "19.90"), 0)
    processor.pay(None, payment_body(1000, "9999999999999.99"), 0)
    assert summary(processor) == {
        "totalRequests": 1001,
        "totalAmount": Decimal("10000000019899.99"),
        "totalFee": Decimal("700000001393.00"),
        "feePerTransaction": Decimal("0.07"),
    }
    assert summary(new_processor())["totalAmount"] == 0


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 1),
        (f"from={NOON}&to={NOON}", 1),
        ("from=2025-07-15T12:00:00&to=2025-07-15T12:00:00", 1),
        ("from=2025-07-15T12:00:00.0000001Z", 1),
        ("from=2025-07-15T12:00:00.000001Z", 0),
        ("from=2025-07-15T12:00:00.001Z", 0),
        ("to=2025-07-15T12:00:00.000999Z", 1),
        ("to=2025-07-15T11:59:59.999999Z", 0),
        ("from=" + quote("2025-07-15T14:00:00+02:00"), 1),
        ("from=2025-07-15T14:00:00+02:00", 1),
        ("to=2025-07-15T09:00:00-03:00", 1),
        (f"from=2025-07-15T12:00:00.001Z&to={NOON}", 0),
    ],
)
def test_the_bounds_of_a_summary_are_inclusive_and_may_be_finer_than_ms(query: str, count: int) -> None:
    processor = new_processor()
    processor.pay(None, payment_body(1), 0)
    assert summary(processor, query)["totalRequests"] == count


@pytest.mark.parametrize("query", ["from=", "from=x", "to=2025-99-01"])
def test_a_bound_that_is_not_a_time_is_400(query: str) -> None:
    assert ask(new_processor(), "GET", "/admin/payments-summary?" + query).status == 400


@pytest.mark.parametrize("token", [None, "", "124"])
def test_nothing_administrative_is_done_without_the_token(token: str | None) -> None:
    processor = new_processor()
    processor.pay(None, payment_body(1), 0)
    assert ask(processor, "GET", "/admin/payments-summary", token=token).status == 401
    assert ask(processor, "POST", "/admin/purge-payments", token=token).status == 401
    assert len(processor.store) == 1


def test_the_token_can_be_changed() -> None:
    processor = new_processor()
    assert ask(processor, "PUT", "/admin/configurations/token", b'{"token":"other"}').status == 200
    assert ask(processor, "GET", "/admin/stats").status == 401
    assert ask(processor, "GET", "/admin/stats", token="other").status == 200


def test_delay_and_failure_are_what_health_reports() -> None:
    processor = new_processor()
    assert ask(processor, "PUT", "/admin/configurations/delay", b'{"delay":1500}').status == 200
    assert ask(processor, "PUT", "/admin/configurations/failure", b'{"failure":true}').status == 200
    health = ask(processor, "GET", "/payments/service-health", token=None)
    assert json.loads(health.body) == {"failing": True, "minResponseTime": 1500}


@pytest.mark.parametrize(
    ("knob", "body"),
    [
        ("delay", b'{"delay":-1}'),
        ("delay", b'{"delay":1.5}'),
        ("delay", b'{"delay":true}'),
        ("delay", b"{}"),
        ("failure", b'{"failure":1}'),
        ("token", b'{"token":""}'),
        ("faults", b"[]"),
        ("delay", b"not json"),
    ],
)
def test_a_knob_refuses_what_it_cannot_be(knob: str, body: bytes) -> None:
    assert ask(new_processor(), "PUT", f"/admin/configurations/{knob}", body).status == 400


def test_faults_are_shown_as_configured_and_as_done() -> None:
    processor = new_processor()
    body = b'{"next":{"nonsense":2},"probability":{"reject":0.0},"seed":5,"hang_ms":7,"late_ms":8}'
    assert ask(processor, "PUT", "/admin/configurations/faults", body).status == 200
    processor.pay(None, payment_body(1), 0)
    assert json.loads(ask(processor, "GET", "/admin/faults").body) == {
        "configured": {
            "next": {"nonsense": 1},
            "probability": {"reject": 0.0},
            "seed": 5,
            "hang_ms": 7,
            "late_ms": 8,
        },
        "done": {"nonsense": 1},
    }
    ask(processor, "PUT", "/admin/configurations/faults", b"{}")
    assert json.loads(ask(processor, "GET", "/admin/faults").body)["configured"] == {}


def test_a_list_says_where_it_goes_on_until_it_ends() -> None:
    processor = new_processor()
    for number in range(5):
        processor.pay(None, payment_body(number), 0)
    first = ask(processor, "GET", "/admin/payments?limit=3")
    assert first.headers == ((NEXT_HEADER, b"3"),)
    rest = ask(processor, "GET", "/admin/payments?limit=3&after=3")
    assert rest.headers == ()
    lines = (first.body + rest.body).splitlines()
    assert [json.loads(line)["correlationId"] for line in lines] == [payment_id(n) for n in range(5)]
    ids = ask(processor, "GET", "/admin/payments/ids?after=1")
    assert ids.body.decode().split() == [payment_id(n).replace("-", "") for n in range(1, 5)]
    assert ask(processor, "GET", "/admin/payments?after=99").body == b""


@pytest.mark.parametrize("query", ["after=-1", "limit=0", f"limit={PAGE_ROWS_MAX + 1}", "after=x"])
def test_a_page_that_cannot_be_is_400(query: str) -> None:
    assert ask(new_processor(), "GET", "/admin/payments?" + query).status == 400


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/payments", b"POST"),
        ("DELETE", "/payments/x", b"GET"),
        ("POST", "/payments/service-health", b"GET"),
        ("GET", "/admin/purge-payments", b"POST"),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(method: str, path: str, allow: bytes) -> None:
    reply = ask(new_processor(), method, path)
    assert (reply.status, reply.headers) == (405, ((b"Allow", allow),))


@pytest.mark.parametrize("path", ["/", "/nothing", "/admin/nothing"])
def test_what_is_not_there_is_404(path: str) -> None:
    assert ask(new_processor(), "GET", path).status == 404


def test_each_request_and_lookup_is_logged_up_to_a_bound_and_the_rest_is_counted() -> None:
    processor = Processor[Any](ProcessorSettings("default", Decimal("0.05")), heard=Heard(3, epoch_us=NOON_MS * 1000))
    processor.pay(None, payment_body(1), 2_000_999)
    processor.pay(None, b"{}", 0)
    answer(processor, Request("GET", f"/payments/{payment_id(2)}", "", None, b""), 5_000)
    processor.pay(None, payment_body(1), 6_000)
    processor.pay(None, payment_body(3), 7_000)
    first = ask(processor, "GET", "/admin/requests?limit=2")
    key = payment_id(1).replace("-", "")
    assert first.body.decode().splitlines() == [
        f"{key} {NOON_MS + 2000} r",
        f"{payment_id(2).replace('-', '')} {NOON_MS + 5} l",
    ]
    assert dict(first.headers) == {NEXT_HEADER: b"2", LEFT_OUT_HEADER: b"1"}
    last = ask(processor, "GET", "/admin/requests?after=2")
    assert (last.body.decode(), dict(last.headers)) == (f"{key} {NOON_MS + 6} r\n", {LEFT_OUT_HEADER: b"1"})
    assert ask(processor, "GET", "/admin/requests", token=None).status == 401
    processor.purge()
    assert ask(processor, "GET", "/admin/requests").body == b""


def test_a_processor_that_was_not_asked_to_logs_no_request() -> None:
    processor = new_processor()
    processor.pay(None, payment_body(1), 0)
    assert ask(processor, "GET", "/admin/requests").body == b""


def test_how_long_payments_took_is_told_from_arrival_to_end_until_a_purge() -> None:
    processor = new_processor()
    processor.pay(None, payment_body(1), 0)
    processor.delay_ms = 100
    for number in (2, 3):
        processor.pay(None, payment_body(number), 1_000)
    processor.due(101_500)

    def took() -> list[int]:
        told: list[int] = json.loads(ask(processor, "GET", "/admin/times").body)["took_us"]
        return told

    assert took()[times.bucket(0)] == 1 and took()[times.bucket(100_500)] == 2
    assert (sum(took()[:-1]), took()[-1]) == (3, 201_000)
    assert ask(processor, "GET", "/admin/times", token=None).status == 401
    processor.purge()
    assert sum(took()) == 0
