"""The one view of shared memory that rings and books use.

In the product it is a ``memoryview`` of 8-byte words. A simulation passes an object that counts the stores and can stop
the writer between any two of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Protocol, cast, overload

WORD_BYTES = 8
PAGE_WORDS = 512  # the kernel's pages have 4096 bytes
WORD_MAX = (1 << 64) - 1
SECTOR_WORDS = 64  # 512 bytes: what a disk writes whole


class Words(Protocol):
    """An array of unsigned 64-bit integers. Each single load and store is atomic; stores become visible in order."""

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Words: ...
    def __getitem__(self, index: int | slice, /) -> int | Words: ...

    @overload
    def __setitem__(self, index: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Words, /) -> None: ...
    def __setitem__(self, index: int | slice, value: int | Words, /) -> None: ...

    def __len__(self) -> int: ...


def zeros(length: int) -> Words:
    """``length`` words in private memory, all 0."""
    return cast(Words, memoryview(bytearray(length * WORD_BYTES)).cast("Q"))


def packed(values: Iterable[int]) -> Words:
    """Words with these values, in private memory, to be stored as one slice."""
    return cast(Words, memoryview(array("Q", values)))
