"""What is asked of a ledger: payments, their attempts, and exact sums of windows. No query reads a large table through.

Each takes a :class:`~engine.ledger.database.Database` and raises LedgerError when it is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.books.reader import Sum
from engine.ledger import schema
from engine.ledger.database import Database
from engine.ledger.rows import AttemptRow, FeeRow, PaymentRow
from engine.memory import layout
from engine.processors import PROCESSORS_MAX

PAGE_MAX: Final = 1000  # payments of a page
ATTEMPTS_MAX: Final = 1000  # of a payment that are shown, the newest ones
CLOCK_SET_MS: Final = 86_400_000  # a wall clock that was set back by more than this hides attempts
JOURNAL: Final = "journal"  # a gap's source where no payments are missing
GAPS_LOOKED_AT: Final = 1000  # the newest gaps, and rejected rows; where there are more, older ones may be as well

Era = int | sa.ScalarSelect[int]

_payment, _attempt = schema.payment.c, schema.attempt.c
_PAYMENT: Final = [_payment[name] for name in PaymentRow._fields]
_ATTEMPT: Final = [_attempt[name] for name in AttemptRow._fields]
_COMPLETED: Final = sa.text(schema.IS_COMPLETED)
_NOT_COMPLETED: Final = sa.text(schema.IS_NOT_COMPLETED)


class Window(NamedTuple):
    """What was settled in a window, for each processor. ``is_whole``: retention has taken nothing away from it."""

    sums: tuple[Sum, ...]
    is_whole: bool


class Place(NamedTuple):
    """Where a page ended: the next one goes on behind it."""

    accepted_ms: int
    id: bytes
    era: int


def find(database: Database, identity: bytes) -> PaymentRow | None:
    """The payment of an id in the current era; None when the ledger has none."""
    with database.transaction() as connection:
        return payment_of(connection, identity, sa.select(schema.cursor.c.era).scalar_subquery())


def payment_of(connection: sa.Connection, identity: bytes, era: Era) -> PaymentRow | None:
    """The payment of an id in an era; None when the ledger has none."""
    row = connection.execute(sa.select(*_PAYMENT).where(_payment.id == identity, _payment.era == era)).first()
    return None if row is None else _payment_row(row)


def history(database: Database, identity: bytes) -> list[PaymentRow]:
    """The payments of an id in all eras, the newest first."""
    query = sa.select(*_PAYMENT).where(_payment.id == identity).order_by(_payment.era.desc())
    with database.transaction() as connection:
        return list(map(_payment_row, connection.execute(query)))


def attempts(database: Database, identity: bytes, era: int) -> list[AttemptRow]:
    """The attempts of a payment, in their order; of more than ATTEMPTS_MAX the last ones."""
    with database.transaction() as connection:
        return attempts_of(connection, identity, era)


def attempts_of(connection: sa.Connection, identity: bytes, era: int, most: int = ATTEMPTS_MAX) -> list[AttemptRow]:
    """The attempts of a payment, in their order; of more than ``most`` the last ones."""
    accepted = sa.select(_payment.accepted_ms).where(_payment.id == identity, _payment.era == era)
    # A bound that is a number: PostgreSQL then opens no partition of an earlier day.
    since_ms = (connection.execute(accepted).scalar() or 0) - CLOCK_SET_MS
    query = (
        sa.select(*_ATTEMPT)
        .where(_attempt.id == identity, _attempt.era == era, _attempt.began_ms >= since_ms)
        .order_by(_attempt.began_ms.desc(), _attempt.sequence.desc())
        .limit(most)
    )
    return [_attempt_row(row) for row in connection.execute(query)][::-1]


def window(database: Database, from_ms: int, to_ms: int, processors: int) -> Window:
    """What was settled by each processor under a requestedAt from ``from_ms`` to ``to_ms``, both included.

    What a processor had charged before is not summed, as in the books. Of the current era only.
    """
    with database.transaction() as connection:
        era = sa.select(schema.cursor.c.era).scalar_subquery()
        found = sums_of(connection, era, from_ms, to_ms)
        is_whole = from_ms >= payment_reach_ms(connection)
    return Window(tuple(found.get(number, Sum(0, 0)) for number in range(processors)), is_whole)


def sums_of(connection: sa.Connection, era: Era, from_ms: int, to_ms: int) -> dict[int, Sum]:
    """The sums of :func:`window` in an era, by processor; one that has settled nothing is not in it."""
    sums = (
        sa.select(_payment.processor, sa.func.count(), sa.func.sum(_payment.cents))
        .where(
            _COMPLETED,
            _payment.era == era,
            _payment.processor.in_(range(PROCESSORS_MAX)),  # so that the index is entered at each processor's times
            _payment.requested_ms.between(from_ms, to_ms),
        )
        .group_by(_payment.processor)
    )
    return {number: Sum(count, int(cents)) for number, count, cents in connection.execute(sums)}


def era_began_ms(connection: sa.Connection, number: int) -> int:
    """When an era began; 0 when the ledger does not know it."""
    began_ms: int | None = connection.execute(
        sa.select(schema.era.c.began_ms).where(schema.era.c.number == number)
    ).scalar()
    return began_ms or 0


def has_missed_payments(connection: sa.Connection, since_ms: int, *, only_whole: bool) -> bool:
    """Whether a gap that was noticed since ``since_ms`` has payments, or such a payment could not be written.

    Parameters:
      only_whole: payments of which nothing was seen; else also those whose end was not.

    Of more than GAPS_LOOKED_AT gaps since then it says that they have.
    """
    gaps, apart = _gaps(connection, since_ms), _apart(connection, since_ms)
    if GAPS_LOOKED_AT in (len(gaps), len(apart)) or schema.payment.name in apart:
        return True
    return any(source != JOURNAL and (missing or not only_whole) for source, missing in gaps)


def has_missed_records(connection: sa.Connection, since_ms: int) -> bool:
    """Whether attempts may be missing: a gap that was noticed since ``since_ms`` has records of the journal, or an
    attempt could not be written. Of more than GAPS_LOOKED_AT gaps since then it says so.
    """
    gaps, apart = _gaps(connection, since_ms), _apart(connection, since_ms)
    if GAPS_LOOKED_AT in (len(gaps), len(apart)) or schema.attempt.name in apart:
        return True
    return any(source == JOURNAL for source, _ in gaps)


def _gaps(connection: sa.Connection, since_ms: int) -> list[tuple[str, int]]:
    """Source and number of missing ones, of the newest gaps since then."""
    own = schema.gap.c
    query = sa.select(own.source, own.missing, own.at_ms).order_by(own.number.desc()).limit(GAPS_LOOKED_AT)
    return [(row.source, row.missing) for row in connection.execute(query) if row.at_ms >= since_ms]


def _apart(connection: sa.Connection, since_ms: int) -> list[str]:
    """The tables of the newest rows that were set apart since then."""
    own = schema.rejected.c
    query = sa.select(own.source, own.created_ms).order_by(own.number.desc()).limit(GAPS_LOOKED_AT)
    return [row.source for row in connection.execute(query) if row.created_ms >= since_ms]


def page(
    database: Database,
    *,
    states: Sequence[int] = (),
    processor: int | None = None,
    from_ms: int = 0,
    to_ms: int = 1 << 62,
    cents: tuple[int, int] | None = None,
    behind: Place | None = None,
    limit: int = 50,
) -> list[PaymentRow]:
    """Payments that were accepted from ``from_ms`` to ``to_ms``, both included, the newest first.

    Parameters:
      states: of rows; empty: in every state.
      processor: the one that has it; None: any.
      cents: the least and the highest amount; None: any. No index has amounts, so bound the time.
      behind: the end of the page before.
      limit: payments of the page, at most PAGE_MAX.
    """
    assert 0 < limit <= PAGE_MAX
    common = [_payment.accepted_ms >= from_ms, _payment.accepted_ms <= to_ms]
    if processor is not None:
        common.append(_payment.processor == processor)
    if cents is not None:
        common.append(_payment.cents.between(*cents))
    if behind is not None:
        place = sa.tuple_(_payment.accepted_ms, _payment.id, _payment.era)
        common += [_payment.accepted_ms <= behind.accepted_ms, place < sa.tuple_(*map(sa.literal, behind))]
    # A query for each state: together they would be sorted, all of them.
    found = list[PaymentRow]()
    with database.transaction() as connection:
        for state in states or (None,):
            query = sa.select(*_PAYMENT).where(*common, *_of_state(state)).order_by(*_newest()).limit(limit)
            found += map(_payment_row, connection.execute(query))
    return sorted(found, key=lambda row: (row.accepted_ms, row.id, row.era), reverse=True)[:limit]


def reach_ms(database: Database) -> int:
    """Since when no payment was taken away: one that was accepted and sent before may have been here. 0: none was."""
    with database.transaction() as connection:
        return payment_reach_ms(connection)


def processor_names(database: Database) -> dict[int, str]:
    """The names of the processors, by number."""
    query = sa.select(schema.processor.c.number, schema.processor.c.name)
    with database.transaction() as connection:
        return {row.number: row.name for row in connection.execute(query)}


def current_era_began_ms(database: Database) -> int:
    """When the current era began; 0 before the first one."""
    with database.transaction() as connection:
        number = connection.execute(sa.select(schema.cursor.c.era)).scalar()
        return 0 if number is None else era_began_ms(connection, number)


def fees(database: Database) -> list[FeeRow]:
    """All fees that were ever known, with the times since when they are valid."""
    with database.transaction() as connection:
        found = connection.execute(sa.select(*(schema.fee_schedule.c[name] for name in FeeRow._fields)))
        return [FeeRow(*row) for row in found]


def payment_reach_ms(connection: sa.Connection) -> int:
    """See :func:`reach_ms`."""
    query = sa.select(schema.reach.c.from_ms).where(schema.reach.c.name == schema.payment.name)
    found: int | None = connection.execute(query).scalar()
    return found or 0


def _newest() -> list[Any]:
    return [_payment.accepted_ms.desc(), _payment.id.desc(), _payment.era.desc()]


def _of_state(state: int | None) -> list[Any]:
    if state is None:
        return []
    if state == layout.COMPLETED:
        return [_COMPLETED]
    return [_NOT_COMPLETED, _payment.state == state]


def _payment_row(row: Any) -> PaymentRow:
    return PaymentRow(*row)._replace(id=bytes(row.id))


def _attempt_row(row: Any) -> AttemptRow:
    return AttemptRow(*row)._replace(id=bytes(row.id), is_lookup=bool(row.is_lookup))
