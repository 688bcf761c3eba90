"""`up --simulate`: the processors listen where the dispatcher looks, and remember what the engine remembers."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine import settings as settings_module
from engine.lab.launch import free_ports
from engine.lab.services.processor import Processor
from engine.settings import Settings
from engine.supervise import simulated
from engine.supervise.others import memory_directory
from engine.supervise.place import InTheWayError, UpError
from tests.system.client import client, new_payments, wait_until
from tests.system.running import Engine, Place, engine_in, place

Read = Callable[..., Settings]
REFUSED = ("http://host-a:8080", "http://127.0.0.1:8001/base", "https://127.0.0.1:8001", "http://10.1.2.3:8001")


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(**environment: str) -> Settings:
        return settings_module.read({"ENGINE_RUN_DIR": str(tmp_path)} | environment)

    return read


@pytest.fixture
def here() -> Iterator[Place]:
    """A place for an engine with processors of its own, which nobody has started yet."""
    default, fallback = free_ports(2)
    with place(f"http://127.0.0.1:{default}", f"http://localhost:{fallback}", ENGINE_DRAIN_SECONDS="0") as empty:
        yield empty
        simulated.forget(settings_module.read(empty.settings))


def books(place: Place) -> list[Processor]:
    """Both processors of an engine in this place."""
    urls = (place.settings["PAYMENT_PROCESSOR_URL_DEFAULT"], place.settings["PAYMENT_PROCESSOR_URL_FALLBACK"])
    return [Processor(name, url) for name, url in zip(("default", "fallback"), urls, strict=True)]


def pay(engine: Engine, count: int) -> None:
    """Pays, and waits until all is settled."""
    with client(engine.port) as shop:
        before = shop.summary().count
        assert {shop.pay(payment).status for payment in new_payments(count)} == {202}
        wait_until(lambda: shop.summary().count == before + count, 10, "all are settled")


def counts(engine: Engine) -> tuple[int, int]:
    """The payments in the engine's summary, and in the books of its processors."""
    with client(engine.port) as shop:
        return shop.summary().count, sum(one.summary().count for one in books(engine.place))


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_where_none_can_be_started_is_refused_with_its_variable(read: Read, url: str) -> None:
    with pytest.raises(UpError, match=f"PAYMENT_PROCESSOR_URL_FALLBACK is {url}.*leave out --simulate"):
        simulated.spots(read(PAYMENT_PROCESSOR_URL_FALLBACK=url))
    listed = f"north=http://127.0.0.1:9,south={url}"
    with pytest.raises(UpError, match="south in ENGINE_PROCESSORS is "):
        simulated.spots(read(ENGINE_PROCESSORS=listed))


def test_they_are_where_the_variables_say_on_every_loopback_address(read: Read) -> None:
    settings = simulated.with_fees(
        read(
            ENGINE_PROCESSORS="north=http://localhost:18101,south=http://[::1]:18102",
            ENGINE_FEES_PPM="south=72500",
            ENGINE_PROCESSOR_TOKEN="-secret",
        )
    )
    spots = simulated.spots(settings)
    assert [(one.name, one.host, one.port, one.fee_ppm) for one in spots] == [
        ("north", "127.0.0.1", 18101, 50_000),
        ("south", "::1", 18102, 72_500),
    ]
    commands = simulated.commands(settings, spots)
    assert commands.keys() == {"processors on 127.0.0.1", "processors on ::1"}
    assert "--processor=south=18102:0.0725" in commands["processors on ::1"]
    assert all("--token=-secret" in command for command in commands.values())


def test_fees_that_are_not_set_are_those_that_are_kept(read: Read) -> None:
    def fees(**environment: str) -> list[int]:
        return [one.fee_ppm for one in simulated.with_fees(read(**environment)).processors.all]

    assert fees() == [50_000, 150_000]
    assert fees(ENGINE_FEE_DEFAULT_PPM="70000") == [70_000, 150_000]
    whole = simulated.with_fees(read(ENGINE_FEE_FALLBACK_PPM="1000000"))
    with pytest.raises(UpError, match="the fee of fallback is the whole amount"):
        simulated.spots(whole)


