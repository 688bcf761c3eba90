"""Shared memory that watches its writer: every store is recorded, and can be replayed one by one under a reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, overload

from engine.memory.words import Words

SLICE_PARTS = 2  # a store of many words is not atomic: it is recorded in so many parts


class Store(NamedTuple):
    """One store: ``values`` from word ``at`` of segment number ``segment``."""

    segment: int
    at: int
    values: tuple[int, ...]


class Recorded:
    """Words whose stores are appended to ``stores``, and happen."""

    def __init__(self, memory: memoryview[int], stores: list[Store], segment: int = 0) -> None:
        self.memory = memory
        self._stores = stores
        self._segment = segment

    def __len__(self) -> int:
        return len(self.memory)

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Words: ...
    def __getitem__(self, index: int | slice, /) -> int | Words:
        return self.memory[index]  # type: ignore[return-value]

    @overload
    def __setitem__(self, index: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Words, /) -> None: ...
    def __setitem__(self, index: int | slice, value: int | Words, /) -> None:
        if isinstance(index, slice):
            values: tuple[int, ...] = tuple(value)  # type: ignore[arg-type]
            start = index.start
            step = max(1, -(-len(values) // SLICE_PARTS))
            for begin in range(0, len(values), step):
                self._stores.append(Store(self._segment, start + begin, values[begin : begin + step]))
        else:
            assert isinstance(value, int)
            self._stores.append(Store(self._segment, index, (value,)))
        self.memory[index] = value  # type: ignore[assignment,index]


class Watched:
    """Words that call ``before_load`` before every load: there a test lets the writer go on."""

    def __init__(self, memory: memoryview[int], before_load: Callable[[], None]) -> None:
        self._memory = memory
        self._before_load = before_load

    def __len__(self) -> int:
        return len(self._memory)

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Words: ...
    def __getitem__(self, index: int | slice, /) -> int | Words:
        self._before_load()
        if isinstance(index, int):
            return self._memory[index]
        # A load of many words is not atomic either.
        middle = (index.start + index.stop) // 2
        first = list(self._memory[index.start : middle])
        self._before_load()
        return first + list(self._memory[middle : index.stop])  # type: ignore[return-value]

    @overload
    def __setitem__(self, index: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Words, /) -> None: ...
    def __setitem__(self, index: int | slice, value: int | Words, /) -> None:
        raise AssertionError("a reader does not write")


def blank(length: int) -> memoryview[int]:
    """``length`` words of private memory, all 0."""
    return memoryview(bytearray(8 * length)).cast("Q")


def copy(memory: memoryview[int]) -> memoryview[int]:
    """The same words elsewhere."""
    return memoryview(bytearray(memory.cast("B"))).cast("Q")


def apply(segments: list[memoryview[int]], store: Store) -> None:
    """Lets a recorded store happen."""
    memory = segments[store.segment]
    for offset, value in enumerate(store.values):
        memory[store.at + offset] = value
