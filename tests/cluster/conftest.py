"""The store's PostgreSQL is the ledger's tests' one."""

from tests.ledger.conftest import postgresql

__all__ = ["postgresql"]
