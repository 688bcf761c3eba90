"""Wrong keys are slowed down: a few at once from one address, and then one in some seconds; the same for all together.

Pure: time in, decisions out. While an address is slowed down, its keys are not looked at, right ones neither.
"""

from __future__ import annotations

from typing import Final

OF_ONE: Final = (5, 10.0)  # wrong keys at once, and seconds until one more
OF_ALL: Final = (50, 1.0)
ADDRESSES_MAX: Final = 4096
_ALL: Final = ""


class Throttle:
    """How many wrong keys came from where. ``wrong``: how many there were in all."""

    def __init__(self) -> None:
        self.wrong = 0
        self._full_at: dict[str, float] = {}  # when all of an address's tries are there again

    def wait_s(self, address: str, now_s: float) -> float:
        """How long until a key from this address is looked at; 0: now."""
        return max(self._wait_s(address, OF_ONE, now_s), self._wait_s(_ALL, OF_ALL, now_s))

    def note_wrong(self, address: str, now_s: float) -> None:
        """A key was wrong."""
        self.wrong += 1
        if len(self._full_at) >= ADDRESSES_MAX:
            self._full_at = {name: at_s for name, at_s in self._full_at.items() if at_s > now_s}
        for name, (_, seconds) in ((address, OF_ONE), (_ALL, OF_ALL)):
            if name in self._full_at or len(self._full_at) < ADDRESSES_MAX:
                self._full_at[name] = max(self._full_at.get(name, now_s), now_s) + seconds

    def _wait_s(self, name: str, limit: tuple[int, float], now_s: float) -> float:
        most, seconds = limit
        return max(0.0, self._full_at.get(name, now_s) - now_s - (most - 1) * seconds)
