"""The protocol of the contest's processor: its paths, bodies and header, and what each of its answers means. Pure.

========================================  ==============  ==========================================================
answer to ``POST /payments``              verdict         why (CONTRACT 1)
========================================  ==============  ==========================================================
200 with CHARGED_MESSAGE                  CHARGED         the processor has inserted the payment and says so
422                                       ALREADY         it says that it has the id: a lookup confirms or contradicts
429                                       REJECTED        too many requests at once: not charged
500, 401, 403                             FAILED          its own words for its own state: not charged
400, 402, 404, 405, 413, 414, 415         REFUSED         not charged: it does not want this payment, or any payment
all else                                  UNKNOWN         502, 503, 504, 408 come from a gateway, which does not know
                                                          whether the processor has inserted; no known source sends
                                                          409, 202, 3xx or another 200
========================================  ==============  ==========================================================

A lookup (``GET /payments/{id}``) ends as FOUND (200 with all three fields, for this id), ABSENT (404: not there *yet*,
so no proof) or UNKNOWN (everything else: there is no answer that can be trusted).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import TypeGuard

import orjson

from engine.connectors.answers import (
    ABSENT,
    ALREADY,
    CENTS_MAX,
    CHARGED,
    FAILED,
    MIN_RESPONSE_MS_MAX,
    PPM,
    REFUSED,
    REJECTED,
    SUMMARY_MAX,
    UNKNOWN,
    Fee,
    Health,
    Outcome,
    Summary,
    found,
)
from engine.connectors.connector import Body, Connector, Request
from engine.correlation import format_id

ANSWERS_KEPT = 16  # different answers that are remembered
# The answer of the contest's processor when it has inserted a payment; its source says so, as it does for the table.
CHARGED_MESSAGE = "payment processed successfully"
PAYMENTS = Request("POST", "/payments", (("Content-Type", "application/json"),))
HEALTH = Request("GET", "/payments/service-health")
SUMMARY_PATH = "/admin/payments-summary"
# The summary of any window has the fee. An empty window costs the processor least.
FEE_PATH = f"{SUMMARY_PATH}?from=2000-01-01T00:00:00Z&to=2000-01-01T00:00:00Z"
TOKEN_HEADER = "X-Rinha-Token"
_REFUSALS = frozenset((400, 402, 404, 405, 413, 414, 415))
_STATES = frozenset((500, 401, 403))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def connector(token: str) -> Connector:
    """The connector of a processor that tells its fee and its sums to a client with ``token``."""
    return Connector(
        payments=PAYMENTS,
        payment_body=payment_body,
        lookup=lookup,
        health=HEALTH,
        fee=Request("GET", FEE_PATH, ((TOKEN_HEADER, token),)),
        summary=partial(summary, token),
        read_payment=read_payment,
        read_lookup=read_lookup,
        read_health=read_health,
        read_fee=read_fee,
        read_summary=read_summary,
    )


# --- requests --------------------------------------------------------------------------------------------------------


def payment_body(id_high: int, id_low: int, cents: int, requested_ms: int) -> bytes:
    """The JSON of a payment of ``cents``, requested at ``requested_ms`` (ms since 1970)."""
    name, moment = format_id(id_high, id_low), _timestamp(requested_ms)
    whole, part = divmod(cents, 100)
    return f'{{"correlationId":"{name}","amount":{whole}.{part:02d},"requestedAt":"{moment}"}}'.encode()


def lookup(id_high: int, id_low: int) -> Request:
    """Asks what the processor has stored for this id."""
    return Request("GET", f"/payments/{format_id(id_high, id_low)}")


def summary(token: str, from_ms: int, to_ms: int) -> Request:
    """Asks for the sums of a window. Its end is the last microsecond, for a processor may store finer times than ms."""
    begin, end = _timestamp(from_ms), _timestamp(to_ms).replace("Z", "999Z")
    return Request("GET", f"{SUMMARY_PATH}?from={begin}&to={end}", ((TOKEN_HEADER, token),))


@lru_cache(1)  # payments that are sent together have the same moment
def _timestamp(moment_ms: int) -> str:
    second, ms = divmod(moment_ms, 1000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


# --- answers ---------------------------------------------------------------------------------------------------------


def read_payment(status: int, body: Body) -> Outcome:
    """The outcome of ``POST /payments`` that was answered with ``status`` and ``body``."""
    if status == 200:
        return CHARGED if _says_charged(bytes(body)) else UNKNOWN
    if status == 422:
        return ALREADY
    if status == 429:
        return REJECTED
    if status in _STATES:
        return FAILED
    return REFUSED if status in _REFUSALS else UNKNOWN


def read_lookup(status: int, body: Body, id_high: int, id_low: int) -> Outcome:
    """The outcome of ``GET /payments/{id}`` for this id, answered with ``status`` and ``body``."""
    if status == 404:
        return ABSENT
    stored = _object(bytes(body).removeprefix(_BYTE_ORDER_MARK)) if status == 200 else None
    if stored is None:
        return UNKNOWN
    identity, amount, requested_at = stored.get("correlationId"), stored.get("amount"), stored.get("requestedAt")
    if not isinstance(identity, str) or identity.lower() != format_id(id_high, id_low):
        return UNKNOWN  # another payment's record: a mixed-up or cached answer
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not isinstance(requested_at, str):
        return UNKNOWN
    if not 0 < amount <= CENTS_MAX / 100:  # NaN does not pass either
        return UNKNOWN
    requested_ms = _moment_ms(requested_at)
    return UNKNOWN if requested_ms is None else found(requested_ms, round(amount * 100))


def read_health(processor: int, status: int, body: Body) -> Health | None:
    """The health in an answer of any status, because some processors answer 503 when they fail; None if there is none.

    A 429 says only that the query came too soon. A failing processor need not say how long it takes.
    """
    value = None if status == 429 else _object(body)
    if value is None:
        return None
    failing, min_response_ms = value.get("failing"), value.get("minResponseTime")
    if failing is True and "minResponseTime" not in value:
        min_response_ms = 0
    if not isinstance(failing, bool) or not _is_number(min_response_ms, MIN_RESPONSE_MS_MAX):
        return None
    return Health(processor, failing, round(min_response_ms))


def read_fee(processor: int, status: int, body: Body) -> Fee | None:
    """The fee in a processor's summary; None if the answer is no summary (with a wrong token, for example)."""
    value = _object(body) if status == 200 else None
    share = None if value is None else value.get("feePerTransaction")
    return Fee(processor, round(share * PPM)) if _is_number(share, 1) else None


