"""The fast path beside the Python code: the same payment once more in C, over the same memory. Both do the same."""

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Sequence
from typing import Any, cast

from engine import settings as settings_module
from engine.books.levels import Shape
from engine.books.reader import BooksReader
from engine.intake.acceptor import Acceptor, FileLock, Verdict
from engine.intake.fast_path import FastPath
from engine.lab.dst.memory import overwrite
from engine.lab.dst.model import ViolationError
from engine.memory import layout
from engine.memory.doorbell import Doorbell
from engine.memory.words import Words
from engine.ring.ids import IdMemory
from engine.ring.ring import RingReader, RingWriter

SETTINGS = settings_module.read({})


@functools.cache
def _lock_path() -> str:
    """A file for the C code's own locks, which nobody else takes."""
    return f"/proc/self/fd/{os.memfd_create('locks')}"


class FastPathBeside:
    """The fast path of an API process, of which nothing remains: what it stores is compared, and taken back."""

    def __init__(
        self,
        rings: Sequence[RingReader],
        own: RingWriter,
        books: Words,
        shape: Shape,
        memory: IdMemory | None,
        doorbell: Doorbell,
    ) -> None:
        self._own = own
        self._memory = memory
        self._lock = FileLock(_lock_path())
        acceptor = Acceptor(rings, own, BooksReader(books, shape), self._lock, memory)
        self._fast_path = FastPath(SETTINGS, rings, own, books, shape, acceptor, doorbell)

    def close(self) -> None:
        """Gives the memory back."""
        self._fast_path.close()
        self._lock.close()

    def image(self, id_high: int, id_low: int) -> tuple[array[int], ...]:
        """What accepting a payment may change: the own ring, and the id's bucket."""
        return tuple(cast("array[int]", words[part]) for words, part in self._parts(id_high, id_low))

    def compare(
        self, before: Sequence[array[int]], verdict: Verdict, id_high: int, id_low: int, cents: int, ms: tuple[int, int]
    ) -> bool:
        """The same payment in C, over memory as it was ``before``; ``verdict`` is Python's, ``ms`` both clocks.

        Returns whether C has taken it; it may leave any payment to Python. Raises ViolationError.
        """
        after = self.image(id_high, id_low)
        self._put_back(before, id_high, id_low)
        is_taken = self._fast_path.accept(id_high, id_low, cents, *ms)
        has = self.image(id_high, id_low)
        self._put_back(after, id_high, id_low)
        if has != (after if is_taken else tuple(before)) or (is_taken and verdict is not Verdict.ACCEPTED):
            raise ViolationError(
                f"Python says {verdict.name}, and C {'accepts it otherwise' if is_taken else 'stores'}"
            )
        return is_taken

    def _put_back(self, image: Sequence[array[int]], id_high: int, id_low: int) -> None:
        for (words, part), was in zip(self._parts(id_high, id_low), image, strict=True):
            overwrite(words, was, part)

    def _parts(self, id_high: int, id_low: int) -> list[tuple[Any, slice]]:
        parts: list[tuple[Any, slice]] = [(self._own.words, slice(0, len(self._own.words)))]
        if self._memory is not None:
            at = self._memory._place(id_high, id_low)[0]
            parts.append((self._memory.words, slice(at, at + layout.IDS_BUCKET_WORDS)))
        return parts
