"""What a connector can report of a processor's answer. Pure.

The outcome of a payment's request is CHARGED, ALREADY (the processor says that it has the id), UNKNOWN, or one of three
kinds of *not charged*: REJECTED (too many requests at once), FAILED (the processor's own state) and REFUSED (it does
not want this payment, or any payment). The outcome of a lookup is FOUND, ABSENT (not there *yet*, so no proof) or
UNKNOWN.

*Warning*: a payment may be sent to another processor after *not charged*. So a connector reports *not charged* only if
the processor itself is known to mean it, and UNKNOWN in every other case.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

BODY_BYTES_MAX = 65_536  # of an answer; a longer one is not read: its outcome is unknown, as if it had broken off
CENTS_MAX = 10**12  # of an amount that a processor has stored: more than any payment that is accepted
REQUESTED_MS_MAX = 1 << 43  # of a time that a processor has stored: before the year 2248
MIN_RESPONSE_MS_MAX = 3_600_000  # of a response time in a health answer; a longer one is not believed
SUMMARY_MAX = 1 << 62  # payments, or cents, of a summary; it fits into a database
PPM = 1_000_000


class Verdict(IntEnum):
    """What the end of an attempt means for the payment."""

    CHARGED = 0
    ALREADY = 1
    REJECTED = 2
    FAILED = 3
    REFUSED = 4
    UNKNOWN = 5
    FOUND = 6
    ABSENT = 7


class Outcome(NamedTuple):
    """A verdict. With FOUND, also what the processor has stored (ms since 1970, cents)."""

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
    """What a processor says of its own health: ``min_response_ms`` is 0 to MIN_RESPONSE_MS_MAX."""

    processor: int
    failing: bool
    min_response_ms: int


class Fee(NamedTuple):
    """What a processor says of its own fee, in millionths of the amount: 0 to PPM."""

    processor: int
    ppm: int


class Summary(NamedTuple):
    """What a processor says that it has charged in a window: payments and cents, 0 to SUMMARY_MAX."""

    payments: int
    cents: int


class Query(IntEnum):
    """What is asked by a request that concerns no payment."""

    HEALTH = 0
    FEE = 1


class Silence(NamedTuple):
    """A query has ended without a usable answer."""

    processor: int
    query: Query


def found(requested_ms: int, cents: int) -> Outcome:
    """FOUND with what a processor has stored: its time in ms since 1970, and its amount.

    Values from outside are bounded: an amount or a time that no payment of ours can have gives UNKNOWN.
    """
    if 0 <= requested_ms < REQUESTED_MS_MAX and 0 < cents <= CENTS_MAX:
        return Outcome(Verdict.FOUND, requested_ms, cents)
    return UNKNOWN


def of_error(sent: bool) -> Outcome:
    """The outcome of a request without an answer; ``sent``: at least one byte of it may have left.

    If no byte has left (no connection, a name that is not found), nothing can be charged. After a time-out or a reset
    the processor may still charge.
    """
    return UNKNOWN if sent else FAILED
