"""Limits are written where the kernel wants them, use is read from where it tells it, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from engine.lab.machine import cgroups
from engine.lab.machine.cgroups import CgroupError, Cgroups, Use
from engine.lab.machine.limits import Limit

LIMITS = {"nginx": Limit(Decimal("0.40"), 70 << 20), "api-0": Limit(Decimal("0.35"), 75 << 20)}


def v1(mount: Path, *, links: bool = False) -> Path:
    """A mount of version 1; with ``links`` as on most systems: one directory for `cpu` and `cpuacct`."""
    if links:
        (mount / "cpu,cpuacct").mkdir(parents=True)
        for name in ("cpu", "cpuacct"):
            (mount / name).symlink_to("cpu,cpuacct")
    for name in ("cpu", "cpuacct", "memory"):
        (mount / name).mkdir(parents=True, exist_ok=True)
    (mount / "cpu/cpu.stat").write_text("nr_periods 0\n")
    (mount / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    return mount


def v2(mount: Path) -> Path:
    """A mount of version 2."""
    mount.mkdir()
    (mount / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return mount


@contextmanager
def held(mount: Path) -> Iterator[Cgroups]:
    """The groups; the kernel's files in them go with their directory, these here do not."""
    with Cgroups("bench-1", LIMITS, mount) as groups:
        try:
            yield groups
        finally:
            for directory in mount.rglob("bench-1"):
                for path in directory.rglob("*"):
                    if path.is_file():
                        path.unlink()


@pytest.mark.parametrize("links", [False, True])
def test_limits_of_version_1(tmp_path: Path, links: bool) -> None:
    mount = v1(tmp_path / "cgroup", links=links)
    with held(mount) as groups:
        assert (mount / "cpu/bench-1/nginx/cpu.cfs_period_us").read_text() == "100000"
        assert (mount / "cpu/bench-1/nginx/cpu.cfs_quota_us").read_text() == "40000"
        assert (mount / "cpu/bench-1/api-0/cpu.cfs_quota_us").read_text() == "35000"
        assert (mount / "memory/bench-1/api-0/memory.limit_in_bytes").read_text() == str(75 << 20)
        assert groups.add("api-0", 4711)
        for controller in ("cpu", "cpuacct", "memory"):
            assert (mount / controller / "bench-1/api-0/cgroup.procs").read_text() == "4711"
    assert not list(mount.rglob("bench-1"))


def test_limits_of_version_2(tmp_path: Path) -> None:
    mount = v2(tmp_path / "cgroup")
    with held(mount) as groups:
        assert (mount / "bench-1/nginx/cpu.max").read_text() == "40000 100000"
        assert (mount / "bench-1/nginx/memory.max").read_text() == str(70 << 20)
        for above in (mount, mount / "bench-1"):
            assert (above / "cgroup.subtree_control").read_text() == "+cpu +memory"
        assert groups.add("nginx", 4711)
        assert (mount / "bench-1/nginx/cgroup.procs").read_text() == "4711"
    assert not (mount / "bench-1").exists()


def test_use_of_version_1(tmp_path: Path) -> None:
    mount = v1(tmp_path / "cgroup")
    with held(mount) as groups:
        (mount / "cpuacct/bench-1/nginx/cpuacct.usage").write_text("123456789\n")
        stat = "nr_periods 200\nnr_throttled 3\nthrottled_time 4500000\nnr_bursts 0\n"
        (mount / "cpu/bench-1/nginx/cpu.stat").write_text(stat)
        (mount / "memory/bench-1/nginx/memory.max_usage_in_bytes").write_text("5000000\n")
        (mount / "memory/bench-1/nginx/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
        assert groups.use("nginx") == Use(123_456_789, 200, 3, 4_500_000, 5_000_000, 1)
        with pytest.raises(CgroupError, match=r"^api-0: "):
            groups.use("api-0")


@pytest.mark.parametrize(("peak", "expected"), [("5000000\n", 5_000_000), (None, 0)])
def test_use_of_version_2_also_of_a_kernel_that_tells_no_peak(tmp_path: Path, peak: str | None, expected: int) -> None:
    mount = v2(tmp_path / "cgroup")
    with held(mount) as groups:
        group = mount / "bench-1/nginx"
        stat = "usage_usec 1500\nuser_usec 1\nnr_periods 200\nnr_throttled 3\nthrottled_usec 4500\n"
        (group / "cpu.stat").write_text(stat)
        (group / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n")
        if peak is not None:
            (group / "memory.peak").write_text(peak)
        assert groups.use("nginx") == Use(1_500_000, 200, 3, 4_500_000, expected, 1)


def test_use_since_then_is_the_difference_but_for_the_peak() -> None:
    assert Use(10, 9, 8, 7, 600, 5).since(Use(1, 2, 3, 4, 500, 5)) == Use(9, 7, 5, 3, 600, 0)


def test_a_place_without_control_groups_is_named(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match=str(tmp_path)), Cgroups("bench-1", LIMITS, tmp_path):
        pass
    v1(tmp_path / "half")
    shutil.rmtree(tmp_path / "half/memory")
    with pytest.raises(CgroupError, match="without the memory controller"):
        cgroups.version(tmp_path / "half")


def test_a_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    mount = v1(tmp_path / "cgroup")
    (mount / "memory/bench-1").mkdir()  # there is one of that name already
    with pytest.raises(CgroupError, match="memory/bench-1: File exists"), Cgroups("bench-1", LIMITS, mount):
        pass
    assert not (mount / "cpu/bench-1").exists() and not (mount / "cpuacct/bench-1").exists()


def test_the_kernel_really_throttles_and_really_counts() -> None:
    try:
        with Cgroups(f"engine-test-{os.getpid()}", {"burner": Limit(Decimal("0.05"), 64 << 20)}) as groups:
            burner = subprocess.Popen([sys.executable, "-c", "input()\nwhile True: pass"], stdin=subprocess.PIPE)
            try:
                assert groups.add("burner", burner.pid)
                assert burner.stdin is not None
                burner.stdin.write(b"\n")
                burner.stdin.close()
                while not groups.use("burner").throttled:  # if that never comes, the test's time limit ends it
                    assert burner.poll() is None
            finally:
                burner.kill()
                burner.wait()
            used = groups.use("burner")
            assert used.cpu_ns > 0 and used.periods >= used.throttled
    except CgroupError as error:
        pytest.skip(str(error))
    assert not list(cgroups.MOUNT.glob(f"**/engine-test-{os.getpid()}"))
