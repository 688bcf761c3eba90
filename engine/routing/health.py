"""When a processor may be asked for its health. Pure."""

from __future__ import annotations

from engine.routing.queries import ANSWER_MS_MAX


class HealthSchedule:
    """The times of the health queries to one processor, ``interval_ms`` apart."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self.from_ms = 0  # the next query may be sent from this time on

    def asked(self, now_ms: int) -> None:
        """A query was sent. No other query is sent until it has ended."""
        self.from_ms = now_ms + ANSWER_MS_MAX + self._interval_ms

    def ended(self, now_ms: int) -> None:
        """The query has ended, with an answer or without.

        The processor measures the time between two queries when they arrive. The last one has arrived by now, however
        long it took. So the next one, which leaves a whole interval later, cannot arrive too soon.
        """
        self.from_ms = now_ms + self._interval_ms
