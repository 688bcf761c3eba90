"""What followed each change of a processor between failing and not failing: a recovery's first payment, and the
attempts that failed. No clock and no socket.

The contest and the replay tell of changes with the same words.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

CHANGES_MAX = 200  # the latest that are kept
SOON_MS = 1000


Who = TypeVar("Who", str, int)  # a processor's name, or its number in the replay


@dataclass
class Onset(Generic[Who]):
    """``processor`` began to fail at ``at_s``. Attempts that failed there until it recovered or the run ended:
    ``caught`` had arrived before it, ``sent_soon`` arrived within ``SOON_MS`` after it, while it was noticed, and
    ``sent_later``, probes, after that.
    """

    processor: Who
    at_s: float
    caught: int = 0
    sent_soon: int = 0
    sent_later: int = 0

    @property
    def wasted(self) -> int:
        """All of them."""
        return self.caught + self.sent_soon + self.sent_later


@dataclass
class Recovery(Generic[Who]):
    """``processor`` stopped failing at ``at_s``; the first payment was inserted there ``first_ms`` later.

    None: there was none before it failed again or the run ended.
    """

    processor: Who
    at_s: float
    first_ms: float | None = None


class Changes:
    """The latest ``CHANGES_MAX`` changes of the processor called ``name``, in order, as seconds of its own clock.

    Times are handed in as integers in µs of that clock.
    """

    def __init__(self, name: str) -> None:
        self.kept: deque[Onset[str] | Recovery[str]] = deque(maxlen=CHANGES_MAX)
        self._name = name
        self._newest_us = 0

    def note(self, failing: bool, now_us: int) -> None:
        """It fails from now on, or no longer."""
        self._newest_us = now_us
        at_s = now_us / 1_000_000
        self.kept.append(Onset(self._name, at_s) if failing else Recovery(self._name, at_s))

    def note_failed(self, arrived_us: int) -> None:
        """A payment that had arrived at ``arrived_us`` was failed now."""
        newest = self.kept[-1] if self.kept else None
        if not isinstance(newest, Onset):
            return  # it was failing already when all was forgotten
        if arrived_us < self._newest_us:
            newest.caught += 1
        elif arrived_us < self._newest_us + SOON_MS * 1000:
            newest.sent_soon += 1
        else:
            newest.sent_later += 1

    def note_inserted(self, now_us: int) -> None:
        """A payment was inserted now."""
        newest = self.kept[-1] if self.kept else None
        if isinstance(newest, Recovery) and newest.first_ms is None:
            newest.first_ms = (now_us - self._newest_us) / 1000
