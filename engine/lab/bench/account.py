"""What each process has used, before and after a round."""

from __future__ import annotations

import time
from collections.abc import Mapping

from engine.lab.bench.sides import Side
from engine.lab.machine import processes, use
from engine.lab.machine.cgroups import Cgroups


class Account:
    """What every process has used until now.

    Parameters:
      side: what is measured.
      groups: what limits its processes, None for nothing.
      others: process ids of what belongs to the benchmark beside ``side``, by name; their children count too.

    Raises CgroupError.
    """

    def __init__(self, side: Side, groups: Cgroups | None, others: Mapping[str, int]) -> None:
        self.at_s = time.monotonic()
        self.pids = side.find()
        self.cpu_ns = {role: use.cpu_ns(pid) for role, pid in self.pids.items()}
        self.uses = {} if groups is None else {name: groups.use(name) for name in groups.services}
        beside = [pid for other in others.values() for pid in [other, *processes.children(other)]]
        self._ours_s = use.own_s() + sum(map(use.cpu_ns, beside)) / 1e9
        self._busy_s = use.busy_s()

    def cpu_since(self, before: Account) -> dict[str, int]:
        """CPU in ns by role; all of it for a process that was not there before."""
        same = {role for role, pid in self.pids.items() if before.pids.get(role) == pid}
        return {role: used - (before.cpu_ns[role] if role in same else 0) for role, used in self.cpu_ns.items()}

    def others_cores_since(self, before: Account) -> float:
        """Cores busy with what is neither the side nor the benchmark."""
        ours_s = self._ours_s - before._ours_s + sum(self.cpu_since(before).values()) / 1e9
        return max(self._busy_s - before._busy_s - ours_s, 0.0) / (self.at_s - before.at_s)

    def problems_since(self, before: Account) -> list[str]:
        """Processes that did not live through the round: its figures are then of two lives, and of one start."""
        problems = [f"{role} ended during the round" for role, pid in before.pids.items() if self.pids.get(role) != pid]
        for name, used in self.uses.items():
            if kills := used.since(before.uses[name]).oom_kills:
                problems.append(f"{name}: {kills} processes killed because the memory was used up")
        return problems
