"""A circuit breaker for one processor. Pure: it is told the time and what happened."""

from __future__ import annotations

PATIENCE_MS = 1000  # a trial that has no answer for so long does not keep the next one waiting


class Breaker:
    """Opens after ``failures`` failures in a row or on a bad health answer; while it is open one trial at a time is let
    through, the next one ``trial_interval_ms`` after the last one failed. Closes on a success or a good health answer.
    """

    def __init__(self, failures: int, trial_interval_ms: int) -> None:
        self._failures_max = failures
        self._trial_interval_ms = trial_interval_ms
        self._failures = 0
        self.is_open = False
        self.trial_ms = 0  # while it is open: when the next trial is due

    def trial_began(self, now_ms: int) -> None:
        """A trial was let through."""
        self.trial_ms = now_ms + PATIENCE_MS

    def succeeded(self) -> None:
        """The processor took a payment, or says that it is well."""
        self._failures = 0
        self.is_open = False

    def failed(self, now_ms: int) -> None:
        """The processor failed a payment."""
        self._failures += 1
        if self.is_open or self._failures >= self._failures_max:
            self.open(now_ms)

    def open(self, now_ms: int) -> None:
        """Opens, or stays open and puts the next trial off."""
        self.is_open = True
        self.trial_ms = now_ms + self._trial_interval_ms
