"""When a processor may be asked for its health. Pure."""

from __future__ import annotations

from engine.routing.queries import ANSWER_MS_MAX


class HealthSchedule:
    """The times of the health queries to one processor, ``interval_ms`` apart."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self.from_ms = 0  # the next query may be sent from then on

    def asked(self, now_ms: int) -> None:
        """A query was sent. Until it has ended there is no other one."""
        self.from_ms = now_ms + ANSWER_MS_MAX + self._interval_ms

    def ended(self, now_ms: int) -> None:
        """The query has ended, with an answer or without.

        The processor measures the time between two queries where they arrive. The last one has arrived by now,
        however long it was on its way; so the next one, which leaves that much later, cannot come too soon.
        """
        self.from_ms = now_ms + self._interval_ms
