"""Use is read from /proc as the kernel writes it, and a process that has just ended is no error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.lab.machine import processes, use


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Process 10 with two threads, each of which has a child; 12 has one, too."""
    for pid, thread, children, schedstat in (
        (10, 10, "11 12 ", "5000 1 1\n"),
        (10, 110, "13 ", "700 1 1\n"),
        (11, 11, "", "1 1 1\n"),
        (12, 12, "14 ", "2 1 1\n"),
        (13, 13, "", "3 1 1\n"),
        (14, 14, "", "4 1 1\n"),
    ):
        task = tmp_path / f"{pid}/task/{thread}"
        task.mkdir(parents=True)
        (task / "children").write_text(children)
        (task / "schedstat").write_text(schedstat)
    (tmp_path / "10/cmdline").write_text("python\0-m\0engine\0api\0--index\0001\0")
    (tmp_path / "10/smaps_rollup").write_text("00400000-7ff rollup\nRss:  9000 kB\nPss:  2048 kB\nPss_Dirty:  1 kB\n")
    (tmp_path / "stat").write_text("cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 1 1 1 1\n")
    return tmp_path


def test_all_that_come_from_a_process_by_whatever_thread(proc: Path) -> None:
    assert sorted(processes.children(10, proc)) == [11, 12, 13, 14]
    assert processes.children(99, proc) == []


def test_cpu_is_that_of_all_threads(proc: Path) -> None:
    assert use.cpu_ns(10, proc) == 5700
    assert use.cpu_ns(99, proc) == 0


def test_memory_and_words(proc: Path) -> None:
    assert use.pss_bytes(10, proc) == 2048 * 1024
    assert use.pss_bytes(99, proc) == 0
    assert processes.words(10, proc) == ["python", "-m", "engine", "api", "--index", "1"]
    assert processes.words(99, proc) == []


def test_busy_is_everything_but_idle_and_waiting_for_disks(proc: Path) -> None:
    assert use.busy_s(proc) == (100 + 20 + 30 + 6 + 7 + 8) / os.sysconf("SC_CLK_TCK")


def test_a_real_child_is_found_and_uses_something() -> None:
    with subprocess.Popen([sys.executable, "-c", "print(flush=True)\ninput()"], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in processes.children(os.getpid())
        assert use.cpu_ns(child.pid) > 0 and use.pss_bytes(child.pid) > 0
        child.kill()
    assert use.cpu_ns(child.pid) == 0 and child.pid not in processes.children(os.getpid())
