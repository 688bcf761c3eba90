"""The engine's clock, which measures ages. It is never set, and it goes on while the machine sleeps.

The wall clock is for people and for the processors. It may be set by a day, forwards or back, but that does not make a
payment a day older. The engine's clock is the kernel's CLOCK_BOOTTIME plus an offset that is in the books. The offset
is 0 until the machine goes down. The first process that opens the books after that sets the offset, so that the clock
goes on where it was last seen. So the time in which the machine was off does not count: no payment could be settled.
"""

from __future__ import annotations

import time

from engine.memory import layout
from engine.memory.status import StatusBlock
from engine.memory.words import WORD_MAX, Words


def boot_ms() -> int:
    """Milliseconds since the machine was started, its sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def read_ms(books: Words) -> int:
    """The engine's clock."""
    return boot_ms() + books[layout.BOOKS_CLOCK_OFFSET_AT] & layout.ORIGIN_CLOCK_MASK


def go_on(books: Words) -> None:
    """Lets the clock go on where it was last seen. Called after a restart of the machine, before anything reads it."""
    books[layout.BOOKS_CLOCK_OFFSET_AT] = StatusBlock(books).clock_ms - boot_ms() & WORD_MAX
