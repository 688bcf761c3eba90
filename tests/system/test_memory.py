"""An engine's memory outlives what becomes of its processes, its directories, its sizes and its limits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.storage import making, mapping
from engine.storage.segment import SharedMemoryStore
from tests.lab.simulate import processes
from tests.storage.places import REPOSITORY
from tests.system.checks import World
from tests.system.client import Payment, burst, client, new_payments, wait_until
from tests.system.running import SHARED_MEMORY, Engine, Place, engine_in, free_port, place

SMALL = {
    "ENGINE_RING_SLOTS": "1024",
    "ENGINE_BOOKS_RECENT_SECONDS": "60",
    "ENGINE_BOOKS_HORIZON_HOURS": "1",
    "ENGINE_DRAIN_SECONDS": "0",
    "ENGINE_REQUEST_TIMEOUT_MS": "1000",
}
OTHERS = {
    "ENGINE_RING_SLOTS": "512",
    "ENGINE_API_PROCESSES": "3",
    "ENGINE_PARKED_SLOTS": "1024",
    "ENGINE_BOOKS_RECENT_SECONDS": "120",
    "ENGINE_BOOKS_HORIZON_HOURS": "2",
}
ADDRESS_SPACE_KB = (31_000, 32_000, 33_000, 34_000, 36_000, 40_000)  # some suffice for Python, and not for the books


@pytest.fixture(scope="module")
def simulated() -> Iterator[processes.Processors]:
    with processes.processors() as running:
        yield running


@pytest.fixture
def here(request: pytest.FixtureRequest, simulated: processes.Processors) -> Iterator[Place]:
    simulated.reset()
    settings = SMALL | {"ENGINE_DURABILITY": getattr(request, "param", "memory")}
    with place(simulated.default.base_url, simulated.fallback.base_url, **settings) as made:
        yield made


def set_failing(simulated: processes.Processors, failing: bool) -> None:
    for processor in (simulated.default, simulated.fallback):
        processor.set_failing(failing)


def pay_what_waits(here: Place, simulated: processes.Processors, count: int) -> list[Payment]:
    """Payments with a 202 that are not settled when the engine stops."""
    set_failing(simulated, True)
    payments = new_payments(count)
    with engine_in(here) as engine:
        assert set(burst(engine.port, payments).values()) == {202}
    set_failing(simulated, False)
    return payments


def pay_what_hangs(here: Place, simulated: processes.Processors, count: int) -> list[Payment]:
    """Payments with a 202, some of them charged at default, that are unresolved there when the engine is killed."""
    simulated.default.set_delay(600)
    payments = new_payments(count)
    with engine_in(here) as engine:
        assert set(burst(engine.port, payments).values()) == {202}
        with client(engine.port) as shop:
            wait_until(
                lambda: shop.request("GET", "/health").json()["processors"]["default"]["inFlight"] > 0, 10, "it is sent"
            )
        engine.kill()
    simulated.default.set_delay(0)
    return payments


def check_settled(engine: Engine, simulated: processes.Processors, payments: list[Payment]) -> None:
    World(engine, simulated).check_settled_once(payments)
    for index in range(int(engine.place.settings.get("ENGINE_API_PROCESSES", "2"))):
        with client(engine.place.api_socket(index)) as api:
            assert {api.status(payment).json()["status"] for payment in payments[::20]} == {"completed"}


def test_a_second_engine_of_the_same_name_is_refused_wherever_its_directory_is(
    here: Place, simulated: processes.Processors, tmp_path: Path
) -> None:
    with engine_in(here) as engine:
        code, said = here.refused(ENGINE_RUN_DIR=str(tmp_path), ENGINE_PORT=str(free_port()))
        assert code == 1
        assert f"an engine called {here.name} runs already" in said
        assert "Traceback" not in said
        # Also if the lock of the first one's supervisor was removed, and also for a start with --discard.
        (SHARED_MEMORY / f"{here.name}.lock").unlink()
        code, said = here.refused("--discard", ENGINE_RUN_DIR=str(tmp_path), ENGINE_PORT=str(free_port()))
        assert code == 1
        assert f"an engine called {here.name} runs already" in said and f"holds {here.name}-books" in said
        engine.wait_until_it_answers()
        payments = new_payments(20)
        burst(engine.port, payments)
        check_settled(engine, simulated, payments)


@pytest.mark.parametrize("here", ["memory", "disk"], indirect=True)
def test_a_start_with_other_sizes_settles_what_waited_and_knows_what_was_settled(
    here: Place, simulated: processes.Processors
) -> None:
    settled = new_payments(100)
    with engine_in(here) as engine:
        burst(engine.port, settled)
        World(engine, simulated).check_settled_once(settled)
    waiting = pay_what_waits(here, simulated, 700)
    code, said = here.refused(ENGINE_RING_SLOTS="256")
    assert code == 1
    assert "700 payments are unfinished" in said and "2 x 256" in said and "Traceback" not in said
    before = dict(here.settings)
    here.settings.update(OTHERS)
    with engine_in(here) as engine:
        check_settled(engine, simulated, settled + waiting)
        with client(engine.port) as shop:
            assert {shop.pay(payment).status for payment in (settled + waiting)[::50]} == {202}
    here.settings.update(before | {"ENGINE_API_PROCESSES": "1"})
    with engine_in(here) as engine:
        World(engine, simulated).check_settled_once(settled + waiting)


def test_an_engine_without_address_space_loses_nothing(here: Place, simulated: processes.Processors) -> None:
    payments = pay_what_waits(here, simulated, 300)
    segments, said = here.segments(), ""
    for limit_kb in ADDRESS_SPACE_KB:
        command = f"ulimit -v {limit_kb} && exec {sys.executable} -m engine up"
        done = subprocess.run(
            ["timeout", "--kill-after=10", "10", "bash", "-c", command],
            cwd=REPOSITORY, env=os.environ | here.settings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said += done.stderr
        assert here.segments() == segments
    assert f"{here.name}-books: it cannot be opened: [Errno 12] Cannot allocate memory" in said
    with engine_in(here) as engine:
        check_settled(engine, simulated, payments)


@pytest.mark.parametrize("name", ["ring-1", "books"])
def test_an_engine_whose_memory_is_removed_settles_what_it_has_and_ends_with_a_word(
    here: Place, simulated: processes.Processors, name: str
) -> None:
    here.settings["ENGINE_DRAIN_SECONDS"] = "10"
    payments = new_payments(200)
    with engine_in(here) as engine:
        burst(engine.port, payments)
        (SHARED_MEMORY / f"{here.name}-{name}").unlink()
        assert engine.process.wait(30) == 1
    assert f"{here.name}-{name}: removed, or made anew, while this process used it" in here.said()
    summaries = [processor.summary() for processor in (simulated.default, simulated.fallback)]
    assert sum(summary.count for summary in summaries) == len(payments)
    code, said = here.refused()
    assert code == 1
    assert f"{here.name}-{name}: it was removed" in said and "`./engine.sh reset --force`" in said


@pytest.mark.parametrize("command", [["api", "--index", "0"], ["dispatch"]], ids=["api", "dispatch"])
def test_a_process_by_itself_notices_that_its_memory_was_made_anew(here: Place, command: list[str]) -> None:
    environment = os.environ | here.settings
    settings = settings_module.read(here.settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", *command], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: len(here.segments()) == 4 and _is_held(here), 20, "it holds its memory")
        mapping.remove_all(settings)
        for segment in (mapping.open_books(settings), *mapping.open_rings(settings)):
            segment.close()
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (1, 2)
    assert "removed, or made anew, while this process used it" in said and "Traceback" not in said


def _is_held(here: Place) -> bool:
    return bool(making.used(SharedMemoryStore(), here.name))


def test_another_address_is_refused_while_payments_are_unresolved_and_taken_when_they_are_settled(
    here: Place, simulated: processes.Processors
) -> None:
    payments = pay_what_hangs(here, simulated, 50)
    there = here.settings["PAYMENT_PROCESSOR_URL_DEFAULT"]
    elsewhere = f"http://127.0.0.1:{free_port()}"
    code, said = here.refused(PAYMENT_PROCESSOR_URL_DEFAULT=elsewhere)
    assert code == 1
    assert f"payments were sent to another default than {elsewhere}" in said
    assert "`./engine.sh moved default`" in said and "Traceback" not in said
    code, said = here.refused(PAYMENT_PROCESSOR_URL_DEFAULT=here.settings["PAYMENT_PROCESSOR_URL_FALLBACK"])
    assert code == 2
    assert "are one and the same" in said
    with engine_in(here) as engine:
        check_settled(engine, simulated, payments)
    here.settings["PAYMENT_PROCESSOR_URL_DEFAULT"] = elsewhere
    with engine_in(here):
        pass
    here.settings["PAYMENT_PROCESSOR_URL_DEFAULT"] = there
