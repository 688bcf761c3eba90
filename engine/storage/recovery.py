"""What is done to files that were in use when the machine went down.

Files are page cache: they survive every process, but when the machine goes down each sector of them is as old as the
last completed sync, or younger. So each file says for each of its writers how it was left (:data:`layout.UNCLEAN`,
``CLEAN``, ``SYNCED``), whatever mode the next run has. That it is time to look is told by the boot number in it.

- `sync`: a file is SYNCED before any payment is accepted, by whoever opens it first. Then it is repaired: first what
  the books' redo log says of a ring is done to it, for a slot that a transaction gave away may have been written anew
  while its progress was still on the way, and then the ring itself (:mod:`engine.ring.repair`). The repaired ring is on
  disk before anybody may accept: what was taken back must not come back after another loss of power, when its customer
  has sent it again elsewhere. The boot number comes last, so that a repair that was cut short is begun again.
- `disk`: UNCLEAN while a writer runs, CLEAN after it has stopped and synced; API process and dispatcher each by itself,
  for either may be stopped alone. UNCLEAN is refused.

*Limit*: page cache that is lost while the machine goes on (a volume torn off its host) is not noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.books.writer import is_log_whole, redo_ring
from engine.memory import clock, layout
from engine.memory.errors import SegmentError
from engine.memory.words import Words
from engine.ring import repair
from engine.storage.segment import Segment

if TYPE_CHECKING:
    from engine.storage.durability import Durability

BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"


def boot() -> int:
    """A number for this boot of the machine (containers have their machine's)."""
    return int(Path(BOOT_ID_PATH).read_text().strip().replace("-", "")[:16], 16)


def recover_ring(segment: Segment, index: int, books: Words, durability: Durability) -> None:
    """Makes ring number ``index`` fit for use, before anybody else sees it. Raises SegmentError and OSError."""
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
    """Makes the books fit for use, before anybody else sees them. Raises SegmentError and OSError."""
    words = segment.words
    if words[layout.BOOKS_BOOT_AT] != boot():
        check_state(words[layout.BOOKS_CLEAN_AT])
        if words[layout.BOOKS_CLEAN_AT] == layout.SYNCED and not is_log_whole(words):
            words[layout.BOOKS_REDO_COUNT_AT] = 0  # it was on its way to the disk: nothing of it has been applied
        clock.go_on(words)
        words[layout.BOOKS_BOOT_AT] = boot()
    durability.opened_books(segment)


def check_state(state: int) -> None:
    """After the machine went down, files that were not synced on the way may be any mixture of old and new.

    Raises SegmentError.
    """
    if state not in (layout.CLEAN, layout.SYNCED):
        raise SegmentError(
            "the machine went down while the engine ran, and ENGINE_DURABILITY was not sync: what is on disk may be "
            "incomplete, so it is not known what was charged"
        )
