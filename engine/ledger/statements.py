"""The statements that both databases carry rows with, made once from the schema."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.ledger import schema
from engine.ledger.rows import RANK_OPEN, RANKS
from engine.memory import layout
from engine.processors import PPM

# A completed attempt keeps what the row of its sending said.
_ATTEMPT_KEY = ("sequence", "journal")
_KEPT = (*_ATTEMPT_KEY, "began_ms", "created_ms")


def payments(insert: Any, found: Any) -> Any:
    """``insert`` of payments, where a row replaces the one of its payment if the rank of its state is not lower.

    What was charged keeps its fee: settings that say another one later say nothing about it.

    Parameters:
      insert: a dialect's insert into ``payment``.
      found: the row that could not be inserted (``excluded``).
    """
    columns = {one.name: found[one.name] for one in schema.payment.c if one.name not in ("id", "era", "created_ms")}
    columns |= _fee(found)
    return insert.on_conflict_do_update(
        index_elements=("id", "era"), set_=columns, where=_rank(found["state"]) >= _rank(schema.payment.c.state)
    )


def answers(source: Any) -> dict[str, Any]:
    """What an attempt's row gets from ``source``, a row that completes it: whatever is known there."""
    own = schema.attempt.c
    return {one.name: sa.func.coalesce(source[one.name], one) for one in own if one.name not in _KEPT}


@cache
def upserts(dialect: str, table: sa.Table) -> sa.Insert:
    """An insert into a small table, where a row replaces the one with its key. An era keeps how it began."""
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = make(table)
    key = [column.name for column in table.primary_key]
    kept = {*key, "created_ms"} | ({"began_ms", "generation", "why"} if table is schema.era else set())
    columns = {column.name: statement.excluded[column.name] for column in table.c if column.name not in kept}
    return statement.on_conflict_do_update(index_elements=key, set_=columns)


def _fee(found: Any) -> dict[str, Any]:
    """The fee of a payment that is carried again: the one that it was booked with at that processor, if it has one."""
    own = schema.payment.c
    ppm = sa.func.coalesce(own.fee_ppm, found["fee_ppm"])
    # As rows.fee_cents has it: half up, and below 63 bits, for an amount is at most 10^12 cents.
    cents = (found["cents"] * ppm + _literal(PPM // 2)) // _literal(PPM)
    is_same = sa.and_(
        own.state == _literal(layout.COMPLETED),
        found["state"] == _literal(layout.COMPLETED),
        own.processor == found["processor"],
    )
    return {
        "fee_ppm": sa.case((is_same, ppm), else_=found["fee_ppm"]),
        "fee_cents": sa.case((is_same, cents), else_=found["fee_cents"]),
    }


def _rank(state: Any) -> sa.Case[Any]:
    ranks: list[Any] = [(state == _literal(one), _literal(rank)) for one, rank in RANKS.items()]
    return sa.case(*ranks, else_=_literal(RANK_OPEN))


def _literal(number: int) -> Any:
    return sa.literal_column(str(number), sa.Integer())  # the statement is compiled once, and given tuples
