"""What operators have asked for, and what became of it."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQLITE = {"big": "INTEGER", "small": "INTEGER", "bytes": "BLOB", "end": "STRICT"}
POSTGRESQL = {"big": "BIGINT", "small": "SMALLINT", "bytes": "BYTEA", "end": ""}
STATEMENTS = (
    """
    CREATE TABLE operator_action (
        id {bytes} NOT NULL,
        era INTEGER NOT NULL,
        act {small} NOT NULL,
        processor {small},
        who TEXT NOT NULL,
        why TEXT NOT NULL,
        evidence TEXT NOT NULL,
        selection TEXT NOT NULL,
        payments INTEGER NOT NULL,
        cents {big} NOT NULL,
        created_ms {big} NOT NULL,
        CONSTRAINT operator_action_pkey PRIMARY KEY (id),
        CONSTRAINT operator_action_id_has_16_bytes CHECK (length(id) = 16)
    ) {end}
    """,
    "CREATE INDEX operator_action_created ON operator_action (created_ms)",
    """
    CREATE TABLE operator_action_item (
        action {bytes} NOT NULL,
        payment {bytes} NOT NULL,
        state {small} NOT NULL,
        reason {small} NOT NULL,
        processor {small} NOT NULL,
        attempts INTEGER NOT NULL,
        cents {big} NOT NULL,
        created_ms {big} NOT NULL,
        CONSTRAINT operator_action_item_pkey PRIMARY KEY (action, payment)
    ) {end}
    """,
    "CREATE INDEX operator_action_item_payment ON operator_action_item (payment)",
    """
    CREATE TABLE operator_action_result (
        action {bytes} NOT NULL,
        payment {bytes} NOT NULL,
        act {small} NOT NULL,
        processor {small} NOT NULL,
        result {small} NOT NULL,
        state_before {small} NOT NULL,
        reason_before {small} NOT NULL,
        state_after {small} NOT NULL,
        reason_after {small} NOT NULL,
        at_ms {big} NOT NULL,
        created_ms {big} NOT NULL,
        CONSTRAINT operator_action_result_pkey PRIMARY KEY (action, payment)
    ) {end}
    """,
)


def upgrade() -> None:
    """Makes the tables."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in STATEMENTS:
        op.execute(statement.format(**(SQLITE if is_sqlite else POSTGRESQL)))
