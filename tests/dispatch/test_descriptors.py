"""The dispatcher has as many descriptors as it may have requests in flight."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import logging, resource
logging.basicConfig(format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from engine.dispatch.command import allow_descriptors
allow_descriptors(1700)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "expected", "warned"),
    [(256, 4096, (1700, 4096), False), (256, 1024, (1024, 1024), True), (2048, 4096, (2048, 4096), False)],
)
def test_the_soft_limit_is_raised_as_far_as_it_may(
    soft: int, hard: int, expected: tuple[int, int], warned: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(soft=soft, hard=hard)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(expected)
    assert ("at most 1024 descriptors" in done.stderr) == warned
