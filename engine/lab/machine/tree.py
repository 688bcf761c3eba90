"""CPU and memory of process trees, sampled cheaply while a run lasts."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from engine.lab.machine import processes, use

# Finding a tree's processes reads all of /proc, and a PSS walks page tables: both only once in so many seconds.
SCAN_EVERY_S = 5.0
# The kernel counts CPU in steps of 10 ms: over a shorter stretch than this, a single step looks like a peak.
STRETCH_S_MIN = 0.5


class NoSuchTreeError(Exception):
    """The process whose tree was to be watched does not exist."""


@dataclass
class RoleUse:
    """What the processes of one command or program used. CPU in seconds and cores, memory in bytes of PSS."""

    processes: int = 0
    cpu_s: float = 0.0
    cores_peak: float = 0.0
    pss_peak: int = 0


@dataclass
class TreeUse:
    """What a process tree used in ``elapsed_s``, the time of watching. PSS counts shared memory once, by shares."""

    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    cores_peak: float = 0.0
    pss_peak: int = 0
    roles: dict[str, RoleUse] = field(default_factory=lambda: defaultdict(RoleUse))

    @property
    def cores_mean(self) -> float:
        """Cores used on average."""
        return self.cpu_s / self.elapsed_s if self.elapsed_s else 0.0


@dataclass
class _Watched:
    role: str
    cpu_s: float


class Tree:
    """A process and, if ``with_children``, all that come from it.

    A process that starts and ends between two scans is not seen; the engine and k6 have none that matter.
    Raises NoSuchTreeError.
    """

    def __init__(self, pid: int, with_children: bool = True, with_memory: bool = True) -> None:
        if not processes.is_running(pid):
            raise NoSuchTreeError(f"there is no process {pid}")
        self._root = pid
        self.use = TreeUse()
        self.cores = 0.0
        self._with_children = with_children
        self._with_memory = with_memory
        self._watched: dict[int, _Watched] = {}
        self._begin_s = self._sampled_s = self._scanned_s = time.monotonic()
        self._scan(known_from_the_start=True)

    def sample(self) -> None:
        """Adds what was used since the last sample, if that was long enough ago; ``cores`` is the use since then."""
        now_s = time.monotonic()
        stretch_s = now_s - self._sampled_s
        if stretch_s < STRETCH_S_MIN:
            return
        if now_s - self._scanned_s >= SCAN_EVERY_S:
            self._scanned_s = now_s
            self._scan(known_from_the_start=False)
        used_s: dict[str, float] = defaultdict(float)
        for pid, watched in list(self._watched.items()):
            try:
                cpu_s = use.cpu_s(pid)
            except OSError:
                del self._watched[pid]
                continue
            used_s[watched.role] += cpu_s - watched.cpu_s
            watched.cpu_s = cpu_s
        for name, seconds in used_s.items():
            of_role = self.use.roles[name]
            of_role.cpu_s += seconds
            of_role.cores_peak = max(of_role.cores_peak, seconds / stretch_s)
        self.cores = sum(used_s.values()) / stretch_s
        self.use.cpu_s += sum(used_s.values())
        self.use.cores_peak = max(self.use.cores_peak, self.cores)
        self.use.elapsed_s = now_s - self._begin_s
        self._sampled_s = now_s

    def _scan(self, known_from_the_start: bool) -> None:
        children = processes.children(self._root) if self._with_children else []
        counts: dict[str, int] = defaultdict(int)
        pss: dict[str, int] = defaultdict(int)
        for pid in [self._root, *children]:
            try:
                watched = self._watched.get(pid)
                if watched is None:
                    # One that began later has used all of its CPU while it was watched.
                    cpu_s = use.cpu_s(pid) if known_from_the_start else 0.0
                    watched = self._watched[pid] = _Watched(processes.command(pid), cpu_s)
            except OSError:
                continue  # it has just ended
            counts[watched.role] += 1
            if self._with_memory:
                pss[watched.role] += use.pss_bytes(pid)
        for name, count in counts.items():
            of_role = self.use.roles[name]
            of_role.processes = max(of_role.processes, count)
            of_role.pss_peak = max(of_role.pss_peak, pss[name])
        self.use.pss_peak = max(self.use.pss_peak, sum(pss.values()))
