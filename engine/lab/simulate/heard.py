"""The processor's own log of what it was asked for: each request to pay and each lookup, with when it came."""

from __future__ import annotations

from array import array
from typing import Final

from engine.lab.simulate.wire import KEY_BYTES

REQUEST: Final = b"r"  # to pay
LOOKUP: Final = b"l"


class Heard:
    """The first ``most`` requests that were understood, whatever became of them; the others are only counted.

    25 bytes each. Times that are handed in are µs of the processor's clock.

    Parameters:
      most: requests that are kept; 0 keeps none.
      epoch_us: what the wall clock shows when the processor's clock shows 0, in µs since 1970 UTC.
    """

    def __init__(self, most: int = 0, epoch_us: int = 0) -> None:
        self._most = most
        self._epoch_us = epoch_us
        self._forget()

    def __len__(self) -> int:
        return len(self._at_us)

    def note(self, key: bytes, now_us: int, kind: bytes) -> None:
        """A request came."""
        if len(self._at_us) >= self._most:
            self.left_out += 1
            return
        self._keys += key
        self._kinds += kind
        self._at_us.append(now_us)

    def clear(self) -> None:
        """Forgets all."""
        self._forget()

    def lines(self, after: int, limit: int) -> str:
        """Those after the first ``after``, at most ``limit``: id as 32 hex digits, epoch ms, kind; one to a line."""
        return "".join(
            f"{self._keys[row * KEY_BYTES : (row + 1) * KEY_BYTES].hex()} "
            f"{(self._epoch_us + self._at_us[row]) // 1000} {self._kinds[row : row + 1].decode()}\n"
            for row in range(after, min(after + limit, len(self)))
        )

    def _forget(self) -> None:
        self._keys = bytearray()
        self._kinds = bytearray()
        self._at_us = array("q")
        self.left_out = 0  # that came when the log was full
