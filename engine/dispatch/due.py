"""Payments that each wait until a moment of their own. Pure."""

from __future__ import annotations

import heapq
from typing import Generic, Protocol, TypeVar


class Waits(Protocol):
    """What may wait; ``is_over``: it does not wait any more, even if a collection still holds it."""

    is_over: bool


W = TypeVar("W", bound=Waits)


class Due(Generic[W]):
    """Those that wait, in the order in which they are due. Times are the engine's clock in ms."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, W]] = []  # (due_ms, number, one that waits)
        self._number = 0

    def wait(self, one: W, due_ms: int) -> None:
        """``one`` waits until ``due_ms``. If several are due at the same time, the first that was added comes first."""
        self._number += 1
        heapq.heappush(self._heap, (due_ms, self._number, one))

    def next_ms(self) -> int | None:
        """When the next one is due; None: none waits."""
        heap = self._heap
        while heap and heap[0][2].is_over:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take(self) -> W:
        """Takes the one that is due next. :meth:`next_ms` must have said that there is one."""
        return heapq.heappop(self._heap)[2]

    def clear(self) -> None:
        """Forgets all."""
        self._heap.clear()
