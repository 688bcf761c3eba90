"""Prometheus' own tool, as the tests of rules and dashboard use it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MEMORY = "/dev/shm"  # promtool makes a database for each series
MEMORY_BYTES = 256 << 20  # which needs less; a container often has 64 MB there
Promtool = Callable[..., subprocess.CompletedProcess[str]]


def has_room(path: str) -> bool:
    if not os.access(path, os.W_OK):
        return False
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize > MEMORY_BYTES


@pytest.fixture
def promtool(tmp_path: Path) -> Promtool:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus (`make test` installs it)")
    environment = os.environ | {"TMPDIR": MEMORY if has_room(MEMORY) else str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [program, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)

    return run
