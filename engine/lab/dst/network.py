"""The dispatcher's network, virtual: requests go to the processors, ends come back, or the time-out does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.connectors import answers
from engine.connectors.answers import Outcome
from engine.dispatch.attempt import Attempt
from engine.lab.dst.processors import Processor
from engine.lab.dst.scheduler import Scheduler


class Network:
    """What :class:`engine.dispatch.transport.Transport` is to the dispatcher. It dies with it: the processors go on.

    Parameters:
      arrived: called when there is something for :meth:`results`.
    """

    def __init__(
        self,
        processors: Sequence[Processor],
        request_timeout_ms: int,
        scheduler: Scheduler,
        arrived: Callable[[], None],
    ) -> None:
        self._processors = processors
        self._request_timeout_ms = request_timeout_ms
        self._scheduler = scheduler
        self._arrived = arrived
        self._busy: set[int] = set()  # tickets without an end
        self._ended: list[tuple[Attempt, Outcome]] = []

    @property
    def in_flight(self) -> int:
        """Requests whose end was not handed out."""
        return len(self._busy) + len(self._ended)

    def send(self, attempt: Attempt) -> None:
        """Sends a payment or the question for it."""
        self._busy.add(attempt.ticket)
        self._scheduler.after(self._request_timeout_ms, self._end, attempt, answers.of_error(True))
        self._processors[attempt.processor].receive(attempt, self._end)

    def results(self) -> list[tuple[Attempt, Outcome]]:
        """Everything that has ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def drop(self, attempt: Attempt) -> None:
        """Drops the request of ``attempt``; its end is never told."""
        self._busy.discard(attempt.ticket)
        self._ended = [(other, end) for other, end in self._ended if other is not attempt]

    def abandon(self) -> None:
        """Drops every request; their ends are never told."""
        self._busy.clear()
        self._ended.clear()

    def _end(self, attempt: Attempt, end: Outcome) -> None:
        if attempt.ticket in self._busy:
            self._busy.remove(attempt.ticket)
            self._ended.append((attempt, end))
            self._arrived()
