"""An engine that has nothing to do costs next to nothing, and one that works for long does not grow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import burst, client, new_payments, wait_until

IDLE_SECONDS = 5.0
IDLE_CORE_MAX = 0.02
IDLE_TRIES = 3
BURST = 4_000
CONNECTIONS = 8
IN_FLIGHT_MAX = 32
GROWTH_BYTES_MAX = 1_000_000  # after 16,000 payments more: what leaks for each of them has 60 bytes at most


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        processes.processors() as simulated,
        running.engine(simulated, ENGINE_IN_FLIGHT_MAX=str(IN_FLIGHT_MAX)) as engine,
    ):
        yield World(engine, simulated)


def own_bytes(process: psutil.Process) -> int:
    """Memory that is not shared: rings and books count in a process as it comes across them, and do not grow."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    (line,) = (line for line in rollup.splitlines() if line.startswith("Anonymous:"))
    return int(line.split()[1]) * 1024


def settle_a_burst(world: World) -> None:
    assert set(burst(world.engine.port, new_payments(BURST), CONNECTIONS).values()) == {202}
    with client(world.engine.port) as shop:
        wait_until(lambda: shop.pending() == 0, 30, "settled")


def test_memory_and_descriptors_do_not_grow_with_the_payments(world: World) -> None:
    settle_a_burst(world)
    settle_a_burst(world)
    engine = world.engine.processes()
    before = {role: (own_bytes(process), process.num_fds()) for role, process in engine.items()}
    for _ in range(4):
        settle_a_burst(world)
    for role, process in engine.items():
        bytes_before, descriptors = before[role]
        assert own_bytes(process) - bytes_before < GROWTH_BYTES_MAX, role
        # All connections that there may be at any time; a leak would be a part of the thousands of payments.
        assert process.num_fds() - descriptors <= 2 * (IN_FLIGHT_MAX + CONNECTIONS), role


def test_an_idle_engine_uses_less_than_a_fiftieth_of_a_core(world: World) -> None:
    def cpu_seconds() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in world.engine.processes().values())

    used = []
    for _ in range(IDLE_TRIES):  # what disturbs the machine may disturb one of them
        before, begun = cpu_seconds(), time.monotonic()
        time.sleep(IDLE_SECONDS)  # the thing that is measured, not a condition that is waited for
        used.append((cpu_seconds() - before) / (time.monotonic() - begun))
        if used[-1] < IDLE_CORE_MAX:
            return
    pytest.fail(f"of a core, idle: {used}")
