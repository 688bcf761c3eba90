"""A bar on a terminal."""

from __future__ import annotations

import time
from typing import Final, TextIO

WIDTH: Final = 40
EVERY_S: Final = 0.2  # between two drawings


class Progress:
    """How much of ``total`` is done; nothing is drawn where ``stream`` is no terminal."""

    def __init__(self, total: int, what: str, stream: TextIO) -> None:
        self._total, self._what, self._stream = total, what, stream
        self._is_drawn = total > 0 and stream.isatty()
        self._done, self._drawn_at = 0, 0.0

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._is_drawn and time.monotonic() - self._drawn_at >= EVERY_S:
            self._drawn_at = time.monotonic()
            self._draw()

    def end(self) -> None:
        """Takes the bar away."""
        if self._is_drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self) -> None:
        part = min(self._done / self._total, 1.0)
        full = int(part * WIDTH)
        self._stream.write(
            f"\r[{'#' * full}{'.' * (WIDTH - full)}] {self._done:,} of {self._total:,} {self._what}\x1b[K"
        )
        self._stream.flush()
