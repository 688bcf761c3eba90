"""What Alembic runs for an upgrade: the migrations, on the connection that :mod:`engine.ledger.migrate` hands over."""

from __future__ import annotations

from alembic import context

# SQLite undoes a change of its schema as it undoes any other; Alembic does not expect that by itself.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
