"""What was advised about a stretch of time, with its figures in money. Rows are only added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.ledger import schema
from engine.ledger.database import Database
from engine.ledger.schema import BIG, SMALL

WORLDS: Final = ("was", "replayed", "advised", "oracle")
# What a report has beside settings, gain and error.
CENTS: Final = (
    "requested_cents",
    *(f"{world}_{what}_cents" for world in WORLDS for what in ("earned", "fee", "unsettled")),
)
WAITS: Final = ("was_wait_ms", "replayed_wait_ms", "advised_wait_ms")
WORDS: Final = ("number", "payments", "left_out", "replays", "verdict", "program")
_LOCK: Final = 0x616476  # of PostgreSQL's advisory locks: who numbers advice; "adv"


def _column(name: str, kind: Any, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null)


# One row for each variable of an advice: a pair of variables has two rows of one number, with the same figures. An
# advice without a variable says that there is nothing to advise.
table: Final = sa.Table(
    "advice",
    schema.metadata,
    _column("number", sa.Integer()),
    _column("part", SMALL),
    _column("from_ms", BIG),
    _column("to_ms", BIG),
    _column("variable", sa.Text(), null=True),
    _column("value_now", BIG, null=True),
    _column("value_advised", BIG, null=True),
    _column("payments", BIG),
    _column("left_out", BIG),
    _column("requested_cents", BIG),
    _column("was_earned_cents", BIG),
    _column("was_fee_cents", BIG),
    _column("replayed_earned_cents", BIG),
    _column("replayed_fee_cents", BIG),
    _column("advised_earned_cents", BIG, null=True),
    _column("advised_fee_cents", BIG, null=True),
    _column("oracle_earned_cents", BIG),
    _column("oracle_fee_cents", BIG),
    _column("was_wait_ms", BIG, null=True),
    _column("replayed_wait_ms", BIG, null=True),
    _column("advised_wait_ms", BIG, null=True),
    _column("replays", sa.Integer()),
    _column("verdict", sa.Text()),
    _column("program", sa.Text()),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("number", "part"),
    sqlite_strict=True,
)
sa.Index("advice_from", table.c.from_ms)


class Earned(NamedTuple):
    """What payments came to: ``earned`` is what was settled at the end of the window, less its fees; ``fee``: these
    fees. Both in cents. ``wait_ms``: from accepting to settling, in the mean; None where nothing was settled, and for
    the oracle.
    """

    earned_cents: int
    fee_cents: int
    wait_ms: int | None


class Change(NamedTuple):
    """A variable, its value when the window was replayed as it was, and the value that is advised."""

    variable: str
    now: int
    advised: int


class Window(NamedTuple):
    """What all advice about a window has in common.

    Parameters:
      from_ms, to_ms: of accepting, ms since 1970 UTC, the end excluded; what is settled at the end counts.
      payments, requested_cents: that were replayed.
      left_out: payments that ended as no setting can change.
      was: as the ledger has it; replayed: by the replay with the settings in force; oracle: the most that was possible.
      replays: how many settings were tried.
      program: the commit that has replayed it.
    """

    from_ms: int
    to_ms: int
    payments: int
    requested_cents: int
    left_out: int
    was: Earned
    replayed: Earned
    oracle: Earned
    replays: int
    program: str

    @property
    def error_cents(self) -> int:
        """The model's own error: by how much the replay of the settings in force differs from what was earned."""
        return abs(self.replayed.earned_cents - self.was.earned_cents)

    @property
    def missed_cents(self) -> int:
        """What was not earned and could have been by someone who knew the future."""
        return self.oracle.earned_cents - self.was.earned_cents


class Advice(NamedTuple):
    """One advice: ``changes`` of one variable, or of two, and what the replay earns with them.

    Without changes ``advised`` is None, and the verdict says why there is nothing to advise.
    """

    changes: tuple[Change, ...]
    advised: Earned | None
    verdict: str


def record(database: Database, window: Window, advice: Sequence[Advice]) -> list[int]:
    """Adds advice about a window, in one transaction; returns the numbers. Raises LedgerError."""
    assert all((one.advised is not None) == bool(one.changes) for one in advice), "a suggestion has its figure"
    now_ms, own = database.now_ms(), table.c
    with database.transaction() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        first = (connection.execute(sa.select(sa.func.max(own.number))).scalar() or 0) + 1
        rows = [
            {"number": first + place, **_values(window, one), **part, "created_ms": now_ms}
            for place, one in enumerate(advice)
            for part in _parts(one.changes)
        ]
        connection.execute(sa.insert(table), rows)
    return list(range(first, first + len(advice)))


def shown(database: Database, chosen: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    """The rows about windows that are ``chosen``, as a report has them, in the order of the windows and numbers.

    Raises LedgerError.
    """
    query = sa.select(table).where(chosen).order_by(table.c.from_ms, table.c.number, table.c.part)
    with database.transaction() as connection:
        return [_shown(dict(row)) for row in connection.execute(query).mappings()]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what follows from it: the gain, the model's error, and what was not settled at the window's end."""
    derived = {"time": row["from_ms"], "until": row["to_ms"], "gain_cents": None}
    derived["error_cents"] = abs(row["replayed_earned_cents"] - row["was_earned_cents"])
    if row["advised_earned_cents"] is not None:
        derived["gain_cents"] = row["advised_earned_cents"] - row["replayed_earned_cents"]
    for world in WORLDS:
        earned, fee = row[f"{world}_earned_cents"], row[f"{world}_fee_cents"]
        derived[f"{world}_unsettled_cents"] = None if earned is None else row["requested_cents"] - earned - fee
    return row | derived


def _parts(changes: Sequence[Change]) -> list[dict[str, Any]]:
    if not changes:
        return [{"part": 0, "variable": None, "value_now": None, "value_advised": None}]
    return [
        {"part": part, "variable": one.variable, "value_now": one.now, "value_advised": one.advised}
        for part, one in enumerate(changes)
    ]


def _values(window: Window, one: Advice) -> dict[str, Any]:
    values: dict[str, Any] = {
        "from_ms": window.from_ms, "to_ms": window.to_ms, "payments": window.payments, "left_out": window.left_out,
        "requested_cents": window.requested_cents, "replays": window.replays, "verdict": one.verdict,
        "program": window.program, "oracle_earned_cents": window.oracle.earned_cents,
        "oracle_fee_cents": window.oracle.fee_cents,
    }  # fmt: skip
    for name, earned in (("was", window.was), ("replayed", window.replayed), ("advised", one.advised)):
        for field in Earned._fields:
            values[f"{name}_{field}"] = None if earned is None else getattr(earned, field)
    return values
