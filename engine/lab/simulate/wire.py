"""The values of the processors' API as text, and as the integers that are stored: ids, amounts, instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

import orjson

KEY_BYTES = 16
AMOUNT_CENTS_MAX = 10**15  # below 2**53, so that every amount that is allowed is exact in a JSON number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_MS = timedelta(milliseconds=1)
_ONE_US = timedelta(microseconds=1)
_CENT = Decimal("0.01")


class BadRequestError(Exception):
    """A request that is answered with 400; its text says why, for the caller to read."""


class Payment(NamedTuple):
    """One payment as it was asked for: the id's 16 bytes, integer cents, and UTC ms since 1970."""

    key: bytes
    amount_cents: int
    requested_at_ms: int


def parse_payment(body: bytes) -> Payment:
    """Reads the body of ``POST /payments``. Raises `BadRequestError` for anything that is not a payment."""
    fields = parse_object(body)
    requested_at_ms = parse_instant_us(fields.get("requestedAt"), "requestedAt") // 1000
    if requested_at_ms < 0:
        raise BadRequestError("requestedAt lies before 1970")
    key = parse_key(fields.get("correlationId"))
    return Payment(key, parse_amount(fields.get("amount")), requested_at_ms)


def parse_object(body: bytes) -> dict[str, object]:
    """The JSON object in ``body``. Raises `BadRequestError` when there is none."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequestError("the body is not JSON") from None
    if type(fields) is not dict:
        raise BadRequestError("the body is not a JSON object")
    return fields


def parse_key(text: object) -> bytes:
    """The 16 bytes of a UUID written as 8-4-4-4-12 hex digits in either case; raises `BadRequestError`."""
    if type(text) is str and len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        try:
            key = bytes.fromhex(text.replace("-", ""))
        except ValueError:
            key = b""
        if len(key) == KEY_BYTES:  # fromhex skips blanks, which would make it shorter
            return key
    raise BadRequestError("correlationId is not a UUID")


def format_key(key: bytes) -> str:
    """The UUID with these 16 bytes, in lower case with hyphens."""
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_amount(amount: object) -> int:
    """A positive JSON number as cents, rounded to the nearest, a tie to the even one; raises
    `BadRequestError`."""
    if (type(amount) is float or type(amount) is int) and 0 < amount <= AMOUNT_CENTS_MAX // 100:
        cents = round(amount * 100)
        if cents / 100 != amount:  # more than two places: binary arithmetic would decide a tie by accident
            cents = int(Decimal(repr(amount)).quantize(_CENT, ROUND_HALF_EVEN) * 100)
        if cents > 0:
            return cents
    raise BadRequestError("amount is not a positive number within range")


def format_cents(cents: int) -> str:
    """Cents as a JSON number with exactly two decimal places."""
    return f"{cents // 100}.{cents % 100:02d}"


def parse_instant_us(text: object, name: str) -> int:
    """ISO-8601 as UTC µs since 1970; ``Z``, an offset, or none for UTC. Digits beyond the µs are dropped.

    Raises `BadRequestError`, which calls the value ``name``.
    """
    if type(text) is str:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _ONE_US
    raise BadRequestError(f"{name} is not an ISO-8601 time")


def format_instant(ms: int) -> str:
    """UTC ms since 1970 as ISO-8601 with ms and ``Z``."""
    return (_EPOCH + ms * _ONE_MS).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
