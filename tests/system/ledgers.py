"""The ledger of a running engine, read by a test."""

from __future__ import annotations

from engine import settings as settings_module
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import LedgerError
from tests.system.client import wait_until
from tests.system.running import Engine


def opened(engine: Engine, seconds: float) -> Database:
    """The ledger, once its process has made it, within so many seconds; the caller closes it."""
    settings = settings_module.read(engine.place.settings)

    def is_there() -> bool:
        try:
            open_ledger(settings.ledger_url, name=settings.host.name, reads_only=True).close()
        except LedgerError:
            return False
        return True

    wait_until(is_there, seconds, "the ledger has made its database")
    return open_ledger(settings.ledger_url, name=settings.host.name, reads_only=True)
