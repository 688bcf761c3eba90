"""`engine up`: what it refuses and in which words, and that what it accepted outlives it."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.supervise.alive import is_alive
from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import Payment, Steady, client, new_payments, steady, wait_until
from tests.system.running import Engine, Place, engine_in, has_ended, place

TOKEN = "a secret"
NGINX_MAKES = {f"nginx-{use}" for use in ("body", "proxy", "fastcgi", "uwsgi", "scgi")}  # at its start, and uses none


@pytest.fixture(scope="module")
def simulated() -> Iterator[processes.Processors]:
    with processes.processors() as running_processors:
        yield running_processors


@pytest.fixture(scope="module")
def world(simulated: processes.Processors) -> Iterator[World]:
    with running.engine(simulated, ENGINE_PURGE="0", ENGINE_ADMIN_TOKEN=TOKEN) as engine:
        yield World(engine, simulated)


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@pytest.fixture
def here(request: pytest.FixtureRequest, simulated: processes.Processors) -> Iterator[Place]:
    """A place where no engine runs yet, with other settings if the test asks for some."""
    simulated.reset()
    settings = {"ENGINE_DRAIN_SECONDS": "0", "ENGINE_REQUEST_TIMEOUT_MS": "1000"} | getattr(request, "param", {})
    with place(simulated.default.base_url, simulated.fallback.base_url, **settings) as empty:
        yield empty


def test_a_second_engine_in_the_same_directory_is_refused(world: World) -> None:
    before = world.engine.place.segments()
    code, said = world.engine.place.refused("--discard", ENGINE_PORT=str(running.free_port()), ENGINE_NAME="another")
    assert code == 1
    running_already = f"an engine runs in {world.engine.place.run_dir} already"
    assert f"{running_already} (process {world.engine.process.pid})" in said
    assert world.engine.place.segments() == before
    world.engine.wait_until_it_answers()


def test_a_taken_port_is_refused_and_leaves_nothing(here: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = here.refused("--discard", ENGINE_PORT=str(port))
    assert code == 1
    assert f"port {port} (ENGINE_PORT): Address already in use" in said
    assert "Traceback" not in said
    assert here.segments() == []


def test_bad_settings_are_refused_all_at_once(here: Place) -> None:
    code, said = here.refused(
        ENGINE_RING_SLOTS="1000", ENGINE_PORT="http", ENGINE_WORKERS="7", PAYMENT_PROCESSOR_URL_DEFAULT="ftp://x"
    )
    assert code == 2
    assert "ENGINE_RING_SLOTS='1000': must be a power of two" in said
    assert "ENGINE_PORT='http': must be a whole number" in said
    assert "ENGINE_WORKERS: unknown. tuning.md lists the variables" in said
    assert "PAYMENT_PROCESSOR_URL_DEFAULT='ftp://x'" in said
    assert "Traceback" not in said
    assert here.segments() == []


def test_a_directory_that_cannot_be_used_is_refused(here: Place) -> None:
    here.log.touch()
    code, said = here.refused(ENGINE_RUN_DIR=f"{here.log}/inside")
    assert code == 1
    assert f"ENGINE_RUN_DIR={here.log}/inside: Not a directory" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_serves_on_ipv4_and_on_ipv6(world: World, host: str) -> None:
    assert is_alive(host, world.engine.port)


def test_purge_needs_the_token_where_it_is_not_switched_on(world: World) -> None:
    with client(world.engine.port) as shop:
        payments = new_payments(10)
        assert {shop.pay(payment).status for payment in payments} == {202}
        world.check_settled_once(payments)
        assert shop.request("POST", "/purge-payments").status == 403
        assert shop.request("POST", "/purge-payments", None, {"X-Engine-Token": "a guess"}).status == 403
        assert shop.summary().count == len(payments)
        assert shop.request("POST", "/purge-payments", None, {"X-Engine-Token": TOKEN}).status == 200
        assert shop.summary().count == 0


def test_what_was_accepted_before_a_stop_under_load_is_settled_after_it(
    here: Place, simulated: processes.Processors
) -> None:
    for processor in (simulated.default, simulated.fallback):
        processor.set_failing(True)
    with engine_in(here) as engine, steady(engine.port) as told:
        told.wait_for_more(300)
        engine.stop()
    assert here.segments(), "accepted payments outlive the engine"
    for processor in (simulated.default, simulated.fallback):
        processor.set_failing(False)
    with engine_in(here) as engine:
        check_everything_known(engine, simulated, told)


def test_what_was_accepted_is_settled_when_the_processors_hang_during_a_stop(
    here: Place, simulated: processes.Processors
) -> None:
    for processor in (simulated.default, simulated.fallback):
        processor.set_delay(700)  # charged after the engine has gone
    with engine_in(here) as engine, steady(engine.port) as told:
        told.wait_for_more(200)
        engine.stop()
    for processor in (simulated.default, simulated.fallback):
        processor.set_delay(0)
    with engine_in(here) as engine:
        check_everything_known(engine, simulated, told)


@pytest.mark.parametrize("whole", [False, True], ids=["files", "directory"])
def test_a_run_directory_that_is_cleaned_away_is_made_again_and_served_from(
    here: Place, simulated: processes.Processors, whole: bool
) -> None:
    with engine_in(here) as engine, client(engine.port) as shop:
        payments = new_payments(10)
        assert {shop.pay(payment).status for payment in payments} == {202}
        directory = Path(here.run_dir)
        names = {path.name for path in directory.iterdir()} - {"log", "nginx.pid"}
        if whole:
            shutil.rmtree(directory)
        else:
            for path in directory.iterdir():
                if path.is_file() or path.is_socket() or path.is_fifo():
                    path.unlink()
        wait_until(
            lambda: directory.exists() and {path.name for path in directory.iterdir()} >= names - NGINX_MAKES,
            10, "all is there again",
        )  # fmt: skip
        wait_until(lambda: connects(here.api_socket(0)) and connects(here.api_socket(1)), 5, "both serve")
        payments += (more := new_payments(20))
        assert {shop.pay(payment).status for payment in more} == {202}
        World(engine, simulated).check_settled_once(payments)


@pytest.mark.parametrize(
    "here", [{"ENGINE_DURABILITY": "memory"}, {"ENGINE_DURABILITY": "sync"}], indirect=True, ids=["memory", "sync"]
)
def test_when_the_supervisor_is_killed_all_ends_and_a_new_one_carries_on(
    here: Place, simulated: processes.Processors
) -> None:
    for processor in (simulated.default, simulated.fallback):
        processor.set_failing(True)
    with engine_in(here) as engine, steady(engine.port) as told:
        told.wait_for_more(300)
        everybody = list(engine.processes().values())
        assert len(everybody) == 6
        engine.send_signal("up", signal.SIGKILL)
        engine.process.wait()
        wait_until(lambda: all(map(has_ended, everybody)), 10, "all have ended")
    for processor in (simulated.default, simulated.fallback):
        processor.set_failing(False)
    with engine_in(here) as engine:
        check_everything_known(engine, simulated, told)


def pay(engine: Engine, count: int) -> list[Payment]:
    """Payments that were accepted."""
    payments = new_payments(count)
    with client(engine.port) as shop:
        assert {shop.pay(payment).status for payment in payments} == {202}
    return payments


def check_everything_known(engine: Engine, simulated: processes.Processors, told: Steady) -> None:
    """All that had a 202 is settled once, and its status is known to both API processes."""
    assert told.accepted
    World(engine, simulated).check_settled_once(told.accepted, told.sent)
    for index in (0, 1):
        with client(engine.place.api_socket(index)) as api:
            assert {api.status(payment).json()["status"] for payment in told.accepted} == {"completed"}
