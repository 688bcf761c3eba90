"""A way to a store that loses, repeats and delays what is said to it: for tests and the simulation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from engine.cluster.store import Store
from engine.cluster.values import Call, NoAnswerError


class Fate(Enum):
    """What becomes of a call on its way."""

    DONE = 0  # it arrives, and so does its answer
    LOST = 1  # it never arrives
    UNANSWERED = 2  # it is done, and its answer is lost
    LATE = 3  # it arrives when :meth:`Line.deliver` says so, and its answer is lost
    TWICE = 4  # it arrives, and once more when :meth:`Line.deliver` says so


class Line:
    """A cell's way to ``store``. ``fate`` decides for each call, for instance by a seeded draw."""

    def __init__(self, store: Store, fate: Callable[[Call], Fate]) -> None:
        self._store, self._fate = store, fate
        self._late: deque[Call] = deque()

    @property
    def late(self) -> int:
        """How many calls are still on their way."""
        return len(self._late)

    def call(self, operation: str, *arguments: Any) -> Any:
        """What the store's method returns. Raises what it raises, and NoAnswerError where no answer arrives."""
        call = Call(operation, arguments)
        fate = self._fate(call)
        if fate in (Fate.LATE, Fate.TWICE):
            self._late.append(call)
        if fate in (Fate.LOST, Fate.LATE):
            raise NoAnswerError("no answer")
        answer = self._store.perform([call])[0]
        if fate == Fate.UNANSWERED:
            raise NoAnswerError("no answer")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def deliver(self) -> Any:
        """The oldest late call arrives. Returns what the store says, which nobody hears; None when there is none."""
        return self._store.perform([self._late.popleft()])[0] if self._late else None
