"""What single processes use and hold, read at little cost: it happens on the machine that is being measured."""

from __future__ import annotations

import contextlib
import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

from engine.lab.machine.processes import PROC, tasks

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MAPPING = re.compile(
    r"^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \d+ *(.*)\n(?:[A-Z].*\n)*?Pss: +(\d+) kB\n(?:[A-Z].*\n)*?Anonymous: +(\d+) kB",
    re.MULTILINE,
)
# After the name in brackets, which may hold anything; see proc_pid_stat(5).
_STAT_UTIME, _STAT_STIME = 11, 12


@dataclass(frozen=True)
class Mapping:
    """One mapping of a process; memory in bytes.

    Parameters:
      shared_path: the file behind it if it is shared with others for writing.
      anonymous: what has no file behind it.
    """

    shared_path: str | None
    pss: int
    anonymous: int


def cpu_ns(pid: int, proc: Path = PROC) -> int:
    """CPU time of all threads that ``pid`` has now, as the scheduler counts it; 0 when it has ended.

    `schedstat` is exact, where `stat` counts in steps of 10 ms. Threads that have ended are not in it: the engine's
    processes keep theirs. For programs that do not, there is :func:`cpu_s`.
    """
    total = 0
    for task in tasks(pid, proc):
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def cpu_s(pid: int, proc: Path = PROC) -> float:
    """CPU seconds of ``pid`` with all threads that it ever had, in steps of 10 ms. Raises OSError when it has ended."""
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[_STAT_UTIME]) + int(fields[_STAT_STIME])) / _TICKS_PER_S


def pss_bytes(pid: int, proc: Path = PROC) -> int:
    """Proportional set size: shared pages count by shares, so that processes can be added up; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in (proc / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def mappings(smaps: str) -> list[Mapping]:
    """What ``/proc/<pid>/smaps`` says."""
    return [
        Mapping(
            shared_path=path if "s" in access and path.startswith("/") and "(deleted)" not in path else None,
            pss=int(pss) * 1024,
            anonymous=int(anonymous) * 1024,
        )
        for access, path, pss, anonymous in _MAPPING.findall(smaps)
    ]


def descriptors(pid: int, proc: Path = PROC) -> int:
    """How many descriptors are open. Raises OSError when it has ended."""
    return len(os.listdir(proc / str(pid) / "fd"))


def busy_s(proc: Path = PROC) -> float:
    """CPU seconds that all cores were busy since the machine's start, time stolen by other machines included.

    Most kernels look once a tick at what is running, and miss some of what runs for less. At the contest's load they
    see about 0.1 core too little.
    """
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def own_s() -> float:
    """CPU seconds of this process and of its children that have ended and were waited for."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)
