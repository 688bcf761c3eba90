"""A short soak of the real engine: books exact, descriptors flat, memory bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from engine.lab.soak.checks import Limits
from tests.lab.simulate.processes import REPOSITORY

SECONDS_MAX = 110.0
PAYMENTS = 15_000
# Connections are kept, so a machine that is busy at first and then not has more of them later. Here all that there can
# ever be are fewer than the descriptors that may creep: only a leak can be more, however busy the machine is.
IN_FLIGHT_MAX, CONNECTIONS = 4, 4
PROCESSORS = 2


def test_a_short_soak_holds_every_promise(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "soak", "--payments", str(PAYMENTS), "--output", str(tmp_path)]
    assert max(PROCESSORS * IN_FLIGHT_MAX, 2 * CONNECTIONS) < Limits().creep
    # So few in flight are a full batch: the dispatcher does not wait for more, and settles quickly.
    # Buffers are still being made in the first seconds: more room to grow.
    command += ["--minutes", "0.5", "--rate", "3000", "--connections", str(CONNECTIONS), "--growth-mb", "25"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=SECONDS_MAX,
        cwd=REPOSITORY, env=os.environ | {"ENGINE_IN_FLIGHT_MAX": str(IN_FLIGHT_MAX), "ENGINE_DISPATCH_BATCH": "8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads((tmp_path / "soak.json").read_text())
    assert outcome["accepted"] == outcome["begun"] == PAYMENTS
    assert [check for check in outcome["checks"] if not check["holds"]] == []
    lines = (tmp_path / "windows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == outcome["windows"]
    assert (tmp_path / "soak.png").stat().st_size > 10_000


def test_a_backlog_that_does_not_fit_into_the_rings_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "soak", "--backlog", "60000000", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS_MAX, cwd=REPOSITORY)
    assert done.returncode == 2
    assert "does not fit into the rings" in done.stderr
    assert not (tmp_path / "out").exists()
