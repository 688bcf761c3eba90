"""The wall clock is set under load: ``python -m tests.operate.clock_set [--by 3600]``.

The clock of the engine's processes is set ahead and later back, by ``wall_clock.c``; nobody else's is. Payments come
all the time. Each that was accepted must be charged, and once; sums must be those of the processors; and the metric of
which the alert ClockSet is made must move by what the clock was set by, each time.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from engine.lab.launch import free_ports
from engine.lab.services.console import Console
from engine.lab.services.service import ServiceError
from tests.lab.simulate import processes
from tests.system import running
from tests.system.client import client, steady, wait_until

SOURCE = Path(__file__).with_name("wall_clock.c")
STRETCH_S, WAIT_S = 6.0, 90.0


def clock_set(by_s: int) -> int:
    """Plays it; how many payments were accepted. Fails when a promise did not hold."""
    with tempfile.TemporaryDirectory() as directory:
        library, ahead = Path(directory, "wall_clock.so"), Path(directory, "ahead")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
        ahead.write_bytes(struct.pack("=q", 0))
        (port,) = free_ports(1)
        variables = {
            "LD_PRELOAD": str(library), "WALL_CLOCK_FILE": str(ahead), "ENGINE_CONSOLE": "1",
            "ENGINE_CONSOLE_PORT": str(port),
        }  # fmt: skip
        with processes.processors() as simulated, running.engine(simulated, **variables) as engine:
            console = Console(port)
            with steady(engine.port) as told:
                for seconds in (0, by_s, 0):
                    _set(ahead, seconds)
                    wait_until(lambda: _is_ahead(console, seconds), WAIT_S, f"the metric is {seconds} s ahead")  # noqa: B023
                    time.sleep(STRETCH_S)
            with client(engine.port) as shop:
                wait_until(lambda: shop.pending() == 0, WAIT_S, "everything is settled")
                both = (simulated.default, simulated.fallback)
                charged = [one.correlation_id for some in both for one in some.charged()]
                assert sorted(charged) == sorted(payment.correlation_id for payment in told.accepted)
                assert shop.summary().count == len(charged)
            return len(charged)


def _set(ahead: Path, seconds: int) -> None:
    with open(ahead, "r+b") as file:  # the same file: it is mapped
        file.write(struct.pack("=q", seconds))


def _is_ahead(console: Console, seconds: int) -> bool:
    """Whether the engine believes that the machine has started so much later than it has."""
    name = "engine_machine_start_seconds "
    try:
        text = console.metrics()
    except ServiceError:
        return False  # it starts when the engine serves
    (shown,) = [float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)]
    started_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return abs(shown - started_s - seconds) < 1


def main() -> None:
    """Prints what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--by", type=int, default=3600, help="seconds")
    by_s = parser.parse_args().by
    print(f"{clock_set(by_s):,} payments, each charged once, while the clock was set by {by_s:,} s and back")


if __name__ == "__main__":
    main()
