"""Nothing is reported where nothing differs: ``python -m tests.reconcile.clean [--rounds 10] [--seconds 20]``.

Each round has an engine and two processors of its own. Both processors reset connections, hang, answer late and insert
late; the way to them is cut, refuses, resets in the middle of a request or of its answer, stalls and delays; and the
dispatcher and the ledger are killed now and then. Meanwhile, and once more at the end with lookups, the ledger is
reconciled over the same way. An exception that is open at any time is printed, and the exit status is 1: what cannot be
asked for (3) is no exception, but at the end all must be.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from engine.lab.chaos.plan import Trouble
from engine.lab.chaos.proxy import Proxy
from engine.lab.launch import free_ports, host_and_port
from engine.reconcile.command import OPEN
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
    """One round; whether anything was open, or not all could be asked for at its end."""
    settings = {"ENGINE_LEDGER": "best", "ENGINE_REQUEST_TIMEOUT_MS": "2000"}
    draw = random.Random(number)
    with processes.processors() as simulated, ExitStack() as held:
        both = (simulated.default, simulated.fallback)
        ports = free_ports(len(both))
        ways = [
            held.enter_context(Proxy(port, host_and_port(one.base_url)[1], number))
            for port, one in zip(ports, both, strict=True)
        ]
        here = held.enter_context(running.place(*(f"http://127.0.0.1:{port}" for port in ports), **settings))
        engine = held.enter_context(running.engine_in(here, "--discard"))
        world = World(engine, simulated)
        for processor in both:
            processor.set_faults(probabilities=FAULTS, seed=number, hang_ms=3000, late_ms=800)
        troubles, statuses, begin = Counter[str](), list[int](), time.monotonic()
        with steady(engine.port) as told:
            while time.monotonic() - begin < seconds:
                told.wait_for_more(20)
                if draw.random() < 0.3:
                    role = draw.choice(("dispatcher", "ledger"))
                    engine.wait_for_another(role, engine.send_signal(role, signal.SIGKILL))
                troubles[_disturb(draw, ways)] += 1
                statuses.append(_told(reconciled(world)))
        for way in ways:
            way.set(Trouble.NONE)
        world.check_settled_once(told.accepted, told.sent)
        time.sleep(SETTLED_S + 1)
        last = _told(reconciled(world, "--from", "10m", "--deep", "--rate", "1000"))
        resets = sum(way.resets for way in ways)
        disturbed = ", ".join(f"{trouble} {count}" for trouble, count in sorted(troubles.items()))
        print(f"round {number}: {len(told.accepted)} payments; {disturbed}; {resets} connections reset on the way; "
              f"exit statuses {statuses} and {last}", flush=True)  # fmt: skip
        return last != 0 or OPEN in statuses


def _disturb(draw: random.Random, ways: Sequence[Proxy]) -> Trouble:
    """One of the ways, or both, are bad for a moment, or until this is called again."""
    for way in ways:
        way.set(Trouble.NONE)
    trouble = draw.choice([one for one in Trouble if one is not Trouble.NONE])
    some = draw.choice([[way] for way in ways] + [list(ways)])
    for way in some:
        way.set(trouble)
    time.sleep(draw.uniform(0.3, 1.5))
    if draw.random() < 0.7:  # else also while ledger and processors are compared
        for way in some:
            way.set(Trouble.NONE)
    return trouble


def _told(done: subprocess.CompletedProcess[str]) -> int:
    """Its exit status; what it said is printed when an exception is open."""
    if done.returncode == OPEN:
        print(done.stdout, done.stderr)
    return done.returncode


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
