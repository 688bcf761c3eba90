"""What a ledger has recorded of a window, as plain values: the traffic, and what the processors did.

Times are ms since 1970 UTC. Reading is bounded: :data:`WINDOW_MS_MAX`, :data:`PAYMENTS_MAX`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.ledger import acts, schema
from engine.ledger.database import Database
from engine.ledger.fees import Fees
from engine.ledger.queries import fees, processor_names
from engine.ledger.rows import OPEN
from engine.memory import layout
from engine.memory.acts_layout import Act, Result

LEAD_MS: Final = (
    60_000  # replayed before the window, so that its beginning finds the processors and the backlog as then
)
BESIDE_MS: Final = 10_000  # health answers so long before and after tell of its edges
WINDOW_MS_MAX: Final = 3_600_000
PAYMENTS_MAX: Final = 1_000_000
ROUTED: Final = 2  # processors that payments are routed between


class RecordError(Exception):
    """A window cannot be replayed; the text says why."""


class Paid(NamedTuple):
    """A payment: what it asked for, and, once it was settled, where, when, and for which fee (None: not known)."""

    accepted_ms: int
    cents: int
    processor: int | None
    settled_ms: int | None
    fee_ppm: int | None


class Request(NamedTuple):
    """A request for a payment. ``ended_ms``, ``outcome``, ``latency_us``, ``error``: as ``attempt`` has them.

    ``has_answer``: whether the processor answered at all.
    """

    processor: int
    began_ms: int
    ended_ms: int | None
    outcome: int | None
    has_answer: bool
    error: str | None
    latency_us: int | None


class Said(NamedTuple):
    """What a processor said of its health."""

    processor: int
    at_ms: int
    failing: bool
    min_response_ms: int


class Pause(NamedTuple):
    """From ``at_ms`` on an operator keeps new payments from a processor, or does so no more."""

    at_ms: int
    processor: int
    is_paused: bool


class Record(NamedTuple):
    """A window and what is known of it.

    Parameters:
      from_ms, to_ms: its payments count; the end is excluded.
      begin_ms: what was accepted since then is replayed, so that the window begins as it did.
      names: of the processors.
      payments: in the order of acceptance, since ``begin_ms``.
      left_out: payments of the window that failed, were charged before, purged, or are dead letters: no setting helps.
      requests, said, pauses: in the order of their times.
      fees: which fee was valid when; fee_changes_ms: when one of them changed in this time, in order.
    """

    from_ms: int
    to_ms: int
    begin_ms: int
    names: tuple[str, ...]
    payments: tuple[Paid, ...]
    left_out: int
    requests: tuple[Request, ...]
    said: tuple[Said, ...]
    pauses: tuple[Pause, ...]
    fees: Fees
    fee_changes_ms: tuple[int, ...]


def read(database: Database, from_ms: int, to_ms: int) -> Record:
    """What the ledger has of the window. Raises LedgerError, and RecordError when it cannot be replayed."""
    if not 0 < to_ms - from_ms <= WINDOW_MS_MAX:
        raise RecordError(f"a window has more than nothing and at most {WINDOW_MS_MAX // 60_000} minutes")
    begin_ms = from_ms - LEAD_MS
    names = processor_names(database)
    if sorted(names) != list(range(ROUTED)):
        raise RecordError(f"the ledger names {len(names)} processors, and the replay routes between {ROUTED}")
    valid = fees(database)
    known = Fees(valid)
    for number in range(ROUTED):
        if known.at(number, from_ms) is None:
            raise RecordError(f"the fee of {names[number]} is not known, so nothing can be said in money")
    payments, left_out = _payments(database, begin_ms, from_ms, to_ms)
    if not payments or payments[-1].accepted_ms < from_ms:
        raise RecordError("no payment of this time can be replayed")
    record = Record(
        from_ms, to_ms, begin_ms, tuple(names[number] for number in range(ROUTED)), payments, left_out,
        _requests(database, begin_ms, to_ms), _said(database, begin_ms, to_ms), _pauses(database, begin_ms, to_ms),
        known, tuple(sorted({one.valid_from_ms for one in valid if begin_ms < one.valid_from_ms < to_ms})),
    )  # fmt: skip
    for number, name in enumerate(record.names):
        asked = [one.processor for one in record.requests] + [one.processor for one in record.said]
        if number not in asked:
            raise RecordError(f"nothing was sent to {name} in this time, and it said nothing of its health")
    return record


def _payments(database: Database, begin_ms: int, from_ms: int, to_ms: int) -> tuple[tuple[Paid, ...], int]:
    """Those to replay, and how many of the window are left out."""
    own = schema.payment.c
    query = (
        sa.select(own.accepted_ms, own.cents, own.processor, own.settled_ms, own.fee_ppm, own.state, own.reason)
        .where(own.accepted_ms >= begin_ms, own.accepted_ms < to_ms)
        .order_by(own.accepted_ms, own.ring, own.position)
        .limit(PAYMENTS_MAX + 1)
    )
    rows = _rows(database, query)
    if len(rows) > PAYMENTS_MAX:
        raise RecordError(f"more than {PAYMENTS_MAX} payments were accepted in this time: choose a shorter one")
    found, left_out = list[Paid](), 0
    for row in rows:
        if row.state == layout.COMPLETED:
            found.append(Paid(row.accepted_ms, row.cents, row.processor, row.settled_ms, row.fee_ppm))
        elif row.state in OPEN and row.reason == layout.REASON_NONE:
            found.append(Paid(row.accepted_ms, row.cents, None, None, None))
        else:
            left_out += row.accepted_ms >= from_ms
    return tuple(found), left_out


def _requests(database: Database, begin_ms: int, to_ms: int) -> tuple[Request, ...]:
    own = schema.attempt.c
    query = (
        sa.select(own.processor, own.began_ms, own.ended_ms, own.outcome, own.status, own.error, own.latency_us)
        .where(own.began_ms >= begin_ms, own.began_ms < to_ms, own.is_lookup == 0)
        .order_by(own.began_ms, own.journal, own.sequence)
    )
    return tuple(
        Request(
            row.processor, row.began_ms, row.ended_ms, row.outcome, row.status is not None, row.error, row.latency_us
        )
        for row in _rows(database, query)
    )


def _said(database: Database, begin_ms: int, to_ms: int) -> tuple[Said, ...]:
    own = schema.processor_health.c
    query = (
        sa.select(own.processor, own.at_ms, own.failing, own.min_response_ms)
        .where(own.at_ms >= begin_ms - BESIDE_MS, own.at_ms < to_ms + BESIDE_MS)
        .where(own.failing.is_not(None), own.min_response_ms.is_not(None))
        .order_by(own.at_ms)
    )
    return tuple(
        Said(row.processor, row.at_ms, bool(row.failing), row.min_response_ms) for row in _rows(database, query)
    )


def _pauses(database: Database, begin_ms: int, to_ms: int) -> tuple[Pause, ...]:
    """Pauses and their ends; what was paused before ``begin_ms`` is so since then."""
    own = acts.result.c
    query = (
        sa.select(own.processor, own.act, own.at_ms)
        .where(own.act.in_((Act.PAUSE, Act.RESUME)), own.result == Result.DONE, own.at_ms < to_ms)
        .order_by(own.at_ms)
    )
    found = [Pause(max(row.at_ms, begin_ms), row.processor, row.act == Act.PAUSE) for row in _rows(database, query)]
    before = {one.processor: one for one in found if one.at_ms == begin_ms}
    return (*before.values(), *(one for one in found if one.at_ms > begin_ms))


def _rows(database: Database, query: sa.Select[Any]) -> list[Any]:
    with database.transaction() as connection:
        return list(connection.execute(query))
