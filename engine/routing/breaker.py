"""Whether a processor is taken for failing, and whether it has proved itself since it recovered. Pure."""

from __future__ import annotations

from engine.routing.failures import Failures


class Breaker:
    """Opens by an outage, as ``failures`` judges it, and closes by a success; the processor's own word does both."""

    def __init__(self, failures: Failures) -> None:
        self.failures = failures
        self.is_open = False
        # When the processor recovered; None: that is proved, for it has answered a request that was begun after that.
        self.recovered_ms: int | None = None

    def failed(self, now_ms: int, key: int, *, is_refusal: bool) -> None:
        """The payment ``key`` has failed, or (``is_refusal``) was refused for what it is."""
        self.is_open |= self.failures.failed(now_ms, key, is_refusal)

    def succeeded(self, now_ms: int, begun_ms: int) -> bool:
        """A request that was begun at ``begun_ms`` was answered. Whether the processor has recovered by that."""
        failures = self.failures
        failures.successes += 1
        if failures.row and failures.end_row(now_ms):
            self.is_open = False  # it has not recovered: that was no outage
        if self.is_open:
            self.is_open = False
            self.recovered_ms = now_ms
            return True
        if self.recovered_ms is not None and begun_ms >= self.recovered_ms:
            self.recovered_ms = None
        return False

    def told_failing(self, now_ms: int) -> None:
        """The processor says itself that it fails."""
        self.is_open = True
        self.failures.told(now_ms)

    def told_working(self) -> bool:
        """The processor says itself that it does not fail. Whether it has recovered by that."""
        self.failures.forget_row()
        self.recovered_ms = None  # it has said how long it takes now
        was_open, self.is_open = self.is_open, False
        return was_open
