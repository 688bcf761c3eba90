"""What the ledger has of a processor's payments, of all eras: sums, pages, and payments whose end is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from engine.books.reader import Sum
from engine.ledger import schema
from engine.ledger.database import Database
from engine.ledger.rows import OPEN, PURGED, UNKNOWN_GAP
from engine.memory import layout
from engine.processors import PPM
from engine.reconcile.asks import Charged, Place
from engine.reconcile.span import Maybe, Span

PAGE: Final = 1000
SUSPECT_MS: Final = 60_000  # a request is recorded so long after its requestedAt, or before, at most
EARLIER_MS: Final = 86_400_000 * 2  # a payment is sent so long after it was accepted, at most
LATEST_MS: Final = 1 << 62

_payment, _attempt = schema.payment.c, schema.attempt.c
_COMPLETED: Final = sa.text(schema.IS_COMPLETED)
_NOT_COMPLETED: Final = sa.text(schema.IS_NOT_COMPLETED)
_DIGITS: Final = sa.literal_column(str(PPM), sa.Integer())
_CHARGED: Final = (_payment.id, _payment.requested_ms, _payment.cents)


class Ours:
    """The ledger in ``database``. All methods raise LedgerError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sum(self, processor: int, span: Span, found: Sequence[Charged]) -> Sum:
        """What we have as charged there in ``span``, and those of ``found`` that we do not have as charged yet."""
        # In two parts: SQLite's sums end at 63 bits.
        parts = sa.select(
            sa.func.count(), sa.func.sum(_payment.cents // _DIGITS), sa.func.sum(_payment.cents % _DIGITS)
        )
        within = {one.id: one.cents for one in found if span.has(one.requested_ms)}
        with self._database.transaction() as connection:
            count, high, low = connection.execute(parts.where(*_there(processor, span))).one()
            done = sa.select(_payment.id).where(_COMPLETED, _payment.id.in_(within), _payment.processor == processor)
            known = {bytes(one) for one in connection.execute(done).scalars()} if within else set()
        cents = int(high or 0) * PPM + int(low or 0)
        more = [amount for identity, amount in within.items() if identity not in known]
        return Sum(count + len(more), cents + sum(more))

    def page(self, processor: int, span: Span, behind: Place | None) -> list[Charged]:
        """Up to PAGE payments that we have as charged there, in the order of time and id."""
        query = sa.select(*_CHARGED).where(*_there(processor, span))
        if behind is not None:
            query = query.where(sa.tuple_(_payment.requested_ms, _payment.id) > sa.tuple_(*map(sa.literal, behind)))
        query = query.order_by(_payment.requested_ms, _payment.id).limit(PAGE)
        with self._database.transaction() as connection:
            return [Charged(bytes(row.id), row.requested_ms, row.cents) for row in connection.execute(query)]

    def one(self, processor: int, identity: bytes) -> Charged | None:
        """What we have as charged there for an id; of several eras the last one."""
        query = sa.select(*_CHARGED).where(_COMPLETED, _payment.id == identity, _payment.processor == processor)
        with self._database.transaction() as connection:
            row = connection.execute(query.order_by(_payment.era.desc()).limit(1)).first()
        return None if row is None else Charged(bytes(row.id), row.requested_ms, row.cents)

    def maybes(self, processor: int, span: Span) -> list[Maybe]:
        """Payments that the processor may have under a time of ``span``, and that we do not have as charged.

        They are open there, or were when their era ended, or it had them before; or nobody knows what became of them.
        """
        there = sa.and_(_payment.processor == processor, _payment.requested_ms.between(*span))
        recent = _payment.accepted_ms.between(span.from_ms - EARLIER_MS, span.to_ms + EARLIER_MS)
        found = list[Maybe]()
        with self._database.transaction() as connection:  # a query for each state: each is found by the index of states
            for state in (*OPEN, PURGED, layout.CHARGED_BEFORE):
                query = sa.select(*_CHARGED).where(_NOT_COMPLETED, _payment.state == state, there)
                for row in connection.execute(query if state in OPEN else query.where(recent)):
                    found.append(Maybe(bytes(row.id), row.requested_ms, row.requested_ms, row.cents))
            lost = sa.select(_payment.id, _payment.cents, _payment.accepted_ms, _payment.updated_ms).where(
                _NOT_COMPLETED, _payment.state == UNKNOWN_GAP, recent, _payment.updated_ms >= span.from_ms
            )
            for gone in connection.execute(lost):  # anywhere, until it was seen that its slot was given away
                found.append(Maybe(bytes(gone.id), gone.accepted_ms, gone.updated_ms, gone.cents))
        return found

    def suspects(self, processor: int, at_ms: int) -> list[bytes]:
        """Ids of payments that were sent there under this time, and that we do not have as charged there."""
        sent = sa.select(_attempt.id).where(
            _attempt.began_ms.between(at_ms - SUSPECT_MS, at_ms + SUSPECT_MS),
            _attempt.processor == processor,
            _attempt.requested_ms == at_ms,
        )
        with self._database.transaction() as connection:
            found = {bytes(one) for one in connection.execute(sent).scalars()}
            charged = sa.select(_payment.id).where(_COMPLETED, _payment.id.in_(found), _payment.processor == processor)
            return sorted(found - {bytes(one) for one in connection.execute(charged).scalars()})


def _there(processor: int, span: Span) -> list[Any]:
    eras = sa.select(schema.era.c.number).union(sa.select(schema.cursor.c.era))  # so that the index is entered by era
    return [_COMPLETED, _payment.era.in_(eras), _payment.processor == processor, _payment.requested_ms.between(*span)]
