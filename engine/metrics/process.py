"""What a process writes of itself at the beginning of its page."""

from __future__ import annotations

import os
import time
from typing import Final

from engine.memory import clock
from engine.memory import metrics_layout as layout
from engine.memory.words import Words

_MEMORY_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATM_BYTES_MAX: Final = 256  # more than the file has
DESCRIPTORS_EVERY: Final = 10  # there may be thousands of them: they are counted in one call of so many


class ProcessWords:
    """The words of this process at ``at`` of ``words``, where its page begins. Making it counts a start."""

    def __init__(self, words: Words, at: int) -> None:
        self._words = words
        self._at = at
        self._calls = 0
        words[at + layout.PROCESS_STARTS] += 1
        self.show()

    def show(self) -> None:
        """Writes what the process uses now: called every second or two."""
        words, at = self._words, self._at
        words[at + layout.PROCESS_CPU_US] = time.process_time_ns() // 1000
        words[at + layout.PROCESS_RESIDENT_BYTES] = _resident_pages() * _MEMORY_PAGE
        if self._calls % DESCRIPTORS_EVERY == 0:
            words[at + layout.PROCESS_DESCRIPTORS] = len(os.listdir("/proc/self/fd")) - 1  # less that of listdir
        self._calls += 1
        words[at + layout.PROCESS_SEEN_MS] = clock.boot_ms()


def _resident_pages() -> int:
    descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(descriptor, _STATM_BYTES_MAX).split()[1])
    finally:
        os.close(descriptor)
