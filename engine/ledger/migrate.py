"""Brings the schema of a database to this program's version. The program does it, not Alembic's command line."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from engine.ledger import migrations, schema
from engine.ledger.version import version

_LOCK = 0x6C6564676572  # of PostgreSQL's advisory locks: who migrates; "ledger"


def revisions() -> list[str]:
    """All released versions of the schema, the oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def upgrade(connection: sa.Connection, to: str = schema.VERSION) -> None:
    """Brings the schema to the version ``to``, in the transaction that ``connection`` is in. Raises TooNewError."""
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    if version(connection) == to:
        return
    if is_postgresql:  # a lock is waited for no longer than ever
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
