"""The requests to the contest's processor, and what its answers mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.connectors import answers, rinha
from engine.connectors.answers import (
    CENTS_MAX,
    MIN_RESPONSE_MS_MAX,
    PPM,
    REQUESTED_MS_MAX,
    SUMMARY_MAX,
    Outcome,
    Summary,
    Verdict,
)

ID = 0x4A7901B87D264D9D, 0xAA194DC1C7CF60B3
NAME = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
OTHER = b"00000000-0000-4000-8000-00000000dead"
MINE = f'{{"correlationId":"{NAME}","amount"'.encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"message":"payment processed successfully"}', answers.CHARGED),
        (200, b'\xef\xbb\xbf{"message":"payment processed successfully"}', answers.CHARGED),
        (200, b'{"message":"declined"}', answers.UNKNOWN),
        (200, b'{"message":"payment processed successfully","error":"but"}', answers.UNKNOWN),
        (200, b'{"error":{"code":"declined"}}', answers.UNKNOWN),
        (200, b"{}", answers.UNKNOWN),
        (201, b'{"message":"payment processed successfully"}', answers.UNKNOWN),
        (202, b'{"status":"pending"}', answers.UNKNOWN),
        (200, b"", answers.UNKNOWN),
        (200, b"<html>welcome to the hotel's network</html>", answers.UNKNOWN),
        (200, b'"ok"', answers.UNKNOWN),
        (200, b'{"message":', answers.UNKNOWN),
        (422, b"", answers.ALREADY),
        (422, b"whatever", answers.ALREADY),
        (429, b"", answers.REJECTED),
        *((status, b"", answers.REFUSED) for status in (400, 402, 404, 405, 413, 414, 415)),
        *((status, b"", answers.FAILED) for status in (500, 401, 403)),
        *((status, b"<html>", answers.UNKNOWN) for status in (502, 503, 504, 408, 409, 410, 418, 501, 599)),
        (302, b"", answers.UNKNOWN),
        (0, b"", answers.UNKNOWN),
    ],
)
def test_an_answer_to_a_payment_means(status: int, body: bytes, expected: Outcome) -> None:
    assert rinha.read_payment(status, body) == expected


@pytest.mark.parametrize(
    ("amount", "requested_at", "expected"),
    [
        ("19.9", "2025-07-05T12:34:56.789Z", (1_751_718_896_789, 1990)),
        ("0.01", "2025-07-05T12:34:56Z", (1_751_718_896_000, 1)),
        ("1", "2025-07-05T12:34:56.7891234", (1_751_718_896_789, 100)),
        ("9345678901.23", "2025-07-05T14:34:56.789+02:00", (1_751_718_896_789, 934_567_890_123)),
    ],
)
def test_what_is_stored_is_read_to_the_cent_and_the_millisecond(
    amount: str, requested_at: str, expected: tuple[int, int]
) -> None:
    body = f'{{"correlationId":"{NAME}","amount":{amount},"requestedAt":"{requested_at}"}}'.encode()
    assert rinha.read_lookup(200, body, *ID) == Outcome(Verdict.FOUND, *expected)
    assert rinha.read_lookup(200, b"\xef\xbb\xbf" + body.replace(NAME.encode(), NAME.upper().encode()), *ID) == Outcome(
        Verdict.FOUND, *expected
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"[]"),
        (200, b'{"amount":1}'),
        (200, b'{"amount":"1","requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":true,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":1,"requestedAt":"yesterday"}'),
        (200, b'{"amount":1e400,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":-1,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":1e300,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":99999999999999999999999999,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":0.001,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (200, b'{"amount":1,"requestedAt":"9999-12-31T23:59:59Z"}'),
        (200, b'{"amount":1,"requestedAt":"0001-01-01T00:00:00+23:59"}'),
        (200, b'{"amount":1,"requestedAt":"2025-07-05T12:34:56Z","correlationId":"%s"}' % OTHER),
        (503, b'{"amount":1,"requestedAt":"2025-07-05T12:34:56Z"}'),
        (500, b""),
        (429, b""),
        (302, b""),
    ],
)
def test_a_lookup_without_a_clear_answer_leaves_the_payment_unknown(status: int, body: bytes) -> None:
    assert rinha.read_lookup(status, body.replace(b'{"amount"', MINE), *ID) == answers.UNKNOWN


def test_a_payment_that_is_not_there_is_only_not_there_yet() -> None:
    assert rinha.read_lookup(404, b"", *ID) == answers.ABSENT


def test_only_a_request_that_never_left_is_certainly_not_charged() -> None:
    assert answers.of_error(sent=False) == answers.FAILED
    assert answers.of_error(sent=True) == answers.UNKNOWN


# --- what it is asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cents", "requested_ms", "amount", "moment"),
    [
        (1990, 1_751_718_896_789, b"19.90", b"2025-07-05T12:34:56.789Z"),
        (5, 1_751_718_896_000, b"0.05", b"2025-07-05T12:34:56.000Z"),
        (10**12, REQUESTED_MS_MAX - 1, b"10000000000.00", b"2248-09-26T15:10:22.207Z"),
    ],
)
def test_a_payment_is_written_to_the_cent_and_the_millisecond(
    cents: int, requested_ms: int, amount: bytes, moment: bytes
) -> None:
    body = rinha.payment_body(*ID, cents, requested_ms)
    assert body == MINE + b":" + amount + b',"requestedAt":"' + moment + b'"}'


@given(st.integers(1, CENTS_MAX), st.integers(0, REQUESTED_MS_MAX - 1), st.integers(0, 2**64 - 1))
def test_what_is_sent_is_what_is_read_when_it_is_stored(cents: int, requested_ms: int, id_low: int) -> None:
    body = rinha.payment_body(ID[0], id_low, cents, requested_ms)
    assert rinha.read_lookup(200, body, ID[0], id_low) == Outcome(Verdict.FOUND, requested_ms, cents)


def test_the_token_goes_with_the_queries_for_fee_and_sums_alone() -> None:
    made = rinha.connector("a token")
    assert made.fee.headers == made.summary(0, 1).headers == (("X-Rinha-Token", "a token"),)
    assert [made.payments.headers, made.lookup(*ID).headers, made.health.headers] == [
        (("Content-Type", "application/json"),), (), (),
    ]  # fmt: skip
    assert made.lookup(*ID).path == f"/payments/{NAME}"


def test_a_window_ends_just_before_the_next_millisecond() -> None:
    assert rinha.connector("").summary(1_784_203_200_000, 1_784_203_200_999).path == (
        "/admin/payments-summary?from=2026-07-16T12:00:00.000Z&to=2026-07-16T12:00:00.999999Z"
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"totalRequests":2,"totalAmount":39.80,"totalFee":1.99,"feePerTransaction":0.05}', Summary(2, 3980)),
        (b'{"totalRequests":0,"totalAmount":0}', Summary(0, 0)),
        (b'{"totalRequests":1,"totalAmount":19.900000000000002}', Summary(1, 1990)),
        (b'{"totalRequests":5,"totalAmount":90071992547409.93}', Summary(5, 9007199254740993)),  # no float has it
        (b'{"totalRequests":1,"totalAmount":"19.90"}', None),
        (b'{"totalRequests":1.5,"totalAmount":19.90}', None),
        (b'{"totalRequests":true,"totalAmount":19.90}', None),
        (b'{"totalRequests":-1,"totalAmount":19.90}', None),
        (b'{"totalRequests":1,"totalAmount":NaN}', None),
        (b'{"totalRequests":1,"totalAmount":1e99999999999999999999}', None),
        (b'{"totalRequests":99999999999999999999,"totalAmount":1}', None),
        (b'{"totalRequests":1}', None), (b"[]", None), (b"", None), (b"[" * 65_000, None), (b"\xff", None),
    ],
)  # fmt: skip
def test_sums_are_read_exactly_or_not_at_all(body: bytes, found: Summary | None) -> None:
    assert rinha.read_summary(200, body) == found
    assert rinha.read_summary(401, body) is None


# --- whatever it says ------------------------------------------------------------------------------------------------

STATUSES = st.sampled_from((200, 404, 422, 429, 500, 503)) | st.integers(0, 999)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS: Any = st.fixed_dictionaries(
    {},
    optional={
        "message": st.just(rinha.CHARGED_MESSAGE) | VALUES,
        "correlationId": st.just(NAME) | VALUES,
        "amount": VALUES,
        "requestedAt": st.datetimes().map(lambda moment: moment.isoformat()) | VALUES,
        "failing": VALUES,
        "minResponseTime": VALUES,
        "feePerTransaction": VALUES,
        "totalRequests": st.integers(0, 9) | VALUES,
        "totalAmount": VALUES,
    },
)
BODIES = st.binary(max_size=300) | (VALUES | FIELDS).map(orjson.dumps)


@given(STATUSES, BODIES)
def test_no_answer_to_a_payment_raises_and_only_one_is_a_charge(status: int, body: bytes) -> None:
    verdict = rinha.read_payment(status, bytearray(body)).verdict
    assert verdict not in (Verdict.FOUND, Verdict.ABSENT)
    if verdict is Verdict.CHARGED:
        assert status == 200 and orjson.loads(body) == {"message": rinha.CHARGED_MESSAGE}


@given(STATUSES, BODIES)
def test_no_answer_to_a_lookup_raises_and_what_is_found_is_bounded(status: int, body: bytes) -> None:
    outcome = rinha.read_lookup(status, bytearray(body), *ID)
    assert outcome.verdict in (Verdict.FOUND, Verdict.ABSENT, Verdict.UNKNOWN)
    assert (outcome.verdict is Verdict.ABSENT) == (status == 404)
    if outcome.verdict is Verdict.FOUND:
        assert status == 200 and orjson.loads(body)["correlationId"] == NAME
        assert 0 < outcome.cents <= CENTS_MAX and 0 <= outcome.requested_ms < REQUESTED_MS_MAX
    else:
        assert outcome[1:] == (0, 0)


@given(STATUSES, BODIES)
def test_no_answer_to_a_query_raises_and_what_it_says_is_bounded(status: int, body: bytes) -> None:
    health, fee = rinha.read_health(1, status, bytearray(body)), rinha.read_fee(1, status, bytearray(body))
    summary = rinha.read_summary(status, bytearray(body))
    if summary is not None:
        assert status == 200 and 0 <= summary.payments <= SUMMARY_MAX and 0 <= summary.cents <= SUMMARY_MAX
    if health is not None:
        assert status != 429 and health.processor == 1 and isinstance(health.failing, bool)
        assert 0 <= health.min_response_ms <= MIN_RESPONSE_MS_MAX
    if fee is not None:
        assert status == 200 and fee.processor == 1 and 0 <= fee.ppm <= PPM


@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70))
def test_what_is_found_is_bounded_whichever_connector_says_so(requested_ms: int, cents: int) -> None:
    outcome = answers.found(requested_ms, cents)
    is_possible = 0 <= requested_ms < REQUESTED_MS_MAX and 0 < cents <= CENTS_MAX
    assert outcome == (Outcome(Verdict.FOUND, requested_ms, cents) if is_possible else answers.UNKNOWN)
