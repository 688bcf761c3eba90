"""The engine's books, where the engine has memory on this machine; nothing is made there, and nothing written."""

from __future__ import annotations

import contextlib
from typing import Final

from engine.books.levels import shape_of
from engine.books.reader import EXACT_MS, BooksBusyError, BooksReader, Sum
from engine.memory.errors import SegmentError
from engine.settings import Settings
from engine.storage import mapping, opening
from engine.storage.segment import Segment

TRIES: Final = 3


class Books:
    """The books of the engine of these settings; without any it tells nothing."""

    def __init__(self, settings: Settings) -> None:
        self._segment: Segment | None = None
        self._reader: BooksReader | None = None
        with contextlib.suppress(SegmentError, OSError):
            self._segment = opening.attached(mapping.store(settings), mapping.books_name(settings))
            self._reader = BooksReader(self._segment.words, shape_of(self._segment.words))

    @property
    def is_there(self) -> bool:
        """Whether there are any."""
        return self._reader is not None

    def window(self, from_ms: int, to_ms: int) -> tuple[Sum, ...] | None:
        """The sums of all processors, both ends included; None where the books do not tell them exactly."""
        if self._reader is None:
            return None
        for _ in range(TRIES):
            with contextlib.suppress(BooksBusyError):
                found = self._reader.resolved(from_ms, to_ms)
                return found.sums if found.resolution_ms == EXACT_MS else None
        return None

    def close(self) -> None:
        """Closes the memory."""
        if self._segment is not None:
            self._segment.close()
