"""What the processes of an engine hold and use, by role; rings and books count once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.lab.machine import processes, use
from engine.lab.machine.processes import SUPERVISOR, role

_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own are


@dataclass(frozen=True)
class Use:
    """What one process holds and has used.

    Parameters:
      pid: which it is; another one under the same name was started after a death.
      own: memory in bytes (PSS) without the rings and books.
      anonymous: the part of it that is neither program nor library. The PSS of those changes with the other programs
        of the machine that use them too; only this is the work of the process alone.
      fds, threads: how many it has.
      cpu_ns: since it began.
    """

    pid: int
    own: int
    anonymous: int
    fds: int
    threads: int
    cpu_ns: int


@dataclass(frozen=True)
class Usage:
    """What all processes hold, by role.

    Parameters:
      shared: bytes of rings and books. They are all there from the start, and so they count as a whole, once: a
        process' PSS has only those of their pages that it has come across, and grows though nothing is taken.
      pss: bytes of all processes as the kernel adds them up.
    """

    processes: dict[str, Use]
    shared: int
    pss: int

    @property
    def memory(self) -> int:
        """Bytes that the engine takes from the machine."""
        return self.shared + sum(each.own for each in self.processes.values())

    @property
    def taken(self) -> int:
        """As `memory` without programs and libraries: what only the engine can make grow."""
        return self.shared + sum(each.anonymous for each in self.processes.values())


def look(supervisor_pid: int) -> Usage:
    """What the engine under this supervisor uses now. A process that has just ended is left out."""
    found: dict[str, Use] = {}
    shared: set[str] = set()
    pss = 0
    for pid in [supervisor_pid, *processes.children(supervisor_pid)]:
        with contextlib.suppress(OSError):
            name = SUPERVISOR if pid == supervisor_pid else role(processes.words(pid))
            maps = use.mappings(Path(f"/proc/{pid}/smaps").read_text())
            # One that stops still has its memory; it has a name of its own, so that it hides no other.
            found[_free(name or f"pid {pid}", found)] = Use(
                pid=pid,
                own=sum(one.pss for one in maps if one.shared_path is None),
                anonymous=sum(one.anonymous for one in maps),
                fds=use.descriptors(pid),
                threads=len(processes.tasks(pid)),
                cpu_ns=use.cpu_ns(pid),
            )
            shared.update(one.shared_path for one in maps if one.shared_path is not None)
            pss += sum(one.pss for one in maps)
    return Usage(found, _allocated(shared), pss)


def _free(name: str, taken: Iterable[str]) -> str:
    """``name``, with a number behind it from the second on: nginx may have several workers."""
    known = set(taken)
    number = 2
    free = name
    while free in known:
        free = f"{name} {number}"
        number += 1
    return free


def _allocated(paths: Iterable[str]) -> int:
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            total += os.stat(path).st_blocks * _BLOCK_BYTES
    return total
