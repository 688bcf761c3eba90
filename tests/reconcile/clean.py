"""Nothing is reported where nothing differs: ``python -m tests.reconcile.clean [--rounds 10] [--seconds 20]``.

Each round has an engine and two processors of its own. Both processors reset connections, hang, answer late and insert
late, and the dispatcher and the ledger are killed now and then. Meanwhile, and once more at the end with lookups, the
ledger is reconciled. What is open at the end is printed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time

from tests.lab.simulate import processes
from tests.lab.simulate.processes import REPOSITORY
from tests.system import running
from tests.system.checks import World
from tests.system.client import steady

FAULTS = {"reset_after_insert": 0.03, "reset_before_insert": 0.02, "hang_after_insert": 0.01, "late_answer": 0.02,
          "late_insert": 0.01}  # fmt: skip
SETTLED_S = 5  # an answer is waited for 2 s


def main() -> None:
    """Plays the rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    bad = sum(played(number, options.seconds) for number in range(options.rounds))
    sys.exit(1 if bad else 0)


def played(number: int, seconds: float) -> bool:
    """One round; whether anything was open at its end."""
    settings = {"ENGINE_LEDGER": "best", "ENGINE_REQUEST_TIMEOUT_MS": "2000"}
    draw = random.Random(number)
    with processes.processors() as simulated, running.engine(simulated, **settings) as engine:
        world = World(engine, simulated)
        for processor in (simulated.default, simulated.fallback):
            processor.set_faults(probabilities=FAULTS, seed=number, hang_ms=3000, late_ms=800)
        statuses, begin = list[int](), time.monotonic()
        with steady(engine.port) as told:
            while time.monotonic() - begin < seconds:
                told.wait_for_more(20)
                if draw.random() < 0.3:
                    role = draw.choice(("dispatcher", "ledger"))
                    engine.wait_for_another(role, engine.send_signal(role, signal.SIGKILL))
                statuses.append(reconciled(world).returncode)
        world.check_settled_once(told.accepted, told.sent)
        time.sleep(SETTLED_S + 1)
        last = reconciled(world, "--from", "10m", "--deep", "--rate", "1000")
        print(f"round {number}: {len(told.accepted)} payments; exit statuses {statuses} and {last.returncode}")
        if last.returncode:
            print(last.stdout, last.stderr)
        return last.returncode != 0


def reconciled(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Reconciles once."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
    command = [sys.executable, "-m", "engine", "reconcile", "--settled", str(SETTLED_S), *words]
    return subprocess.run(
        command, env=known | world.engine.place.settings, cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