def read_summary(status: int, body: Body) -> Summary | None:
    """What a processor says that it has charged in a window; None if the answer is no summary."""
    try:
        # Decimals: as floats, large sums would lose cents.
        value = json.loads(bytes(body), parse_float=Decimal, parse_constant=str) if status == 200 else None
    except (ValueError, ArithmeticError, RecursionError):
        return None
    payments, amount = (value.get("totalRequests"), value.get("totalAmount")) if isinstance(value, dict) else (0, None)
    if isinstance(payments, bool) or not isinstance(payments, int) or not 0 <= payments <= SUMMARY_MAX:
        return None
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal) or not 0 <= amount <= SUMMARY_MAX // 100:
        return None
    return Summary(payments, round(amount * 100))


@lru_cache(ANSWERS_KEPT)
def _says_charged(body: bytes) -> bool:
    """Whether a body says that the payment is charged. It is the same text each time, so it is parsed only once."""
    return _object(body.removeprefix(_BYTE_ORDER_MARK)) == {"message": CHARGED_MESSAGE}


def _moment_ms(text: str) -> int | None:
    """A moment in ISO 8601 as ms since 1970, in UTC if it has no offset; None if ``text`` is no moment."""
    try:
        moment = datetime.fromisoformat(text)
        elapsed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000


def _object(body: Body) -> dict[str, object] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _is_number(value: object, most: int) -> TypeGuard[int | float]:
    """Whether it is a number from 0 to ``most``, whole or not. JSON has no NaN, and the comparison would refuse it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
