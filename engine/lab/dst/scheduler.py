"""Virtual time: what happens next, and what the clocks show."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

from engine.dispatch.attempt import Now


class Scheduler:
    """A queue of events in the order of their time; those of one millisecond in random order.

    ``mono_ms`` never goes back. ``wall_ms`` is ``mono_ms`` and an offset that steps now and then.
    """

    def __init__(self, chance: Random, mono_ms: int, wall_ms: int) -> None:
        self._chance = chance
        self._events: list[tuple[int, float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = 0
        self._offset_ms = wall_ms - mono_ms
        self.mono_ms = mono_ms
        self.wall_ms_max = wall_ms
        self.is_set_back = False  # the wall clock, ever

    @property
    def now(self) -> Now:
        """What both clocks show."""
        return Now(self.mono_ms, self.mono_ms + self._offset_ms)

    def after(self, wait_ms: float, action: Callable[..., object], *arguments: Any) -> None:
        """Does ``action(*arguments)`` ``wait_ms`` from now."""
        self._order += 1
        event = (self.mono_ms + int(wait_ms), self._chance.random(), self._order, action, arguments)
        heapq.heappush(self._events, event)

    def step_wall_clock(self, by_ms: int) -> None:
        """Somebody sets the wall clock."""
        self._offset_ms += by_ms
        self.is_set_back = self.is_set_back or by_ms < 0
        self.wall_ms_max = max(self.wall_ms_max, self.mono_ms + self._offset_ms)

    def run_next(self, until_ms: int) -> bool:
        """Does what is next; False when nothing is left before ``until_ms``, which it is then."""
        if not self._events or self._events[0][0] > until_ms:
            self.mono_ms = max(self.mono_ms, until_ms)
            self.wall_ms_max = max(self.wall_ms_max, self.mono_ms + self._offset_ms)
            return False
        self.mono_ms, _, _, action, arguments = heapq.heappop(self._events)
        self.wall_ms_max = max(self.wall_ms_max, self.mono_ms + self._offset_ms)
        action(*arguments)
        return True
