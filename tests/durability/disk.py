"""A disk that loses power: files that remember, sector by sector, every version since their last completed sync.

Everything is in private memory. The words are those of the engine's files, and the engine's own code uses them.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast, overload

from engine.memory.words import WORD_BYTES, Words
from engine.storage.segment import Segment, Store

SECTOR_WORDS = 64  # 512 bytes: what a disk writes whole
NEVER = 1 << 60


class PowerLossError(BaseException):
    """The machine goes down just here. Not an Exception: nothing in the engine may catch it."""


class KilledError(BaseException):
    """The process that is at work is killed just here."""


class File:
    """One file: what processes see (the page cache), and what may be on the disk."""

    def __init__(self, content: bytes) -> None:
        self.cache = memoryview(bytearray(content)).cast("Q")
        self.versions: dict[int, list[bytes]] = {}  # of a sector: as synced last, then after each store since
        self.refused: dict[int, bytes] = {}  # sectors that a kernel takes for written wrongly, as they are on the disk

    def sector(self, number: int) -> memoryview[int]:
        """A part of the cache."""
        return self.cache[number * SECTOR_WORDS : (number + 1) * SECTOR_WORDS]

    def remember(self, number: int) -> None:
        """Called before a store to a sector: how it was when it was synced, and with :meth:`stored` how it became."""
        if number not in self.versions:
            self.versions[number] = [self.refused.pop(number, bytes(self.sector(number)))]

    def stored(self, number: int) -> None:
        """Called after a store to a sector."""
        self.versions[number].append(bytes(self.sector(number)))

    def synced(self) -> None:
        """All of it is on the disk, but for what was refused and not stored since."""
        self.versions.clear()

    def lose_power(self, chance: random.Random) -> None:
        """Makes the cache what the disk has: of each sector any version since the last sync."""
        self.refuse(chance)
        self.evict(chance, 1.0)

    def refuse(self, chance: random.Random) -> None:
        """The disk refuses to write, and the kernel takes everything for written. What the disk has of each sector is
        any version since the last sync. It is seen when the sector is evicted.
        """
        kind = chance.choice(("any", "any", "mostly old", "mostly new"))
        for number, versions in self.versions.items():
            old = {"any": 0.3, "mostly old": 0.9, "mostly new": 0.05}[kind]
            version = versions[0] if chance.random() < old else chance.choice(versions)
            if kind == "mostly new" and chance.random() < 0.8:
                version = versions[-1]
            self.refused[number] = version
        self.versions.clear()

    def evict(self, chance: random.Random, share: float) -> None:
        """The kernel needs room: it reads about this share of what was refused again when it is used."""
        for number in [number for number in self.refused if chance.random() < share]:
            self.sector(number)[:] = memoryview(self.refused.pop(number)).cast("Q")


class Disk(Store):
    """Files by name. ``left`` stores and syncs from now, or in the sync that is ``syncs_left`` from now, it raises what
    ``trouble`` says.
    """

    def __init__(self, chance: random.Random) -> None:
        self.files: dict[str, File] = {}
        self.chance = chance
        self.left = self.syncs_left = NEVER
        self.trouble: type[BaseException] = PowerLossError
        self.boot = 1

    def reach(self) -> None:
        """Called before every store and when a sync is under way."""
        self.left -= 1
        if self.left < 0:
            self._raise()

    def reach_sync(self) -> None:
        """Called when a sync is under way."""
        self.syncs_left -= 1
        if self.syncs_left < 0:
            self._raise()
        self.reach()

    def _raise(self) -> None:
        self.left = self.syncs_left = NEVER
        raise self.trouble

    def lose_power(self) -> None:
        """The machine goes down, and starts again."""
        for file in self.files.values():
            file.lose_power(self.chance)
        self.boot += 1

    def open(self, name: str) -> Segment:
        """See the base class."""
        if name not in self.files:
            raise FileNotFoundError(name)
        return DiskSegment(self, name)

    def create(self, name: str, length: int) -> Segment:
        """See the base class: its size and its name are on disk when it returns."""
        self.reach()
        if name in self.files:
            raise FileExistsError(name)
        self.files[name] = File(bytes(length * WORD_BYTES))
        return DiskSegment(self, name)

    def rename(self, old: str, new: str) -> None:
        """See the base class: it is on disk when it returns, and may be when the power goes meanwhile."""
        self.reach()
        self.files[new] = self.files.pop(old)
        self.reach()

    def names(self) -> list[str]:
        """See the base class."""
        return sorted(self.files)

    def remove(self, name: str) -> None:
        """See the base class."""
        if name in self.files:
            self.reach()
            del self.files[name]

    def holding(self, name: str, byte: int, wait: bool = True) -> AbstractContextManager[None]:
        """See the base class. Here only one process is at work at a time."""
        return contextlib.nullcontext()


class DiskSegment(Segment):
    """A file of a :class:`Disk` as the engine has it open."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.name = name
        self._disk = disk
        self._file = disk.files[name]
        self.words = cast(Words, DiskWords(disk.reach, self._file))

    def lock(self, *, shared: bool = False) -> bool:
        """See the base class. Here only one process is at work at a time."""
        return True

    def is_current(self) -> bool:
        """See the base class."""
        return self._disk.files.get(self.name) is self._file

    def sync(self) -> None:
        """See the base class. The power may go before it is done."""
        self._disk.reach_sync()
        self._file.synced()

    def close(self) -> None:
        """See the base class."""


class DiskWords:
    """Words of a file."""

    def __init__(self, reach: Callable[[], None], file: File) -> None:
        self._reach = reach
        self._file = file
        self._cache = file.cache

    def __len__(self) -> int:
        return len(self._cache)

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Words: ...
    def __getitem__(self, index: int | slice, /) -> int | Words:
        return self._cache[index]  # type: ignore[return-value]

    @overload
    def __setitem__(self, index: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Words, /) -> None: ...
    def __setitem__(self, index: int | slice, value: int | Words, /) -> None:
        self._reach()
        if isinstance(index, int):
            number = index // SECTOR_WORDS
            self._file.remember(number)
            self._cache[index] = value  # type: ignore[assignment]
            self._file.stored(number)
            return
        first, last = index.start // SECTOR_WORDS, -(-index.stop // SECTOR_WORDS)
        for number in range(first, last):
            self._file.remember(number)
        self._cache[index] = value  # type: ignore[call-overload]
        for number in range(first, last):
            self._file.stored(number)