def test_a_port_that_is_taken_is_named_with_its_variable(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "FREE_SECONDS", 0.0)
    first, second = free_ports(2)
    settings = read(
        PAYMENT_PROCESSOR_URL_DEFAULT=f"http://127.0.0.1:{first}",
        PAYMENT_PROCESSOR_URL_FALLBACK=f"http://127.0.0.1:{second}",
    )
    spots = simulated.spots(settings)
    simulated.check_free(spots)
    assert not any(map(simulated.listens, spots)), "a check leaves the ports free"
    match = rf"port {second}, where the simulated fallback is to listen \(PAYMENT_PROCESSOR_URL_FALLBACK\): Address"
    with socket.create_server(("127.0.0.1", second)), pytest.raises(InTheWayError, match=match):
        simulated.check_free(spots)


def test_two_at_one_port_under_two_names_of_one_host_are_seen(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "FREE_SECONDS", 0.0)
    (port,) = free_ports(1)
    settings = read(
        PAYMENT_PROCESSOR_URL_DEFAULT=f"http://127.0.0.1:{port}",
        PAYMENT_PROCESSOR_URL_FALLBACK=f"http://localhost:{port}",
    )
    with pytest.raises(InTheWayError, match="Address already in use"):
        simulated.check_free(simulated.spots(settings))


def test_a_taken_port_is_refused_before_anything_starts_with_a_line_for_a_second_engine(here: Place) -> None:
    port = int(here.settings["PAYMENT_PROCESSOR_URL_DEFAULT"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        code, said = here.refused("--simulate")
    assert code == 1
    assert f"port {port}, where the simulated default is to listen (PAYMENT_PROCESSOR_URL_DEFAULT)" in said
    (line,) = [one for one in said.splitlines() if one.startswith("ENGINE_NAME=")]
    for name in ("ENGINE_RUN_DIR", "ENGINE_PORT", "PAYMENT_PROCESSOR_URL_DEFAULT", "PAYMENT_PROCESSOR_URL_FALLBACK"):
        assert f" {name}=" in line
    assert "dispatcher" not in said and "Traceback" not in said
    assert here.segments() == []


def test_the_summary_is_equal_to_their_books_across_a_restart_and_a_kill(here: Place) -> None:
    with engine_in(here, "--simulate") as engine:
        pay(engine, 30)
        (parent,) = [one for one in psutil.Process(engine.process.pid).children() if "simulate" in one.cmdline()]
        for child in parent.children():
            os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: parent.pid not in psutil.pids() or not parent.is_running(), 10, "they have ended")
        spots = simulated.spots(settings_module.read(here.settings))
        wait_until(lambda: all(map(simulated.listens, spots)), 10, "they are back")
        pay(engine, 10)
        assert counts(engine) == (40, 40)
    said = here.said()
    with engine_in(here, "--simulate") as engine:
        assert counts(engine) == (40, 40)
        assert "It remembers, and so do its processors, from before:" in here.said()[len(said) :]
        pay(engine, 5)
        assert counts(engine) == (45, 45)


def test_with_discard_both_begin_empty_and_leave_nothing(here: Place) -> None:
    settings = settings_module.read(here.settings)
    with engine_in(here, "--simulate") as engine:
        pay(engine, 3)
    with engine_in(here, "--simulate", "--discard") as engine:
        assert counts(engine) == (0, 0)
        pay(engine, 2)
        assert counts(engine) == (2, 2)
    assert [name for name in os.listdir(memory_directory(settings)) if name.startswith(here.name)] == []


def test_processors_of_an_engine_that_was_reset_begin_empty(here: Place) -> None:
    with engine_in(here, "--simulate") as engine:
        pay(engine, 3)
    for name in here.segments():
        os.unlink(f"/dev/shm/{name}")
    with engine_in(here, "--simulate") as engine:
        assert counts(engine) == (0, 0)
