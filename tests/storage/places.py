"""A directory for test files that must survive: not every machine has its temporary directory on a disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.storage import filesystem

REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def on_disk() -> Iterator[Path]:
    """An empty directory that ENGINE_DATA_DIR may be; the test is skipped where there is none."""
    for parent in (tempfile.gettempdir(), "/var/tmp", str(REPOSITORY / "build")):
        if not filesystem.complaint(parent):
            os.makedirs(parent, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="e-", dir=parent) as directory:
                yield Path(directory)
            return
    pytest.skip("no directory here is on a disk: neither the temporary ones nor the checkout")
