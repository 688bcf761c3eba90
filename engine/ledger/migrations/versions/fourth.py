"""What was advised, with its figures."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQLITE = {"big": "INTEGER", "small": "INTEGER", "end": "STRICT"}
POSTGRESQL = {"big": "BIGINT", "small": "SMALLINT", "end": ""}
STATEMENTS = (
    """
    CREATE TABLE advice (
        number INTEGER NOT NULL,
        part {small} NOT NULL,
        from_ms {big} NOT NULL,
        to_ms {big} NOT NULL,
        variable TEXT,
        value_now {big},
        value_advised {big},
        payments {big} NOT NULL,
        left_out {big} NOT NULL,
        requested_cents {big} NOT NULL,
        was_earned_cents {big} NOT NULL,
        was_fee_cents {big} NOT NULL,
        replayed_earned_cents {big} NOT NULL,
        replayed_fee_cents {big} NOT NULL,
        advised_earned_cents {big},
        advised_fee_cents {big},
        oracle_earned_cents {big} NOT NULL,
        oracle_fee_cents {big} NOT NULL,
        was_wait_ms {big},
        replayed_wait_ms {big},
        advised_wait_ms {big},
        replays INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        program TEXT NOT NULL,
        created_ms {big} NOT NULL,
        CONSTRAINT advice_pkey PRIMARY KEY (number, part)
    ) {end}
    """,
    "CREATE INDEX advice_from ON advice (from_ms)",
)


def upgrade() -> None:
    """Makes the table."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in STATEMENTS:
        op.execute(statement.format(**(SQLITE if is_sqlite else POSTGRESQL)))
