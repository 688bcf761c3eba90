"""What single processes use, read from /proc with little ado: it happens on the machine that is being measured."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def children(pid: int, proc: Path = PROC) -> list[int]:
    """All that come from ``pid``, near ones first. Empty when it has ended."""
    found = [pid]
    for parent in found:  # grows while it is gone through
        for task in _tasks(parent, proc):
            with contextlib.suppress(OSError):
                found.extend(map(int, (task / "children").read_text().split()))
    return found[1:]


def words(pid: int, proc: Path = PROC) -> list[str]:
    """The command line; empty when the process has ended."""
    with contextlib.suppress(OSError):
        return (proc / str(pid) / "cmdline").read_text().rstrip("\0").split("\0")
    return []


def cpu_ns(pid: int, proc: Path = PROC) -> int:
    """CPU time of all threads that ``pid`` has now, as the scheduler counts it; 0 when it has ended.

    `schedstat` is exact, where `stat` counts in steps of 10 ms. Threads that have ended are not in it: the engine's
    processes keep theirs.
    """
    total = 0
    for task in _tasks(pid, proc):
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def pss_bytes(pid: int, proc: Path = PROC) -> int:
    """Proportional set size: shared pages count by shares, so that processes can be added up; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in (proc / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def busy_s(proc: Path = PROC) -> float:
    """CPU seconds that all cores were busy since the machine's start, time stolen by other machines included.

    Most kernels look once a tick who is running, and miss some of what runs for less: about 0.1 core too little is seen
    at the contest's load.
    """
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def own_s() -> float:
    """CPU seconds of this process and of its children that have ended and were waited for."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _tasks(pid: int, proc: Path) -> list[Path]:
    try:
        return list((proc / str(pid) / "task").iterdir())
    except OSError:
        return []
