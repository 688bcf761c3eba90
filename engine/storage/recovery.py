"""Recovers files that were in use when the machine went down.

Files are in the page cache. They survive every process, but when the machine goes down, each sector is as old as the
last completed sync, or newer. So each file says, for each of its writers, how it was left (:data:`layout.UNCLEAN`,
``CLEAN``, ``SYNCED``). That counts whatever mode the next run has. The boot number in a file tells that the machine
went down.

- `sync`: the first process that opens a file marks it SYNCED, before any payment is accepted. Such a file is repaired.
  First the books' redo log is applied to a ring, because a slot that a transaction gave away may have been written anew
  before its progress was on disk. Then the ring itself is repaired (:mod:`engine.ring.repair`). The repaired ring is on
  disk before any process may accept. Otherwise a payment that was taken back could return after another loss of power,
  when its customer has sent it again elsewhere. The boot number is written last, so that a repair that was cut short is
  begun again.
- `disk`: a file is UNCLEAN while a writer runs, and CLEAN after it has stopped and synced. API process and dispatcher
  have separate marks, because either may be stopped alone. UNCLEAN is refused.

*Limit*: page cache that is lost while the machine goes on (a volume torn off its host) is not noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.books.writer import drop_torn_log, redo_ring
from engine.memory import clock, layout
from engine.memory.errors import SegmentError
from engine.memory.words import Words
from engine.ring import repair
from engine.storage.segment import Segment

if TYPE_CHECKING:
    from engine.storage.durability import Durability

BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"


def boot() -> int:
    """A number for this boot of the machine (containers have the number of their machine)."""
    return int(Path(BOOT_ID_PATH).read_text().strip().replace("-", "")[:16], 16)


def recover_ring(segment: Segment, index: int, books: Words, durability: Durability) -> None:
    """Makes ring number ``index`` usable, before another process sees it. Raises SegmentError and OSError."""
    words = segment.words
    if words[layout.RING_BOOT_AT] != boot():
        check_state(words[layout.RING_CLEAN_AT])
        check_state(words[layout.RING_CLOSED_AT])
        redo_ring(books, index, words)
        repair.repair(words)
        segment.sync()
        words[layout.RING_BOOT_AT] = boot()
    durability.opened_ring(segment)


def recover_books(segment: Segment, durability: Durability) -> None:
    """Makes the books usable, before another process sees them. Raises SegmentError and OSError."""
    words = segment.words
    if words[layout.BOOKS_BOOT_AT] != boot():
        check_state(words[layout.BOOKS_CLEAN_AT])
        drop_torn_log(words)
        if words[layout.BOOKS_REDO_COUNT_AT]:
            # Rings are given what the log says of them when they are opened, and books only by the next dispatcher.
            # Until then readers must look into the log: a payment may have left its slot for the parking table.
            words[layout.BOOKS_VERSION_AT] |= 1
        clock.go_on(words)
        words[layout.BOOKS_BOOT_AT] = boot()
    durability.opened_books(segment)


def check_state(state: int) -> None:
    """Refuses a file that was UNCLEAN when the machine went down: it may be any mixture of old and new.

    Raises SegmentError.
    """
    if state not in (layout.CLEAN, layout.SYNCED):
        raise SegmentError(
            "the machine went down while the engine ran, and ENGINE_DURABILITY was not sync: what is on disk may be "
            "incomplete, so it is not known what was charged"
        )
