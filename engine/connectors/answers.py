"""What any connector can say that a processor has answered. Pure.

The outcome of a payment's request is CHARGED, ALREADY (the processor says that it has the id), UNKNOWN, or one of three
ways of *not charged*: REJECTED (too many requests at once), FAILED (the processor's own state) and REFUSED (it does not
want this payment, or any). The outcome of a lookup is FOUND, ABSENT (not there *yet*, so no proof) or UNKNOWN.

*Warning*: a payment may be sent to another processor after *not charged*. So a connector says it only where the
processor itself is known to mean it, and UNKNOWN everywhere else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

BODY_BYTES_MAX = 65_536  # of an answer; a longer one is not read: its outcome is unknown, as if it had broken off
CENTS_MAX = 10**12  # of what a processor says that it has stored: more than any payment that is accepted
REQUESTED_MS_MAX = 1 << 43  # and its time: before the year 2248
MIN_RESPONSE_MS_MAX = 3_600_000  # a longer time is no processor's
PPM = 1_000_000


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


class Health(NamedTuple):
    """A processor's own word of itself: ``min_response_ms`` is 0 to MIN_RESPONSE_MS_MAX."""

    processor: int
    failing: bool
    min_response_ms: int


class Fee(NamedTuple):
    """What a processor keeps, by its own word, in millionths of the amount: 0 to PPM."""

    processor: int
    ppm: int


class Query(IntEnum):
    """What a request asks that carries no payment."""

    HEALTH = 0
    FEE = 1


class Silence(NamedTuple):
    """A query has ended without an answer that can be used."""

    processor: int
    query: Query


def found(requested_ms: int, cents: int) -> Outcome:
    """FOUND with what a processor has stored: its time in ms since 1970, and its amount.

    What is taken from outside is bounded: an amount or a time that no payment of ours can have is UNKNOWN.
    """
    if 0 <= requested_ms < REQUESTED_MS_MAX and 0 < cents <= CENTS_MAX:
        return Outcome(Verdict.FOUND, requested_ms, cents)
    return UNKNOWN


def of_error(sent: bool) -> Outcome:
    """The outcome of a request without an answer; ``sent``: any byte of it may have left.

    Where nothing has left (no connection, a name that is not found), nothing can be charged. After a time-out or a
    reset the processor may charge all the same.
    """
    return UNKNOWN if sent else FAILED
