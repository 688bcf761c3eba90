"""Which version the schema of a database has. Who only reads needs no Alembic for that."""

from __future__ import annotations

import sqlalchemy as sa

from engine.ledger import schema
from engine.ledger.errors import AwayError, TooNewError

_TABLE = sa.table("alembic_version", sa.column("version_num"))


def version(connection: sa.Connection) -> str | None:
    """The version of the schema in a database; None when it has none. Raises TooNewError.

    Versions are numbers of four digits.
    """
    if not sa.inspect(connection).has_table(_TABLE.name):
        return None
    found: str | None = connection.execute(sa.select(_TABLE.c.version_num)).scalar()
    if found is not None and found > schema.VERSION:
        raise TooNewError(
            f"the ledger's database has schema version {found}, and this program knows versions up to "
            f"{schema.VERSION}: start the program that wrote it, or restore a backup from before"
        )
    return found


def check(connection: sa.Connection) -> None:
    """Raises AwayError when the schema is older than this program, and TooNewError when it is newer."""
    found = version(connection)
    if found != schema.VERSION:
        raise AwayError(
            f"the ledger's database has {f'schema version {found}' if found else 'no schema yet'}: "
            "the ledger process brings it up when it starts"
        )
