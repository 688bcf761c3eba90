"""Processors that break off, hang, answer slowly or with nonsense: all accepted payments are settled exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.lab.simulate.faults import Fault
from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import burst, new_payments

# An answer that takes longer than the engine waits for it. The times are short for the test's sake only.
TIMEOUT_MS = 300
HANG_MS = 700
LATE_MS = 500
# No real processor charges and says 500: then the outcome could not be known.
FAULTS = [fault for fault in Fault if fault is not Fault.ERROR_AFTER_INSERT]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        processes.processors() as simulated,
        running.engine(simulated, ENGINE_REQUEST_TIMEOUT_MS=str(TIMEOUT_MS)) as engine,
    ):
        yield World(engine, simulated)


@pytest.fixture(autouse=True)
def _empty(world: World) -> None:
    world.empty()


def cents(number: int) -> int:
    """Amounts that differ, so that one that was mixed up with another one shows."""
    return 1 + number * 7919 % 1_000_003


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_processor_neither_loses_nor_doubles_a_payment(world: World, fault: Fault) -> None:
    processors = world.processors
    for processor in (processors.default, processors.fallback):
        processor.set_faults({fault: 10}, hang_ms=HANG_MS, late_ms=LATE_MS)
    payments = new_payments(150, cents)
    assert set(burst(world.engine.port, payments, 4).values()) == {202}
    world.check_settled_once(payments)
    # Not all ten of each: the breaker may have turned payments away before.
    assert 1 <= processors.default.faults_done()[fault] <= 10


def test_all_faults_together_neither_lose_nor_double_a_payment(world: World) -> None:
    processors = (world.processors.default, world.processors.fallback)
    for seed, processor in enumerate(processors):
        processor.set_faults(probabilities=dict.fromkeys(FAULTS, 0.03), seed=seed, hang_ms=HANG_MS, late_ms=LATE_MS)
    payments = new_payments(2_000, cents)
    assert set(burst(world.engine.port, payments).values()) == {202}
    world.check_settled_once(payments)
    done = {fault for processor in processors for fault in processor.faults_done()}
    assert done == {str(fault) for fault in FAULTS}
