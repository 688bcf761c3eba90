"""The engine under test."""

from __future__ import annotations

from engine.lab.contest.books import BooksError, Totals, engine_totals
from engine.lab.services.addresses import Addresses
from engine.lab.services.service import Service, ServiceError, Window, windowed


class Engine(Service):
    """The backend under test. Raises ServiceError if its address cannot be used."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__("engine", addresses.engine, {})
        self._processors = tuple(addresses.processors)

    def summary(self, window: Window | None = None) -> Totals:
        """``/payments-summary``. Raises ServiceError."""
        try:
            return engine_totals(self.json("GET", windowed("/payments-summary", window)), self._processors)
        except BooksError as error:
            raise ServiceError(f"engine: /payments-summary: {error}") from None

    def queues(self) -> tuple[int, int]:
        """Payments that are pending, and that were given up. Raises ServiceError."""
        content = self.json("GET", "/health")
        try:
            return int(content["queues"]["pending"]), int(content["queues"]["failed"])
        except (KeyError, TypeError, ValueError):
            raise ServiceError(f"engine: /health: has no queues: {content!r:.200}") from None

    def knows(self, correlation_id: str) -> bool:
        """Whether it has a status for this payment. Raises ServiceError."""
        try:
            self.exchange("GET", f"/payments/{correlation_id}/status")
        except ServiceError as error:
            if error.status == 404:
                return False
            raise
        return True

    def purge(self) -> None:
        """Makes it forget everything. Raises ServiceError."""
        self.exchange("POST", "/purge-payments")
