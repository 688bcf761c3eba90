"""What an attempt can end with, and what each end means: charged, not charged, or unknown. Pure.

========================================  ==============  ==========================================================
end of a payment request                  verdict         why (CONTRACT 1)
========================================  ==============  ==========================================================
200 to 299, a JSON object in the body     CHARGED         the processor has inserted the payment and says so
200 to 299, anything else                 UNKNOWN         something answered, but not in the processor's words
422                                       ALREADY         the id is there: charged by an earlier attempt
429                                       REJECTED        too many requests at once: not charged
other 4xx, 5xx                            FAILED          not charged, may be sent again anywhere
1xx, 3xx                                  UNKNOWN         not an answer that the processor gives
no connection, name not found             FAILED          nothing of the request left, so nothing can be charged
any other error, nothing was sent         FAILED          the same
any other error                           UNKNOWN         the insert happens even if the caller hangs up
========================================  ==============  ==========================================================

A question for a stored payment (``GET /payments/{id}``) ends as FOUND (200 with all three fields), ABSENT (404: not
there *yet*, so no proof) or UNKNOWN (everything else).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import orjson

BODY_BYTES_MAX = 65_536  # of an answer; what is longer is cut, and then is no JSON
WORDS_KEPT = 16  # different answers that are remembered


class Verdict(IntEnum):
    """What an attempt's end means for the payment."""

    CHARGED = 0
    ALREADY = 1
    REJECTED = 2
    FAILED = 3
    UNKNOWN = 4
    FOUND = 5
    ABSENT = 6


class Outcome(NamedTuple):
    """A verdict; for FOUND with what the processor has stored (ms since 1970, cents)."""

    verdict: Verdict
    requested_ms: int = 0
    cents: int = 0


CHARGED = Outcome(Verdict.CHARGED)
ALREADY = Outcome(Verdict.ALREADY)
REJECTED = Outcome(Verdict.REJECTED)
FAILED = Outcome(Verdict.FAILED)
UNKNOWN = Outcome(Verdict.UNKNOWN)
ABSENT = Outcome(Verdict.ABSENT)


def of_payment(status: int, body: bytes | bytearray) -> Outcome:
    """The outcome of ``POST /payments`` that was answered with ``status`` and ``body``."""
    if 200 <= status < 300:
        return CHARGED if _is_json_object(bytes(body)) else UNKNOWN
    if status == 422:
        return ALREADY
    if status == 429:
        return REJECTED
    return FAILED if status >= 400 else UNKNOWN


def of_lookup(status: int, body: bytes | bytearray) -> Outcome:
    """The outcome of ``GET /payments/{id}`` that was answered with ``status`` and ``body``."""
    if status == 404:
        return ABSENT
    stored = _json_object(body) if status == 200 else None
    if stored is None:
        return UNKNOWN
    amount, requested_at = stored.get("amount"), stored.get("requestedAt")
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not isinstance(requested_at, str):
        return UNKNOWN
    try:
        moment = datetime.fromisoformat(requested_at)
        cents = round(amount * 100)
    except (ValueError, OverflowError):
        return UNKNOWN
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    requested_ms = elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000
    if requested_ms < 0 or cents <= 0:
        return UNKNOWN
    return Outcome(Verdict.FOUND, requested_ms, cents)


def of_error(sent: bool) -> Outcome:
    """The outcome of a request without an answer; ``sent``: any byte of it may have left."""
    return UNKNOWN if sent else FAILED


@lru_cache(WORDS_KEPT)
def _is_json_object(body: bytes) -> bool:
    """Whether a body is a JSON object. A processor says the same words each time, so they are read once."""
    return _json_object(body) is not None


def _json_object(body: bytes | bytearray) -> dict[str, object] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
