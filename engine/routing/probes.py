"""When a single payment, a probe, finds out whether a processor is back. Pure."""

from __future__ import annotations

from engine.routing.latency import Latency
from engine.routing.policy import SLOW_PROBES, SUSPECT_PACE
from engine.routing.state import ProcessorState


class Probes:
    """The probes at one processor: one each ``interval_ms`` while it is not healthy. A probe does not wait for the
    answer to the last one, which may have been sent before the processor recovered and may still take long. At most
    ``in_flight_max`` are in flight while the processor fails or hangs.
    """

    def __init__(self, interval_ms: int, in_flight_max: int) -> None:
        self._interval_ms = interval_ms
        self._in_flight_max = in_flight_max
        self.in_flight: set[int] = set()  # tickets
        self.due_ms = 0  # the next probe is sent no sooner

    @property
    def may_begin(self) -> bool:
        """Whether one more probe may be in flight."""
        return len(self.in_flight) < self._in_flight_max

    def wait(self, now_ms: int) -> None:
        """The processor's state has changed: the next probe is due in an interval."""
        self.due_ms = now_ms + self._interval_ms

    def began(self, now_ms: int, ticket: int, state: ProcessorState, latency: Latency) -> None:
        """A request was begun at the processor, which is not healthy: the next probe is due later."""
        if state is not ProcessorState.SLOW:
            self.in_flight.add(ticket)
        self.due_ms = now_ms + max(self._interval_ms, self._pace_ms(state, latency))

    def _pace_ms(self, state: ProcessorState, latency: Latency) -> int:
        """Spreads the probes over the time that one takes: not all may be in flight when the processor recovers."""
        if state is ProcessorState.SLOW:
            return latency.usual_ms // SLOW_PROBES
        if state is ProcessorState.SUSPECT:
            return SUSPECT_PACE * self._interval_ms
        return latency.failing_ms // self._in_flight_max
