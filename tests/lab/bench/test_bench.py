"""A bench for real, as short as it can be: it measures both sides, and nothing is left of it, however it ends."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.lab.bench import saturation
from engine.lab.bench.run import why_no_limits
from engine.lab.contest.samples import LoadError
from engine.lab.machine import cgroups, processes
from engine.lab.machine.limits import of_compose_file

ROOT = Path(__file__).resolve().parents[3]
END_S_MAX = 60.0
GROUPS_DEPTH = ("*/engine-bench-*", "engine-bench-*")


def start(directory: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine", "bench", "--rounds", "1", "--output", str(directory), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def assert_nothing_is_left_of(bench: subprocess.Popen[str]) -> None:
    assert not list(Path("/dev/shm").glob(f"bench-{bench.pid}-*"))
    for pattern in GROUPS_DEPTH:
        assert not [path for path in cgroups.MOUNT.glob(pattern) if path.name.endswith(f"-{bench.pid}")]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_both_sides_are_measured_and_every_payment_is_settled_once(tmp_path: Path) -> None:
    bench = start(tmp_path, "--seconds", "1", "--saturation-seconds", "1", "--no-picture")
    said = bench.communicate(timeout=END_S_MAX)[0]
    assert bench.returncode == 0, said
    content = json.loads((tmp_path / "bench.json").read_text())
    load, saturated = content["contest_load"]["rounds"][0], content["saturation"]["rounds"][0]["engine"]
    assert load["engine"]["settled"] == load["engine"]["accepted"] > 100
    assert set(load["engine"]["cpu_us"]) == {"supervisor", "dispatcher", "api 0", "api 1", "nginx", "nginx worker"}
    assert all(load[side][key]["nginx worker"] > 0 for side in ("floor", "engine") for key in ("cpu_us", "pss_mb"))
    assert all(load[side]["latency_ms"]["p50"] > 0 for side in ("floor", "engine"))
    assert saturated["accepted"] <= saturated["settled"] <= saturated["accepted"] + saturated["unanswered"]
    can_limit = not why_no_limits(of_compose_file())
    assert content["limits"]["applied"] == can_limit == bool(load["engine"]["throttled"])
    assert not can_limit or all(use["periods"] > 0 for use in load["engine"]["throttled"].values())
    assert_nothing_is_left_of(bench)


def test_ctrl_c_ends_everything_that_was_started(tmp_path: Path) -> None:
    bench = start(tmp_path, "--seconds", "60", "--saturation-seconds", "0")
    assert bench.stdout is not None
    assert "round 1 of 1, floor" in bench.stdout.readline()
    started: list[int] = []
    while not any("nginx" in " ".join(processes.words(pid)) for pid in started):
        assert bench.poll() is None
        started = processes.children(bench.pid)
    bench.send_signal(signal.SIGINT)
    said = bench.communicate(timeout=END_S_MAX)[0]
    assert bench.returncode == 130, said
    assert not [pid for pid in started if processes.words(pid)]
    assert_nothing_is_left_of(bench)


def test_a_loader_that_did_not_do_its_work_is_quoted() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        saturation.parse("unable to connect to 127.0.0.1:1 Connection refused\n")
    said = '{"seconds":2.0,"answers":10,"refused":3,"connect":1,"read":2,"write":0,"timeout":0,'
    found = saturation.parse(f'Running\n{said}"p50_ms":1.5,"p99_ms":2.5,"max_ms":3.5}}\n')
    assert (found.answers, found.refused, found.broken, found.latency_ms["p99"]) == (10, 3, 3, 2.5)
