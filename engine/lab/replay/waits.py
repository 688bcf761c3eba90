"""How long payments wait by choice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from engine.lab.replay.processor import ModelledProcessor
from engine.routing.observed import ObservedProcessor

SLOW_MS = 1500  # a processor that takes so long is not one that a payment should have been sent to: audits see it


class WaitClock:
    """Runs only while payments wait for no good reason: some processor is in truth healthy and not kept busy.

    The time is kept as the spans in which it ran: the voluntary wait of a payment is the part of them between its
    acceptance and its being sent.
    """

    def __init__(self) -> None:
        self.end_us = 0  # of the last span
        self._from_us: list[int] = []
        self._to_us: list[int] = []
        self._before_us: list[int] = []  # what the clock showed at the beginning of each span

    def run(self, from_us: int, to_us: int) -> None:
        """It ran between two moments; the first is no earlier than the end of the last span."""
        if self._to_us and self._to_us[-1] == from_us:
            self._to_us[-1] = to_us
        else:
            self._before_us.append(self.at(from_us))
            self._from_us.append(from_us)
            self._to_us.append(to_us)
        self.end_us = to_us

    def at(self, time_us: int) -> int:
        """What it showed at a moment (µs)."""
        index = bisect_right(self._from_us, time_us) - 1
        if index < 0:
            return 0
        return self._before_us[index] + min(time_us, self._to_us[index]) - self._from_us[index]

    def run_while_voluntary(
        self,
        from_us: int,
        to_us: int,
        processors: Sequence[ModelledProcessor],
        observed: Sequence[ObservedProcessor],
    ) -> None:
        """Payments wait between two passes: it runs while some processor could have had them."""
        begin_us = from_us
        while begin_us < to_us:
            end_us, is_voluntary = to_us, False
            for processor, seen in zip(processors, observed, strict=True):
                course = processor.course
                index = course.index(begin_us)
                if index + 1 < len(course.changes_us):
                    end_us = min(end_us, course.changes_us[index + 1])
                is_well = not course.failing[index] and course.delays_us[index] < SLOW_MS * 1000
                if is_well and not processor.is_saturated(begin_us, seen.in_flight, to_us - from_us):
                    is_voluntary = True
            if is_voluntary:
                self.run(begin_us, end_us)
            begin_us = end_us
