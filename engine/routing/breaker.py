"""Whether a processor counts as failing, and whether it has proved itself since it recovered. Pure."""

from __future__ import annotations

from engine.routing.failures import Failures


class Breaker:
    """Opens at an outage, as ``failures`` judges it, and closes at a success. A health answer can do both."""

    def __init__(self, failures: Failures) -> None:
        self.failures = failures
        self.is_open = False
        # When the processor recovered. None: its recovery is proved by the answer to a request that was begun later.
        self.recovered_ms: int | None = None

    def failed(self, now_ms: int, key: int, *, is_refusal: bool) -> None:
        """The payment ``key`` has failed, or the processor refused this payment itself (``is_refusal``)."""
        self.is_open |= self.failures.failed(now_ms, key, is_refusal)

    def succeeded(self, now_ms: int, begun_ms: int) -> bool:
        """A request that was begun at ``begun_ms`` was answered. Returns whether the processor has recovered."""
        failures = self.failures
        failures.successes += 1
        if failures.row and failures.end_row(now_ms):
            self.is_open = False  # this is no recovery: there was no outage
        if self.is_open:
            self.is_open = False
            self.recovered_ms = now_ms
            return True
        if self.recovered_ms is not None and begun_ms >= self.recovered_ms:
            self.recovered_ms = None
        return False

    def told_failing(self, now_ms: int) -> None:
        """The processor's health answer says that it fails."""
        self.is_open = True
        self.failures.told(now_ms)

    def told_working(self) -> bool:
        """The processor's health answer says that it works. Returns whether it has recovered."""
        self.failures.forget_row()
        self.recovered_ms = None  # the health answer also says how long it takes now
        was_open, self.is_open = self.is_open, False
        return was_open
