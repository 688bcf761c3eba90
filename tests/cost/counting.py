"""A process of the engine whose instructions are counted by valgrind's callgrind, from one moment to another.

Time on a shared machine tells little about a change of 15 %; the number of instructions is the same in every run to a
fraction of a per cent. It is what the process executes itself, libraries included, and nothing of the kernel's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.simulate.processes import REPOSITORY

STOP_SECONDS_MAX = 60.0
TOLD_SECONDS_MAX = 60.0
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


class Counted:
    """A process that runs under callgrind, about five times as slow as by itself and, while it counts, fifty times."""

    def __init__(self, process: subprocess.Popen[bytes], result: Path, log: Path) -> None:
        self.process = process
        self._result = result
        self._log = log

    @contextmanager
    def counting(self, warm_up: Callable[[], None]) -> Iterator[None]:
        """Counts what is executed in the block, and neither the start before it nor the end after it.

        ``warm_up`` comes first. It does once what the block does, and callgrind translates the code meanwhile. That
        takes so long that the dispatcher would see a slow processor, and do other work for the same payments.
        """
        self._tell("instrumentation on")
        warm_up()
        self._tell("zero")
        yield
        self._tell("instrumentation off")

    def is_alive(self) -> bool:
        """Whether it runs; fails with all that it has printed when it does not."""
        assert self.process.poll() is None, self._log.read_text()
        return True

    def stop(self) -> int:
        """SIGTERM; the instructions that were counted."""
        self.process.terminate()
        code = self.process.wait(STOP_SECONDS_MAX)
        totals = _TOTALS.search(self._result.read_text()) if self._result.exists() else None
        assert code == 0 and totals is not None, self._log.read_text()
        return int(totals[1])

    def _tell(self, command: str) -> None:
        subprocess.run(
            ["vgdb", f"--pid={self.process.pid}", command],
            check=True, capture_output=True, timeout=TOLD_SECONDS_MAX,
        )  # fmt: skip


@contextmanager
def counted(directory: Path, environment: dict[str, str], *words: str) -> Iterator[Counted]:
    """``python -m engine words...`` under callgrind, killed at the end of the block if it still runs.

    Parameters:
      directory: an empty one, for what callgrind and the process print.
      environment: the process' variables.
    """
    result, log = directory / "callgrind.out", directory / "log"
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={result}"]
    command += [sys.executable, "-m", "engine", *words]
    with log.open("wb") as output:
        process = subprocess.Popen(
            # The order of sets and the like is then the same in every run.
            command, cwd=REPOSITORY, env=environment | {"PYTHONHASHSEED": "0"}, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Counted(process, result, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def clean_environment(settings: dict[str, str]) -> dict[str, str]:
    """This process' environment with ``settings`` for the engine and no others."""
    return {name: text for name, text in os.environ.items() if not name.startswith("ENGINE_")} | settings
