"""The operators' port of the engine under test."""

from __future__ import annotations

from engine.lab.services.service import Service


class Console(Service):
    """The console on ``port`` of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        super().__init__("console", f"http://127.0.0.1:{port}", {})

    def metrics(self) -> str:
        """``/metrics`` in the text format. Raises ServiceError."""
        return self.exchange("GET", "/metrics")[1].decode()
