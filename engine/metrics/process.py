"""What a process writes of itself at the beginning of its page."""

from __future__ import annotations

import os
import time

from engine.memory import metrics_layout as layout
from engine.memory.words import Words

_MEMORY_PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcessWords:
    """The words of this process at ``at`` of ``words``, where its page begins. Making it counts a start."""

    def __init__(self, words: Words, at: int) -> None:
        self._words = words
        self._at = at
        words[at + layout.PROCESS_STARTS] += 1
        self.show()

    def show(self) -> None:
        """Writes what the process uses now. It costs some tens of microseconds: called every second or two."""
        words, at = self._words, self._at
        words[at + layout.PROCESS_CPU_US] = time.process_time_ns() // 1000
        with open("/proc/self/statm", "rb") as memory:
            words[at + layout.PROCESS_RESIDENT_BYTES] = int(memory.read().split()[1]) * _MEMORY_PAGE
        words[at + layout.PROCESS_DESCRIPTORS] = len(os.listdir("/proc/self/fd")) - 1  # without the one of listdir
        words[at + layout.PROCESS_SEEN_MS] = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
