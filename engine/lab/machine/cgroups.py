"""Control groups: limits on CPU and memory that really hold, one group for each service, v1 or v2.

    with Cgroups("engine-bench-1234", limits) as groups:
        groups.add("nginx", pid)
        groups.use("nginx").throttled

Warning: memory that a process had before it came into its group stays with the group it came from, so a process is to
be added right after its start; and shared memory belongs to the group that touched it first. Both are the kernel's ways
(docs.kernel.org: admin-guide/cgroup-v1/memory.rst, admin-guide/cgroup-v2.rst).
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType

from engine.lab.machine.limits import Limit

MOUNT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000  # what Docker's --cpus and `cpus:` use
REMOVE_S_MAX = 5.0
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class CgroupError(Exception):
    """Limits cannot be applied here; the text says why."""


@dataclass(frozen=True)
class Use:
    """What a group has used since it was made.

    Parameters:
      cpu_ns: CPU of all processes that were in it.
      periods: periods of :data:`PERIOD_US` in which it had something to do.
      throttled: periods of those in which it had used up its share and had to wait for the next.
      throttled_ns: how long its CPUs waited, together.
      memory_peak_bytes: most memory at once, 0 where the kernel does not tell.
      oom_kills: processes that were killed because the memory was used up.
    """

    cpu_ns: int = 0
    periods: int = 0
    throttled: int = 0
    throttled_ns: int = 0
    memory_peak_bytes: int = 0
    oom_kills: int = 0

    def since(self, before: Use) -> Use:
        """What was used since ``before``; the peak of memory is since the beginning."""
        return Use(
            self.cpu_ns - before.cpu_ns,
            self.periods - before.periods,
            self.throttled - before.throttled,
            self.throttled_ns - before.throttled_ns,
            self.memory_peak_bytes,
            self.oom_kills - before.oom_kills,
        )


def version(mount: Path = MOUNT) -> int:
    """1 or 2: where the CPU and the memory controller are. Raises CgroupError when they are in neither."""
    with contextlib.suppress(OSError):
        if {"cpu", "memory"} <= set((mount / "cgroup.controllers").read_text().split()):
            return 2
    if (mount / "cpu/cpu.cfs_quota_us").exists() or (mount / "cpu/cpu.stat").exists():
        if (mount / "memory/memory.limit_in_bytes").exists():
            return 1
        raise CgroupError(f"{mount}: cgroup v1 without the memory controller")
    raise CgroupError(f"{mount}: neither cgroup v2 nor v1 has the CPU and the memory controller")


class Cgroups:
    """A group for each service, below one called ``name`` at the top, as Docker's are. Removed by leaving it.

    The processes in it must have ended by then; one that has not is moved back to the top.

    Parameters:
      name: letters, digits, - and _.
      limits: what each service may use.
      mount: where control groups are mounted.

    Raises CgroupError from ``with``: no such controllers, missing rights (root only), or a kernel that refuses.
    """

    def __init__(self, name: str, limits: Mapping[str, Limit], mount: Path = MOUNT) -> None:
        assert _NAME.fullmatch(name) and all(map(_NAME.fullmatch, limits)), "names become directories"
        self._limits = dict(limits)
        self._mount = mount
        self._name = name
        self._tops: list[Path] = []

    def __enter__(self) -> Cgroups:
        self.version = version(self._mount)
        mount = self._mount
        if self.version == 1:
            # Often `cpu` and `cpuacct` are two links to one directory.
            hierarchies = {(mount / controller).resolve() for controller in ("cpu", "cpuacct", "memory")}
        else:
            hierarchies = {mount}
        self._tops = [hierarchy / self._name for hierarchy in sorted(hierarchies)]
        try:
            for top in self._tops:
                top.mkdir()
                if self.version == 2:
                    for above in (mount, top):
                        (above / "cgroup.subtree_control").write_text("+cpu +memory")
                for service in self._limits:
                    (top / service).mkdir()
            for service, limit in self._limits.items():
                self._apply(service, limit)
        except OSError as error:
            self._remove()
            raise CgroupError(f"{error.filename}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def services(self) -> tuple[str, ...]:
        """The services that have a group."""
        return tuple(self._limits)

    def add(self, service: str, pid: int) -> bool:
        """Moves a process with all its threads into the group; False if it has ended meanwhile. Raises CgroupError."""
        for top in self._tops:
            try:
                (top / service / "cgroup.procs").write_text(str(pid))
            except ProcessLookupError:
                return False
            except OSError as error:
                raise CgroupError(f"{error.filename}: {error.strerror}") from None
        return True

    def use(self, service: str) -> Use:
        """What the service has used so far. Raises CgroupError."""
        try:
            return self._use_v1(service) if self.version == 1 else self._use_v2(service)
        except (OSError, KeyError, ValueError) as error:
            raise CgroupError(f"{service}: its use cannot be read: {error}") from None

    def _apply(self, service: str, limit: Limit) -> None:
        quota_us = int(limit.cpus * Decimal(PERIOD_US))
        if self.version == 2:
            group = self._mount / self._name / service
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            (group / "memory.max").write_text(str(limit.memory_bytes))
            return
        cpu, memory = self._group("cpu", service), self._group("memory", service)
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (cpu / "cpu.cfs_quota_us").write_text(str(quota_us))
        (memory / "memory.limit_in_bytes").write_text(str(limit.memory_bytes))

    def _group(self, controller: str, service: str) -> Path:
        return self._mount / controller / self._name / service

    def _use_v1(self, service: str) -> Use:
        cpu, memory = self._group("cpu", service), self._group("memory", service)
        stat = fields((cpu / "cpu.stat").read_text())
        return Use(
            cpu_ns=int((self._group("cpuacct", service) / "cpuacct.usage").read_text()),
            periods=stat["nr_periods"],
            throttled=stat["nr_throttled"],
            throttled_ns=stat["throttled_time"],
            memory_peak_bytes=int((memory / "memory.max_usage_in_bytes").read_text()),
            # Linux 4.13 and later.
            oom_kills=fields((memory / "memory.oom_control").read_text()).get("oom_kill", 0),
        )

    def _use_v2(self, service: str) -> Use:
        group = self._mount / self._name / service
        stat = fields((group / "cpu.stat").read_text())
        peak = group / "memory.peak"  # Linux 5.19 and later
        return Use(
            cpu_ns=stat["usage_usec"] * 1000,
            periods=stat["nr_periods"],
            throttled=stat["nr_throttled"],
            throttled_ns=stat["throttled_usec"] * 1000,
            memory_peak_bytes=int(peak.read_text()) if peak.exists() else 0,
            oom_kills=fields((group / "memory.events").read_text())["oom_kill"],
        )

    def _remove(self) -> None:
        deadline_s = time.monotonic() + REMOVE_S_MAX
        for top in self._tops:
            for group in [*(top / service for service in self._limits), top]:
                while group.is_dir():
                    with contextlib.suppress(OSError):
                        os.rmdir(group)
                        break
                    if time.monotonic() > deadline_s:
                        _evict(group, top.parent)
                    # A process that has just ended is in its group until the kernel has cleared it away.
                    if time.monotonic() > deadline_s + REMOVE_S_MAX:
                        break
                    time.sleep(0.01)
        self._tops = []


def fields(text: str) -> dict[str, int]:
    """``name number`` lines as a dictionary. Raises ValueError."""
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def _evict(group: Path, to: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            (to / "cgroup.procs").write_text(pid)
