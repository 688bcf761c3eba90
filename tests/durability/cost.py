"""What each ENGINE_DURABILITY costs on this machine: ``python -m tests.durability.cost [--rounds N]`` prints the table.

In every round each mode has a new engine, in turn, behind nginx, with two simulated processors without delay: k6 pays
at the contest's top rate for some seconds, then a burst is handed in as fast as it goes. The figures are medians of the
rounds. CPU is that of all processes of the engine, nginx included; the kernel's own threads, which write to the disk,
are not in it. The whole path shares the machine's cores with k6 and the processors.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.lab.simulate.processes import Processors, processors
from tests.system.client import burst, client, new_payments, wait_until
from tests.system.running import Engine, engine_in, place

MODES = ("memory", "disk", "sync")
RATE = 270  # payments a second: the contest's top
SETTLE_SECONDS_MAX = 60.0
LOCK = "/tmp/machine.lock"  # held for a round, so that two measurements do not measure each other
SCRIPT = """
import http from 'k6/http';
export const options = {
  scenarios: {pay: {executor: 'constant-arrival-rate', rate: RATE, timeUnit: '1s', duration: 'SECONDSs',
    preAllocatedVUs: 50, maxVUs: 300}},
  summaryTrendStats: ['p(50)', 'p(99)'],
};
export default function () {
  http.post('http://127.0.0.1:PORT/payments', JSON.stringify({correlationId: crypto.randomUUID(), amount: 19.90}),
    {headers: {'Content-Type': 'application/json'}});
}
"""


class Cost(NamedTuple):
    """What one mode took in one round."""

    p50_ms: float
    p99_ms: float
    cpu_us: float  # for each payment
    settled_per_s: float


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of k6 at 270 payments a second")
    parser.add_argument("--burst", type=int, default=10_000, help="payments handed in at once")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where the files of disk and sync are")
    arguments = parser.parse_args()
    costs: dict[str, list[Cost]] = {mode: [] for mode in MODES}
    with processors() as both:
        for number in range(arguments.rounds):
            with open(LOCK, "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for mode in MODES:
                    both.reset()
                    with tempfile.TemporaryDirectory(prefix="cost-", dir=arguments.dir) as directory:
                        costs[mode].append(measure(both, mode, directory, arguments.seconds, arguments.burst))
                    print(f"round {number + 1}, {mode}: {costs[mode][-1]}", file=sys.stderr, flush=True)
    print("| mode | p50 of accepting | p99 of accepting | CPU for a payment | settled in a burst |")
    print("|---|---|---|---|---|")
    for mode in MODES:
        cost = Cost(*(statistics.median(column) for column in zip(*costs[mode], strict=True)))
        print(
            f"| {mode} | {cost.p50_ms:.2f} ms | {cost.p99_ms:.1f} ms | {cost.cpu_us:.0f} µs | "
            f"{cost.settled_per_s:,.0f}/s |"
        )
    return 0


def measure(both: Processors, mode: str, directory: str, seconds: int, size: int) -> Cost:
    """One mode in one round."""
    settings = {"ENGINE_DURABILITY": mode, "ENGINE_DATA_DIR": f"{directory}/data"}
    with (
        place(both.default.base_url, both.fallback.base_url, **settings) as here,
        engine_in(here, "--discard") as running,
        client(running.port) as shop,
    ):
        # A first small burst opens connections and files.
        burst(running.port, new_payments(200))
        wait_until(lambda: shop.pending() == 0, SETTLE_SECONDS_MAX, "all settled")
        cpu_before = cpu_seconds(running)
        p50_ms, p99_ms, count = steady(running.port, seconds, directory)
        wait_until(lambda: shop.pending() == 0, SETTLE_SECONDS_MAX, "all settled")
        cpu_us = (cpu_seconds(running) - cpu_before) / count * 1_000_000
        began = time.monotonic()
        statuses = burst(running.port, new_payments(size))
        assert set(statuses.values()) == {202}
        wait_until(lambda: shop.pending() == 0, SETTLE_SECONDS_MAX, "all settled")
        return Cost(p50_ms, p99_ms, cpu_us, size / (time.monotonic() - began))


def steady(port: int, seconds: int, directory: str) -> tuple[float, float, int]:
    """k6 at :data:`RATE`: p50 and p99 in ms, and how many were paid."""
    script, summary = Path(directory, "load.js"), Path(directory, "summary.json")
    text = SCRIPT
    for name, value in (("RATE", RATE), ("SECONDS", seconds), ("PORT", port)):
        text = text.replace(name, str(value))
    script.write_text(text)
    k6 = Path(sys.executable).with_name("k6")
    command = [str(k6), "run", "--quiet", "--no-usage-report", "--summary-export", str(summary), str(script)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"K6_NO_USAGE_REPORT": "true"})
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["http_req_failed"]["value"] == 0
    times = metrics["http_req_duration"]
    return times["p(50)"], times["p(99)"], metrics["http_reqs"]["count"]


def cpu_seconds(running: Engine) -> float:
    """User and system time of all processes of the engine so far."""
    every: Iterable[psutil.Process] = running.processes().values()
    return sum(sum(process.cpu_times()[:2]) for process in every)


if __name__ == "__main__":
    sys.exit(main())
