"""Operators' acts in SQL: who asked for what and why, on which payments, and what became of each. Rows are only added.

An action and its items are there before the dispatcher is asked for anything. Results are carried from the journal like
everything else that happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.ledger import schema
from engine.ledger.backend import Values
from engine.ledger.database import Database
from engine.ledger.rows import OPEN, PURGED, ActRow, PaymentRow
from engine.ledger.schema import BIG, ID, SMALL, metadata
from engine.memory import layout

ITEMS_MAX: Final = 10_000  # of one action


def _column(name: str, kind: Any, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null)


# `selection`: how the payments were chosen, as the operator wrote it; `payments`, `cents`: of the items.
action: Final = sa.Table(
    "operator_action",
    metadata,
    _column("id", ID),
    _column("era", sa.Integer()),
    _column("act", SMALL),
    _column("processor", SMALL, null=True),
    _column("who", sa.Text()),
    _column("why", sa.Text()),
    _column("evidence", sa.Text()),
    _column("selection", sa.Text()),
    _column("payments", sa.Integer()),
    _column("cents", BIG),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("id"),
    sa.CheckConstraint("length(id) = 16", name="id_has_16_bytes"),
    sqlite_strict=True,
)
sa.Index("operator_action_created", action.c.created_ms)

# A payment of an action as the operator saw it.
item: Final = sa.Table(
    "operator_action_item",
    metadata,
    _column("action", ID),
    _column("payment", ID),
    _column("state", SMALL),
    _column("reason", SMALL),
    _column("processor", SMALL),
    _column("attempts", sa.Integer()),
    _column("cents", BIG),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("action", "payment"),
    sqlite_strict=True,
)
sa.Index("operator_action_item_payment", item.c.payment)

result: Final = sa.Table(
    "operator_action_result",
    metadata,
    _column("action", ID),
    _column("payment", ID),
    _column("act", SMALL),
    _column("processor", SMALL),
    _column("result", SMALL),
    _column("state_before", SMALL),
    _column("reason_before", SMALL),
    _column("state_after", SMALL),
    _column("reason_after", SMALL),
    _column("at_ms", BIG),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("action", "payment"),
    sqlite_strict=True,
)


class ActionRow(NamedTuple):
    """An action; see the table. ``processor``: of an act on one, else None."""

    id: bytes
    act: int
    processor: int | None
    who: str
    why: str
    evidence: str
    selection: str


class ItemRow(NamedTuple):
    """A payment of an action, as it was seen."""

    payment: bytes
    state: int
    reason: int
    processor: int
    attempts: int
    cents: int


class DoneRow(NamedTuple):
    """An act on a payment: of which action, by whom, why, and what became of it; ``result`` None: not known (yet)."""

    action: bytes
    act: int
    who: str
    why: str
    evidence: str
    created_ms: int
    result: int | None


def record(database: Database, one: ActionRow, items: Sequence[ItemRow]) -> None:
    """Writes an action and its items, in one transaction. Raises LedgerError; then nothing may be asked for."""
    assert len(items) <= ITEMS_MAX and one.who and one.why
    now_ms = database.now_ms()
    with database.transaction() as connection:
        era = connection.execute(sa.select(schema.cursor.c.era)).scalar_one()
        values = one._asdict() | {"era": era, "payments": len(items), "cents": sum(row.cents for row in items)}
        connection.execute(sa.insert(action), values | {"created_ms": now_ms})
        if items:
            common = {"action": one.id, "created_ms": now_ms}
            connection.execute(sa.insert(item), [row._asdict() | common for row in items])


class ListedRow(NamedTuple):
    """An action as a list has it: of how many payments, and their cents."""

    id: bytes
    act: int
    processor: int | None
    who: str
    why: str
    evidence: str
    selection: str
    payments: int
    cents: int
    created_ms: int


def page(database: Database, *, behind: tuple[int, bytes] | None, limit: int) -> list[ListedRow]:
    """Actions, the newest first.

    Parameters:
      behind: when the last action of the page before was recorded, and its id; None: from the newest.
      limit: of the page.
    """
    query = sa.select(*(action.c[name] for name in ListedRow._fields))
    if behind is not None:
        place = sa.tuple_(action.c.created_ms, action.c.id)
        query = query.where(action.c.created_ms <= behind[0], place < sa.tuple_(*map(sa.literal, behind)))
    query = query.order_by(action.c.created_ms.desc(), action.c.id.desc()).limit(limit)
    with database.transaction() as connection:
        return [ListedRow(*row)._replace(id=bytes(row.id)) for row in connection.execute(query)]


def of_payment(database: Database, payment: bytes) -> list[DoneRow]:
    """What operators have asked for a payment, the oldest first. Raises LedgerError."""
    query = (
        sa.select(
            action.c.id, action.c.act, action.c.who, action.c.why, action.c.evidence, action.c.created_ms,
            result.c.result,
        )
        .select_from(
            item.join(action, action.c.id == item.c.action).outerjoin(
                result, sa.and_(result.c.action == item.c.action, result.c.payment == item.c.payment)
            )
        )
        .where(item.c.payment == payment)
        .order_by(action.c.created_ms)
        .limit(ITEMS_MAX)
    )  # fmt: skip
    with database.transaction() as connection:
        return [DoneRow(*row)._replace(action=bytes(row.id)) for row in connection.execute(query)]


def add_results(connection: sa.Connection, rows: Sequence[Values]) -> None:
    """Adds results. One that is told again changes nothing."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    names = result.c.keys()
    connection.execute(make(result).on_conflict_do_nothing(), [dict(zip(names, row, strict=True)) for row in rows])


def reopen(
    connection: sa.Connection, rows: Sequence[ActRow], payments: Sequence[PaymentRow], era: int, now_ms: int
) -> None:
    """Payments that are tried again are open again. Only this takes back that a payment has failed.

    A payment may have failed once more since, and SQL may have that already. Where ``payments``, which are carried with
    the acts, do not say what it is now, the times of both tell.
    """
    own = schema.payment.c
    for row in rows:
        if not row.is_retry:
            continue
        eras = {one.era for one in payments if one.id == row.payment and one.state in (*OPEN, PURGED)}
        is_open = sa.or_(own.era.in_(eras), sa.and_(own.era == era, own.settled_ms <= row.at_ms))
        values = {"state": layout.QUEUED, "reason": layout.REASON_NONE, "settled_ms": None, "waited_ms": None}
        connection.execute(
            sa.update(schema.payment)
            .where(own.id == row.payment, own.state == layout.FAILED, is_open)
            .values(**values, updated_ms=now_ms)
        )
