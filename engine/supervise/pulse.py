"""Whether a process still does its work, judged by what is seen of it in one look after another."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

SERVE_MS = 30_000  # a process that has shown nothing of itself this long after its start never will
STUCK_MS = 10_000  # one that has served, and has shown nothing for so long, is stuck
STOPPED_LOOKS = 2  # one that is stopped in so many looks, one after the other, stays so
# Between two looks at most so much counts: when they are further apart, whoever looks has stood still itself.
GAP_MS_MAX = 2000
STOPPED = "is stopped"
_STOPPED, _WAITS_FOR_DISK = "T", "D"
_PROC_BYTES_MAX = 4096  # more than any of the files of /proc that are read here has


class Sign(Enum):
    """What a process shows of itself."""

    SERVES = "it has answered, or its heartbeat has moved"
    SILENT = "it is there, and shows nothing"
    GONE = "nobody is where it should listen"


class Heartbeat:
    """A word that a process changes as long as it works; asked for a sign, tells whether it has moved since.

    What the word says is not looked at, so neither a clock that is set nor a sleep of the machine looks like an end.

    Parameters:
      read: the word.
    """

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._last = read()

    def __call__(self) -> Sign:
        before, self._last = self._last, self._read()
        return Sign.SILENT if self._last == before else Sign.SERVES


class Running(NamedTuple):
    """How the kernel runs a process.

    Parameters:
      state: of its main thread, a letter of proc(5); of a process that it has started, when that one is stopped.
      ran_ms, waited_ms: how long its main thread was on a core so far, and how long it waited for one; 0 where that
        is not known.
    """

    state: str
    ran_ms: int = 0
    waited_ms: int = 0


def running(pid: int, *, with_times: bool = True) -> Running:
    """How ``pid`` runs, which must not have been reaped. The times are not read when nobody needs them."""
    # Those that it has started itself: nginx's workers.
    states = [_state(one) for one in (pid, *map(int, _read(f"{pid}/task/{pid}/children").split()))]
    state = _STOPPED if _STOPPED in states else states[0]
    times = _read(f"{pid}/schedstat").split()[:2] if with_times else []
    ran_ns, waited_ns = map(int, times or (0, 0))
    return Running(state, ran_ns // 1_000_000, waited_ns // 1_000_000)


def _state(pid: int) -> str:
    """A letter; "" when it has just ended."""
    return _read(f"{pid}/stat").rpartition(b")")[2][1:2].decode()


def _read(name: str) -> bytes:
    """What a file of /proc has; nothing when there is none. Read in the quickest way: this is done twice a second."""
    try:
        descriptor = os.open(f"/proc/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _PROC_BYTES_MAX)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


class Pulse:
    """One life of a process. Pure: the time and what is seen are handed in.

    Time in which it waits for a disk or for a core does not count as silence, however long. Nor does time on a core
    before it has served: a dispatcher looks through long rings then.

    Parameters:
      now_ms: when it was started, by a clock that stands still while the machine sleeps.
    """

    def __init__(self, now_ms: int) -> None:
        self._started_ms = self._looked_ms = now_ms
        self._seen: Running | None = None  # in the look before, when that saw no sign of it
        self._has_served = False
        self._silent_ms = 0
        self._stops = 0

    def complaint(self, sign: Sign, seen: Running, now_ms: int) -> str:
        """What is wrong with it, to follow its name; "" while nothing is."""
        self._stops = self._stops + 1 if seen.state == _STOPPED else 0
        self._silent_ms = 0 if sign is Sign.SERVES else self._silent_ms + self._unexcused_ms(seen, now_ms)
        self._has_served |= sign is Sign.SERVES
        self._looked_ms, self._seen = now_ms, None if sign is Sign.SERVES else seen
        if self._stops >= STOPPED_LOOKS:
            self._stops = 0
            return STOPPED
        if sign is Sign.GONE and (self._has_served or now_ms - self._started_ms >= SERVE_MS):
            return "runs and does not serve"
        if sign is Sign.SILENT and self._silent_ms >= (STUCK_MS if self._has_served else SERVE_MS):
            return f"has shown no sign of life for {self._silent_ms // 1000} s"
        return ""

    def _unexcused_ms(self, seen: Running, now_ms: int) -> int:
        """How much of the time since the last look counts as silence."""
        if seen.state == _WAITS_FOR_DISK:
            return 0
        before = self._seen or seen
        excused_ms = seen.waited_ms - before.waited_ms
        if not self._has_served:
            excused_ms += seen.ran_ms - before.ran_ms
        return max(min(now_ms - self._looked_ms, GAP_MS_MAX) - excused_ms, 0)
