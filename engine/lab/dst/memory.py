"""Shared memory in which a process can be stopped, killed or overtaken between any two stores."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from engine.memory.words import WORD_BYTES, Words

if TYPE_CHECKING:
    Array = array[int]
else:
    Array = array

NEVER = 1 << 60
UNTOLD = -1  # the number of a segment that is in no journal

Store = tuple[int, "int | slice", Any]  # segment, where, what


class KilledError(BaseException):
    """The process that was running is dead; it unwinds to the scheduler and stores nothing more on its way."""


class Points:
    """Counts the points at which something may happen to the process that runs: before every store, and some more.

    ``left``: points until ``interrupt`` is called, which sets it anew; it may raise KilledError.
    ``interrupts``: how often that was. ``journal``: when it is a list, every store is appended to it.
    """

    def __init__(self) -> None:
        self.left = NEVER
        self.interrupt: Callable[[], None] = lambda: None
        self.interrupts = 0
        self.journal: list[Store] | None = None

    def reach(self) -> None:
        """One point more."""
        self.left -= 1
        if self.left <= 0:
            self.interrupt()


class _SharedWords(Array):
    """A segment. Loads are those of ``array`` itself, at its speed; stores pass a point each, those of a slice two."""

    points: Points
    segment: int

    def __setitem__(self, index: Any, value: Any) -> None:
        points = self.points
        points.left -= 1
        if points.left <= 0:
            points.interrupt()
        if isinstance(index, slice):
            value = array("Q", value)
            start, middle, stop = index.start, (index.start + index.stop) // 2, index.stop
            self._keep(slice(start, middle), value[: middle - start])
            points.reach()
            self._keep(slice(middle, stop), value[middle - start :])
            return
        if points.journal is not None and self.segment != UNTOLD:
            points.journal.append((self.segment, index, value))
        array.__setitem__(self, index, value)

    def _keep(self, index: slice, value: array[int]) -> None:
        if not value:
            return  # an array whose memory others look at refuses even to be given nothing
        if self.points.journal is not None and self.segment != UNTOLD:
            self.points.journal.append((self.segment, index, value))
        array.__setitem__(self, index, value)


def shared_words(segment: int, length: int, points: Points) -> Words:
    """A segment of ``length`` words, all 0; ``segment`` is its number in the journal (0: books, i + 1: ring i), or
    UNTOLD.
    """
    words = _SharedWords("Q", bytes(length * WORD_BYTES))
    words.segment, words.points = segment, points
    return cast(Words, words)


def overwrite(words: Words, other: Words | Array, part: slice = slice(None)) -> None:
    """Gives a part of a segment what ``other`` holds. No process does this, so nothing happens meanwhile."""
    array.__setitem__(cast(Array, words), part, cast(Array, other))
