"""Wrong keys are slowed down: a few at once under a name from one address, and then one in some seconds.

Pure: time in, decisions out. While a name is slowed down, its keys from that address are not looked at, right ones
neither. Keys that were right before, and sessions, are not asked here at all: a script that goes on with a key that was
taken away keeps nobody else out.
"""

from __future__ import annotations

from typing import Final

AT_ONCE: Final = 5
EVERY_S: Final = 10.0
NAMES_MAX: Final = 4096

Who = tuple[str, str]  # an address, and the name in the key


class Throttle:
    """How many wrong keys came from where. ``wrong``: how many there were in all; ``slowed``: requests sent away."""

    def __init__(self) -> None:
        self.wrong = 0
        self.slowed = 0
        self._full_at: dict[Who, float] = {}  # when all of their tries are there again

    def wait_s(self, who: Who, now_s: float) -> float:
        """How long until a key of theirs is looked at; 0: now."""
        return max(0.0, self._full_at.get(who, now_s) - now_s - (AT_ONCE - 1) * EVERY_S)

    def note_wrong(self, who: Who, now_s: float) -> None:
        """A key was wrong."""
        self.wrong += 1
        if len(self._full_at) >= NAMES_MAX:
            self._full_at = {name: at_s for name, at_s in self._full_at.items() if at_s > now_s}
        if who in self._full_at or len(self._full_at) < NAMES_MAX:
            self._full_at[who] = max(self._full_at.get(who, now_s), now_s) + EVERY_S
