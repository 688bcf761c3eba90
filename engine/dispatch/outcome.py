"""What a request can end with, and what each end means. Pure.

========================================  ==============  ==========================================================
end of a payment request                  verdict         why (CONTRACT 1)
========================================  ==============  ==========================================================
200 with CHARGED_MESSAGE                  CHARGED         the processor has inserted the payment and says so
422                                       ALREADY         it says that it has the id: a lookup confirms or contradicts
429                                       REJECTED        too many requests at once: not charged
500, 401, 403                             FAILED          its own words for its own state: not charged
400, 402, 404, 405, 413, 414, 415         REFUSED         not charged: it does not want this payment, or any
no connection, name not found             FAILED          nothing of the request left, so nothing can be charged
any other error, nothing was sent         FAILED          the same
all else                                  UNKNOWN         502, 503, 504, 408 are a gateway's, who does not know whether
                                                          the processor has inserted; 409, 202, 3xx, another 200 are
                                                          nobody's that we know; after a time-out or a reset the insert
                                                          happens even if the caller has hung up
========================================  ==============  ==========================================================

A lookup (``GET /payments/{id}``) ends as FOUND (200 with all three fields, of this very id), ABSENT (404: not there
*yet*, so no proof) or UNKNOWN (everything else: there is no answer that can be trusted).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import orjson

from engine.correlation import format_id

BODY_BYTES_MAX = 65_536  # of an answer; what is longer is cut, and then is no JSON
WORDS_KEPT = 16  # different answers that are remembered
CENTS_MAX = 10**12  # of what a processor says that it has stored: more than any payment that is accepted
REQUESTED_MS_MAX = 1 << 43  # and its time: before the year 2248
# What the contest's processor answers when it has inserted a payment; read in its source, as all of the table.
CHARGED_MESSAGE = "payment processed successfully"
_REFUSALS = frozenset((400, 402, 404, 405, 413, 414, 415))
_STATES = frozenset((500, 401, 403))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Verdict(IntEnum):
    """What an attempt's end means for the payment."""

    CHARGED = 0
    ALREADY = 1
    REJECTED = 2
    FAILED = 3
    REFUSED = 4
    UNKNOWN = 5
    FOUND = 6
    ABSENT = 7


class Outcome(NamedTuple):
    """A verdict; for FOUND with what the processor has stored (ms since 1970, cents)."""

    verdict: Verdict
    requested_ms: int = 0
    cents: int = 0


CHARGED = Outcome(Verdict.CHARGED)
ALREADY = Outcome(Verdict.ALREADY)
REJECTED = Outcome(Verdict.REJECTED)
FAILED = Outcome(Verdict.FAILED)
REFUSED = Outcome(Verdict.REFUSED)
UNKNOWN = Outcome(Verdict.UNKNOWN)
ABSENT = Outcome(Verdict.ABSENT)


def of_payment(status: int, body: bytes | bytearray) -> Outcome:
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


def of_lookup(status: int, body: bytes | bytearray, id_high: int, id_low: int) -> Outcome:
    """The outcome of ``GET /payments/{id}`` for this id, answered with ``status`` and ``body``.

    What is taken from outside is bounded: an amount or a time that no payment of ours can have is no clear answer.
    """
    if status == 404:
        return ABSENT
    stored = _json_object(body) if status == 200 else None
    if stored is None:
        return UNKNOWN
    identity, amount, requested_at = stored.get("correlationId"), stored.get("amount"), stored.get("requestedAt")
    if not isinstance(identity, str) or identity.lower() != format_id(id_high, id_low):
        return UNKNOWN  # another payment's record: a mixed-up or cached answer
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not isinstance(requested_at, str):
        return UNKNOWN
    if not 0 < amount <= CENTS_MAX / 100:  # not so for NaN either
        return UNKNOWN
    try:
        moment = datetime.fromisoformat(requested_at)
        elapsed = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return UNKNOWN
    requested_ms = elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000
    cents = round(amount * 100)
    if not 0 <= requested_ms < REQUESTED_MS_MAX or not 0 < cents <= CENTS_MAX:
        return UNKNOWN
    return Outcome(Verdict.FOUND, requested_ms, cents)


def of_error(sent: bool) -> Outcome:
    """The outcome of a request without an answer; ``sent``: any byte of it may have left."""
    return UNKNOWN if sent else FAILED


@lru_cache(WORDS_KEPT)
def _says_charged(body: bytes) -> bool:
    """Whether a body is the processor's own word for a charge. It says the same words each time: they are read once."""
    return _json_object(body) == {"message": CHARGED_MESSAGE}


def _json_object(body: bytes | bytearray) -> dict[str, object] | None:
    try:
        value = orjson.loads(bytes(body).removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
