"""The tables of the ledger as this program knows them, for SQLite and PostgreSQL. :mod:`engine.ledger.migrations` makes
them; a test compares the two.

Times are ms since 1970 UTC, money is cents, ids and the engine's number are 16 bytes, numbers of 64 bits are stored as
signed ones (:func:`signed`). ``created_ms`` and ``updated_ms`` say when the ledger wrote a row. In SQLite every table
is STRICT. In PostgreSQL ``payment`` is partitioned by the hash of its id, so that its key can keep ids unique; what
grows with time is partitioned by the day of its time (:mod:`engine.ledger.partitions`).
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from engine.ledger.rows import OPEN
from engine.memory import layout
from engine.memory.words import WORD_MAX

VERSION: Final = "0004"  # the newest migration
PAYMENT_PARTITIONS: Final = 8
NAMING: Final = {"pk": "%(table_name)s_pkey", "ck": "%(table_name)s_%(constraint_name)s"}

# Alike in both databases, and only as wide as it needs to be in PostgreSQL. STRICT knows one kind of integer.
BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL: Final = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
ID: Final = sa.LargeBinary()

metadata = sa.MetaData(naming_convention=NAMING)
# Literals: SQLite uses a partial index for a query only if both have the same text.
IS_COMPLETED: Final = f"state = {layout.COMPLETED}"
IS_NOT_COMPLETED: Final = f"state <> {layout.COMPLETED}"
IS_OPEN: Final = f"state IN ({', '.join(map(str, OPEN))})"


def _column(name: str, kind: Any, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null)


def _by_day(column: str) -> dict[str, Any]:
    return {"sqlite_strict": True, "postgresql_partition_by": f"RANGE ({column})"}


def _partial(where: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}


payment = sa.Table(
    "payment",
    metadata,
    _column("id", ID),
    _column("era", sa.Integer()),
    _column("state", SMALL),
    _column("processor", SMALL, null=True),
    _column("attempts", sa.Integer()),
    _column("cents", BIG),
    _column("accepted_ms", BIG),
    _column("requested_ms", BIG, null=True),
    _column("settled_ms", BIG, null=True),
    _column("waited_ms", BIG, null=True),
    _column("fee_ppm", sa.Integer(), null=True),
    _column("fee_cents", BIG, null=True),
    _column("reason", SMALL),
    _column("ring", SMALL),
    _column("position", BIG),
    _column("created_ms", BIG),
    _column("updated_ms", BIG),
    # By id first: one index finds an id in its era and its history in all of them.
    sa.PrimaryKeyConstraint("id", "era"),
    sa.CheckConstraint("length(id) = 16", name="id_has_16_bytes"),
    sa.CheckConstraint("cents >= 0", name="cents_not_negative"),
    sqlite_strict=True,
    postgresql_partition_by="HASH (id)",
)
sa.Index("payment_accepted", payment.c.accepted_ms)
sa.Index("payment_processor", payment.c.processor, payment.c.accepted_ms)
# Windows are summed from this index alone.
sa.Index(
    "payment_window", payment.c.era, payment.c.processor, payment.c.requested_ms, payment.c.cents,
    **_partial(IS_COMPLETED),
)  # fmt: skip
# Few payments are not completed, so this index is small, and those that are open are found at once.
sa.Index("payment_state", payment.c.state, payment.c.accepted_ms, **_partial(IS_NOT_COMPLETED))

attempt = sa.Table(
    "attempt",
    metadata,
    _column("journal", BIG),
    _column("sequence", BIG),
    _column("era", sa.Integer()),
    _column("id", ID),
    _column("number", sa.Integer(), null=True),
    _column("processor", SMALL),
    _column("is_lookup", SMALL),
    _column("began_ms", BIG),
    _column("ended_ms", BIG, null=True),
    _column("outcome", SMALL, null=True),
    _column("status", sa.Integer(), null=True),
    _column("error", sa.Text(), null=True),
    _column("latency_us", BIG, null=True),
    _column("requested_ms", BIG, null=True),
    _column("created_ms", BIG),
    _column("updated_ms", BIG),
    sa.PrimaryKeyConstraint("sequence", "journal", "began_ms"),
    sa.CheckConstraint("length(id) = 16", name="id_has_16_bytes"),
    **_by_day("began_ms"),
)
sa.Index("attempt_id", attempt.c.id)
sa.Index("attempt_began", attempt.c.began_ms, postgresql_using="brin")

processor_health = sa.Table(
    "processor_health",
    metadata,
    _column("journal", BIG),
    _column("sequence", BIG),
    _column("processor", SMALL),
    _column("at_ms", BIG),
    _column("failing", SMALL, null=True),
    _column("min_response_ms", BIG, null=True),
    _column("status", sa.Integer(), null=True),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("sequence", "journal", "at_ms"),
    **_by_day("at_ms"),
)
sa.Index("processor_health_at", processor_health.c.at_ms, postgresql_using="brin")

processor_state = sa.Table(
    "processor_state",
    metadata,
    _column("journal", BIG),
    _column("sequence", BIG),
    _column("processor", SMALL),
    _column("at_ms", BIG),
    _column("state", SMALL),
    _column("failures", BIG, null=True),
    _column("rate_ppm", BIG, null=True),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("sequence", "journal", "at_ms"),
    **_by_day("at_ms"),
)
sa.Index("processor_state_at", processor_state.c.at_ms, postgresql_using="brin")

fee_schedule = sa.Table(
    "fee_schedule",
    metadata,
    _column("processor", SMALL),
    _column("valid_from_ms", BIG),
    _column("ppm", sa.Integer()),
    _column("created_ms", BIG),
    _column("updated_ms", BIG),
    sa.PrimaryKeyConstraint("processor", "valid_from_ms"),
    sqlite_strict=True,
)

# Not partitioned: its old seconds become minutes, and of those a year has half a million.
sample = sa.Table(
    "sample",
    metadata,
    _column("at_ms", BIG),
    _column("seconds", sa.Integer()),
    _column("accepted", BIG),
    _column("settled", BIG),
    _column("accept_p50_us", BIG, null=True),
    _column("accept_p99_us", BIG, null=True),
    _column("settle_p50_us", BIG, null=True),
    _column("settle_p99_us", BIG, null=True),
    _column("backlog", BIG),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("at_ms", "seconds"),
    sqlite_strict=True,
)

era = sa.Table(
    "era",
    metadata,
    _column("number", sa.Integer()),
    _column("began_ms", BIG),
    _column("ended_ms", BIG, null=True),
    _column("generation", BIG),
    _column("why", sa.Text()),
    _column("created_ms", BIG),
    _column("updated_ms", BIG),
    sa.PrimaryKeyConstraint("number"),
    sqlite_strict=True,
)

gap = sa.Table(
    "gap",
    metadata,
    sa.Column("number", sa.Integer(), sa.Identity(), primary_key=True),
    _column("source", sa.Text()),
    _column("generation", BIG),
    _column("first", BIG),
    _column("last", BIG),
    _column("missing", BIG),
    _column("at_ms", BIG),
    _column("why", sa.Text()),
    _column("created_ms", BIG),
    sqlite_strict=True,
)

# Rows that could not be written, and why.
rejected = sa.Table(
    "rejected",
    metadata,
    sa.Column("number", sa.Integer(), sa.Identity(), primary_key=True),
    _column("source", sa.Text()),
    _column("what", sa.Text()),
    _column("error", sa.Text()),
    _column("created_ms", BIG),
    sqlite_strict=True,
)

# Names of the processors, by number.
processor = sa.Table(
    "processor",
    metadata,
    _column("number", SMALL),
    _column("name", sa.Text()),
    _column("created_ms", BIG),
    _column("updated_ms", BIG),
    sa.PrimaryKeyConstraint("number"),
    sqlite_strict=True,
)

# One row: whose database it is and how far it has come. `rings` is a JSON array of arrays, as rows.RingCursor.
cursor = sa.Table(
    "cursor",
    metadata,
    _column("one", SMALL),
    _column("engine", ID),
    _column("name", sa.Text()),
    _column("generation", BIG),
    _column("era", sa.Integer()),
    _column("journal_number", BIG),
    _column("journal", BIG),
    _column("parked", BIG),
    _column("purges", BIG),
    _column("rings", sa.Text()),
    _column("created_ms", BIG),
    _column("updated_ms", BIG),
    sa.PrimaryKeyConstraint("one"),
    sa.CheckConstraint("one = 1", name="has_one_row"),
    sqlite_strict=True,
)

# How far back a table reaches: what is older was dropped by retention.
reach = sa.Table(
    "reach",
    metadata,
    _column("name", sa.Text()),
    _column("from_ms", BIG),
    _column("updated_ms", BIG),
    sa.PrimaryKeyConstraint("name"),
    sqlite_strict=True,
)

# A view: the double entries of every completed payment. Its `microcents` are millionths of a cent, so that a fee is
# exact. Those of a payment sum to zero: what the processor owes, less its fee, less the shop's profit.
posting = sa.table(
    "posting",
    *(sa.column(name) for name in ("id", "era", "processor", "requested_ms", "account", "microcents")),
)

# One row for each run of `reconcile`: its stretch (both ends included), what it asked, and how many it found.
reconciliation = sa.Table(
    "reconciliation",
    metadata,
    sa.Column("number", sa.Integer(), sa.Identity(), primary_key=True),
    _column("from_ms", BIG),
    _column("to_ms", BIG),
    _column("is_deep", SMALL),
    _column("windows", sa.Integer()),
    _column("summaries", sa.Integer()),
    _column("lookups", sa.Integer()),
    _column("found", sa.Integer()),
    _column("failure", sa.Text(), null=True),
    _column("began_ms", BIG),
    _column("created_ms", BIG),
    sqlite_strict=True,
)

# Every version of every exception; the highest version is what is known now. `payments` and `cents` are theirs less
# ours, `there_ms` the time under which they have it.
exception = sa.Table(
    "exception",
    metadata,
    _column("number", sa.Integer()),
    _column("version", sa.Integer()),
    _column("reconciliation", sa.Integer(), null=True),
    _column("state", sa.Text()),
    _column("against", sa.Text()),
    _column("processor", SMALL),
    _column("from_ms", BIG),
    _column("to_ms", BIG),
    _column("id", ID, null=True),
    _column("payments", BIG),
    _column("cents", BIG),
    _column("there_ms", BIG, null=True),
    _column("evidence", sa.Text()),
    _column("decided_by", sa.Text(), null=True),
    _column("created_ms", BIG),
    sa.PrimaryKeyConstraint("number", "version"),
    sa.CheckConstraint("id IS NULL OR length(id) = 16", name="id_has_16_bytes"),
    sqlite_strict=True,
)

# By day in PostgreSQL, and the time that says which day.
BY_DAY: Final = {attempt: attempt.c.began_ms, processor_health: processor_health.c.at_ms,
                 processor_state: processor_state.c.at_ms}  # fmt: skip


def signed(number: int) -> int:
    """A number of 64 bits as a signed one, which is what a database has. Raises OverflowError for a longer one."""
    return int.from_bytes(number.to_bytes(8, "big"), "big", signed=True)


def unsigned(number: int) -> int:
    """What :func:`signed` was given."""
    return number & WORD_MAX
