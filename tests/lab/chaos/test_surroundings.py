"""A short run of the faults of an engine's surroundings, on the real processes, in a world apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from engine.__main__ import main
from engine.lab.chaos import apart
from engine.lab.chaos.faults import NEED_MEMORY, NEED_NAMES, Fault
from engine.lab.chaos.mounts import MountError
from engine.lab.chaos.surroundings import Surroundings
from engine.lab.chaos.world import World
from tests.lab.simulate.processes import REPOSITORY

SECONDS_MAX = 150.0


def chaos(tmp_path: Path, *words: str) -> tuple[int, str, dict[str, object]]:
    """Exit code, what was said, and the result. In a process of its own: it leaves the namespaces of this one.

    The memory that it made is gone: its name has the number of the process, so that other tests' memory is none of it.
    """
    command = [sys.executable, "-m", "engine", "chaos", "--surroundings", "--output", str(tmp_path), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY
    ) as process:
        try:
            said, _ = process.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert not list(Path("/dev/shm").glob(f"*-{process.pid}-*"))
    result = tmp_path / "chaos.json"
    return process.returncode, said, json.loads(result.read_text()) if result.exists() else {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a world apart")
def test_it_serves_after_each_fault_and_what_was_accepted_is_charged_once(tmp_path: Path) -> None:
    # Seed 13 draws one of each kind: removed, stopped, silent, full. How soon it serves is for a quiet machine to say.
    code, said, seen = chaos(tmp_path, "--minutes", "0.6", "--bouts", "5", "--seed", "13", "--within", "60")
    checks = seen["checks"]
    assert isinstance(checks, list)
    assert (code, [check for check in checks if not check["holds"]]) == (0, []), said
    done = seen["surroundings"]
    assert isinstance(done, list)
    words = " ".join(one["bout"]["fault"] for one in done)
    assert len(done) == 5 and all(word in words for word in ("removed", "stopped", "silent", "/dev/shm"))
    assert "PASSED with seed 13" in said


def test_who_is_not_root_is_told_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MountError, match="only root can make name servers silent"):
        apart.enter()
    host = SimpleNamespace(run_dir="/nowhere")
    world = cast(World, SimpleNamespace(settings=SimpleNamespace(host=host)))
    left_out = set(Fault) - set(Surroundings(world, None, None).possible)
    assert left_out == NEED_NAMES | NEED_MEMORY


def test_what_does_not_go_together_is_said_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, problem in (
        (["--surroundings", "--kills", "3"], "--surroundings goes without --kills"),
        (["--bouts", "3"], "--bouts is for --surroundings"),
    ):
        assert main(["chaos", "--output", str(tmp_path / "out"), *words]) == 2
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
