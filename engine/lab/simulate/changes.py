"""What followed each change of a processor between failing and not failing: a recovery's first payment, and the
attempts that failed. Times are integers in µs of the processor's clock. No clock and no socket.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

CHANGES_MAX = 200  # the latest that are kept
SOON_MS = 1000


@dataclass(slots=True)
class Onset:
    """The processor began to fail at ``at_us``. Attempts that failed there until it recovered: ``caught`` had arrived
    before it, ``sent_soon`` arrived within ``SOON_MS`` after it, ``sent_later`` after that.
    """

    at_us: int
    caught: int = 0
    sent_soon: int = 0
    sent_later: int = 0


@dataclass(slots=True)
class Recovery:
    """The processor stopped failing at ``at_us``; the first payment was inserted there at ``first_us``.

    None: there was none yet, or none before it failed again.
    """

    at_us: int
    first_us: int | None = None


class Changes:
    """The latest ``CHANGES_MAX`` changes of a processor, in order."""

    def __init__(self) -> None:
        self.kept: deque[Onset | Recovery] = deque(maxlen=CHANGES_MAX)

    def note(self, failing: bool, now_us: int) -> None:
        """It fails from now on, or no longer."""
        self.kept.append(Onset(now_us) if failing else Recovery(now_us))

    def note_failed(self, arrived_us: int) -> None:
        """A payment that had arrived at ``arrived_us`` was failed now."""
        newest = self.kept[-1] if self.kept else None
        if not isinstance(newest, Onset):
            return  # it failed already when all was forgotten
        if arrived_us < newest.at_us:
            newest.caught += 1
        elif arrived_us < newest.at_us + SOON_MS * 1000:
            newest.sent_soon += 1
        else:
            newest.sent_later += 1

    def note_inserted(self, now_us: int) -> None:
        """A payment was inserted now."""
        newest = self.kept[-1] if self.kept else None
        if isinstance(newest, Recovery) and newest.first_us is None:
            newest.first_us = now_us
