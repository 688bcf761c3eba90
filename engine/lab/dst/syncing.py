"""ENGINE_DURABILITY=sync in virtual time: what is on disk when a payment is sent or has its 202.

What becomes of it when the power goes is tried in tests/durability, over a disk that loses sectors. Here processes die
alone, and are asked only whether each sync comes before what rests on it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import cast

from engine.dispatch.attempt import Attempt
from engine.lab.dst.memory import Points
from engine.memory import layout
from engine.memory.layout import PROCESSING
from engine.memory.words import Words
from engine.storage.segment import Segment


class VirtualSegment(Segment):
    """A segment that all processes share. ``kept``: what is surely on disk of it, nothing before the first sync."""

    def __init__(self, words: Words, points: Points, *, is_ring: bool) -> None:
        self.words = words
        self._points = points
        self._is_ring = is_ring
        self._begun = self._ended = (
            0  # number of the last sync that has begun, and of the last of those that have ended
        )
        self.kept: array[int] | None = None

    def sync(self) -> None:
        """See the base class. Anything may happen meanwhile."""
        self._begun += 1
        number, image = self._begun, cast("array[int]", self.words[0 : len(self.words)]) if self._is_ring else None
        self._points.reach()
        if number > self._ended:
            self._ended, self.kept = number, image

    def has(self, position: int) -> bool:
        """Whether the payment at ``position`` of a ring is on disk."""
        at = layout.slot_offset(self.words[layout.RING_SLOTS_AT], position)
        return self.kept is not None and self.kept[at + layout.SLOT_SEQUENCE] == position + 1

    def has_sent(self, attempt: Attempt) -> bool:
        """Whether it is on disk that this request goes where it goes, and under which time."""
        at = layout.slot_offset(self.words[layout.RING_SLOTS_AT], attempt.position)
        if self.kept is None or not self.has(attempt.position):
            return False
        state, processor, _ = layout.unpack_progress(attempt.position, self.kept[at + layout.SLOT_PROGRESS])
        is_there = state == PROCESSING and processor == attempt.processor
        return is_there and self.kept[at + layout.SLOT_REQUESTED_MS] == attempt.requested_ms


class VirtualAlarm:
    """In the place of :class:`engine.intake.alarm.Alarm`: the world calls its action when the time has come."""

    def __init__(self, action: Callable[[], None], commit_in: Callable[[Callable[[], None], int], None]) -> None:
        self._action = action
        self._commit_in = commit_in

    def set(self, delay_ms: int) -> None:
        """See the original."""
        self._commit_in(self._action, delay_ms)
