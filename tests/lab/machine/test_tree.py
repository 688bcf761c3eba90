"""A process tree is watched by what its processes are for, and one that is not there is a plain error."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from engine.lab.machine import processes, tree
from engine.lab.machine.tree import NoSuchTreeError, Tree

BUSY = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


def ended_pid() -> int:
    with subprocess.Popen(["true"]) as child:
        pass
    return child.pid


def test_what_a_child_uses_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SCAN_EVERY_S", 0.0)
    watched = Tree(os.getpid())
    with subprocess.Popen([sys.executable, "-c", BUSY]) as child:
        try:
            time.sleep(tree.STRETCH_S_MIN + 0.3)
            watched.sample()
        finally:
            child.kill()
    assert watched.use.cpu_s > 0.1
    assert watched.use.pss_peak > 10_000_000
    role = processes.command(os.getpid())  # both are Pythons; other tests may have left other children
    assert watched.use.roles[role].processes >= 2


def test_no_such_process_and_one_that_was_not_waited_for() -> None:
    with pytest.raises(NoSuchTreeError, match="there is no process"):
        Tree(ended_pid())
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
        assert not processes.is_running(child.pid)
        assert processes.of_engine(child.pid) == {}


@pytest.mark.parametrize(
    ("words", "role"),
    [
        (["python", "-m", "engine", "dispatch"], "dispatcher"),
        (["python", "-m", "engine", "api", "--index", "1"], "api 1"),
        (["python", "-m", "engine", "up"], ""),
        (["nginx: master process nginx -c x"], "nginx"),
        (["nginx: worker process"], "nginx worker"),
        (["nginx: worker process is shutting down"], ""),
        ([], ""),
    ],
)
def test_roles_are_told_by_the_command_line(words: list[str], role: str) -> None:
    assert processes.role(words) == role


def test_a_command_of_the_engine_is_told_apart_from_other_programs() -> None:
    command = [sys.executable, "-c", "input()", "-m", "engine", "soak"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        while not processes.words(child.pid)[2:]:
            time.sleep(0.01)
        assert processes.command(child.pid) == "soak"
        child.kill()
    with pytest.raises(OSError):
        processes.command(child.pid)
    with subprocess.Popen(["sleep", "30"]) as other:
        while processes.words(other.pid)[:1] != ["sleep"]:
            time.sleep(0.01)
        assert processes.command(other.pid) == "sleep"
        other.kill()
