from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.lab.simulate.wire import (
    AMOUNT_CENTS_MAX,
    BadRequestError,
    format_cents,
    format_instant,
    format_key,
    parse_amount,
    parse_instant_us,
    parse_key,
    parse_payment,
)
from tests.lab.simulate.payments import NOON_MS, payment_body, payment_id


def test_a_payment_is_read_as_key_cents_and_ms() -> None:
    payment = parse_payment(payment_body(7, 19.9))
    assert payment == (uuid.UUID(int=7).bytes, 1990, NOON_MS)


@given(st.integers(min_value=1, max_value=AMOUNT_CENTS_MAX))
def test_every_whole_number_of_cents_is_read_exactly(cents: int) -> None:
    assert parse_amount(float(format_cents(cents))) == cents


@pytest.mark.parametrize(
    ("amount", "cents"),
    [(1, 100), (0.1, 10), (2.674, 267), (2.676, 268), (2.675, 268), (2.665, 266), (1.005, 100), (0.0051, 1)],
)
def test_amounts_are_rounded_to_two_places_and_ties_to_the_even_cent(amount: float, cents: int) -> None:
    assert parse_amount(amount) == cents


@pytest.mark.parametrize("amount", [0, -1, 0.001, -0.01, True, None, "19.90", [], 1e300, float("nan")])
def test_what_is_not_a_positive_amount_is_refused(amount: object) -> None:
    with pytest.raises(BadRequestError, match="amount"):
        parse_amount(amount)


@given(st.uuids())
def test_an_id_is_read_in_either_case_and_written_in_lower_case(identity: uuid.UUID) -> None:
    assert parse_key(str(identity).upper()) == identity.bytes
    assert format_key(identity.bytes) == str(identity)


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        payment_id(1)[:-1],
        payment_id(1).replace("-", ""),
        payment_id(1)[:-1] + "g",
        payment_id(1)[:-2] + "  ",
        "{" + payment_id(1)[1:-1] + "}",
    ],
)
def test_what_is_not_a_uuid_is_refused(text: object) -> None:
    with pytest.raises(BadRequestError, match="correlationId"):
        parse_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "2025-07-15T12:00:00Z",
        "2025-07-15T12:00:00.000Z",
        "2025-07-15T12:00:00",
        "2025-07-15T09:00:00.000000-03:00",
        "2025-07-15T14:00:00.0000000+02:00",
    ],
)
def test_a_time_may_have_z_an_offset_or_none_and_any_number_of_digits(text: str) -> None:
    assert parse_instant_us(text, "from") == NOON_MS * 1000


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1)),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_a_time_is_kept_to_the_ms(moment: datetime, offset_minutes: int) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    stored = format_instant(parse_instant_us(there.isoformat(), "requestedAt") // 1000)
    assert stored.endswith("Z")
    lost = there.astimezone(UTC) - datetime.fromisoformat(stored)
    assert timedelta(0) <= lost < timedelta(milliseconds=1)


@pytest.mark.parametrize("text", [None, 5, "", "now", "2025-13-01T00:00:00Z", "1752580800000"])
def test_what_is_not_a_time_is_refused_by_name(text: object) -> None:
    with pytest.raises(BadRequestError, match="requestedAt"):
        parse_instant_us(text, "requestedAt")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b"\xff", payment_body(1, requested_at="1969-12-31T23:59:59Z")]
)
def test_what_is_not_a_payment_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_payment(body)
