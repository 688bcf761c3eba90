"""The ledgers of the ledger's own tests."""

from tests.ledger.conftest import ledger, ledger_url, migrated, postgresql, template

__all__ = ["ledger", "ledger_url", "migrated", "postgresql", "template"]
