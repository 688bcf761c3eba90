"""A processor as the replay needs it: what becomes of a request is known the moment it arrives. Pure.

The stages are known, so nothing has to be scheduled: where :class:`engine.lab.simulate.behaviour.Processor` waits for a
delay to be over and then looks whether it is failing, this one looks into the stages. A test compares the two.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from engine.lab.contest.scenario import BEFORE_FIRST_STAGE, Condition, Flaky, Scenario
from engine.lab.replay.model import Model, share_of

# What a request ends with; a time-out is the caller's.
CHARGED, FAILED, REJECTED, TIMED_OUT = 0, 1, 2, 3


class Course:
    """How one processor is at every moment, by the stages of a scenario. Times are µs since the load began."""

    def __init__(self, scenario: Scenario, processor: int) -> None:
        changes: list[tuple[int, Condition]] = []
        for stage in (BEFORE_FIRST_STAGE, *scenario.stages):
            changes.append((round(stage.at_s * 1_000_000), stage.fallback if processor else stage.default))
        self.changes_us = [at_us for at_us, _ in changes]
        self.delays_us = [condition.delay_ms * 1000 for _, condition in changes]
        self.failing = [condition.failing for _, condition in changes]
        self.failing_shares = [float(c.failing_share) if isinstance(c, Flaky) else 0.0 for _, c in changes]
        self.name = f"{scenario.name} {processor}"

    def index(self, time_us: int) -> int:
        """Which of the conditions holds; a change holds from its very moment on."""
        return max(0, bisect_right(self.changes_us, time_us) - 1)

    def turns(self, to_failing: bool) -> list[int]:
        """When it begins to fail, or when it recovers (µs)."""
        pairs = zip(self.failing, self.failing[1:], self.changes_us[1:], strict=False)
        return [at_us for before, after, at_us in pairs if before != after and after == to_failing]


class ModelledProcessor:
    """One processor; requests must be handed in in the order of their times.

    See :class:`engine.lab.replay.model.Model` for what becomes of a request.
    """

    def __init__(self, course: Course, model: Model) -> None:
        self.course = course
        self._model = model
        self._index = 0
        self._until_us = self._next_change_us(0)
        self._thread_free_us = 0
        self._slots_us: list[int] = []  # heap: when each of the ``handled_max`` is free, or has become free
        self._turns_us: deque[int] = deque()  # when those that had to wait get their turn
        self._health_again_us = 0
        self._tries = 0  # requests that could fail at random

    def pay(self, now_us: int) -> tuple[int, int]:
        """Takes a request at ``now_us``; returns when it ends (µs), and with what.

        A payment that is charged is inserted at that very moment.
        """
        model, slots_us = self._model, self._slots_us
        turn_us = now_us
        if len(slots_us) == model.handled_max and slots_us[0] > now_us:
            turns_us = self._turns_us
            while turns_us and turns_us[0] <= now_us:
                turns_us.popleft()
            if len(turns_us) == model.waiting_max:
                return now_us, REJECTED
            turn_us = slots_us[0]
            turns_us.append(turn_us)
        begin_us = (turn_us if turn_us > self._thread_free_us else self._thread_free_us) + model.service_us
        self._thread_free_us = begin_us
        while begin_us >= self._until_us:
            self._index += 1
            self._until_us = self._next_change_us(self._index)
        course, index = self.course, self._index
        end_us = begin_us + course.delays_us[index]
        if len(slots_us) == model.handled_max:
            heapq.heapreplace(slots_us, end_us)
        else:
            heapq.heappush(slots_us, end_us)
        if end_us >= self._until_us:
            index = course.index(end_us)
        if course.failing[index] or (course.failing_shares[index] and self._fails(course.failing_shares[index])):
            return end_us, FAILED
        return end_us, CHARGED

    def health(self, now_us: int) -> tuple[bool, int] | None:
        """Whether it is failing, and its delay (ms); None if it was asked too soon."""
        if now_us < self._health_again_us:
            return None
        self._health_again_us = now_us + self._model.health_window_ms * 1000
        index = self.course.index(now_us)
        return self.course.failing[index], self.course.delays_us[index] // 1000

    def is_saturated(self, now_us: int, in_flight: int, gap_us: int) -> bool:
        """Whether ``in_flight`` requests keep it as busy as it can be for the next ``gap_us``."""
        model = self._model
        if not model.service_us:
            return in_flight >= model.handled_max
        needed = (self.course.delays_us[self.course.index(now_us)] + 2 * model.transit_us + gap_us) // model.service_us
        return in_flight >= min(model.handled_max, needed)

    def _fails(self, share: float) -> bool:
        """Whether this request is one of those that fail at random; the same ones each time."""
        self._tries += 1
        return share_of(self.course.name, self._tries) < share

    def _next_change_us(self, index: int) -> int:
        changes_us: Sequence[int] = self.course.changes_us
        return changes_us[index + 1] if index + 1 < len(changes_us) else 1 << 62
