"""Processes that are killed or restarted under load: `up` brings them back, and every payment is settled once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import client, steady, wait_until

CHILDREN = ("api 0", "api 1", "dispatcher", "nginx")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    # A dispatcher that is asked to stop under load finds no end of it, and uses all of its time.
    with processes.processors() as simulated, running.engine(simulated, ENGINE_DRAIN_SECONDS="1") as engine:
        yield World(engine, simulated)


@pytest.fixture(autouse=True)
def _empty(world: World) -> None:
    """Everything forgotten, and processors that are slow enough for much to be under way at any moment."""
    world.empty()
    world.processors.default.set_delay(30)
    world.processors.fallback.set_delay(30)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "restarted"])
def test_api_processes_that_are_replaced_one_after_the_other_refuse_no_request(
    world: World, number: signal.Signals
) -> None:
    with steady(world.engine.port, 8) as told:
        for index in (0, 1):
            told.wait_for_more(200)
            world.engine.wait_until_nginx_uses(1 - index)
            role = f"api {index}"
            world.engine.wait_for_another(role, world.engine.send_signal(role, number))
        told.wait_for_more(200)
    assert told.troubles == []
    world.check_settled_once(told.accepted)


def test_a_dispatcher_that_is_killed_again_and_again_loses_and_doubles_nothing(world: World) -> None:
    with steady(world.engine.port) as told:
        for _ in range(4):
            told.wait_for_more(100)
            world.engine.wait_for_another("dispatcher", world.engine.send_signal("dispatcher", signal.SIGKILL))
        told.wait_for_more(100)
    assert told.troubles == []
    world.check_settled_once(told.accepted)


@pytest.mark.parametrize("role", ["nginx", "nginx worker"])
def test_a_killed_nginx_is_back_and_what_clients_send_again_is_charged_once(world: World, role: str) -> None:
    with steady(world.engine.port) as told:
        told.wait_for_more(200)
        world.engine.wait_for_another(role, world.engine.send_signal(role, signal.SIGKILL))
        told.wait_for_more(200)
    world.check_settled_once(told.accepted, told.sent)


def test_a_worker_does_not_outlive_its_killed_nginx(world: World) -> None:
    worker = world.engine.processes()["nginx worker"]
    world.engine.wait_for_another("nginx", world.engine.send_signal("nginx", signal.SIGKILL))
    wait_until(lambda: running.has_ended(worker), 10, "the orphan has ended")


def test_everything_killed_at_once_is_back_and_carries_on(world: World) -> None:
    with steady(world.engine.port) as told:
        told.wait_for_more(200)
        killed = {role: world.engine.send_signal(role, signal.SIGKILL) for role in CHILDREN}
        for role, pid in killed.items():
            world.engine.wait_for_another(role, pid)
        told.wait_for_more(200)
    world.check_settled_once(told.accepted, told.sent)
    for index in (0, 1):
        with client(world.engine.place.api_socket(index)) as api:
            assert {api.status(payment).json()["status"] for payment in told.accepted} == {"completed"}


def test_a_dispatcher_that_is_restarted_costs_no_client_an_error(world: World) -> None:
    with steady(world.engine.port) as told:
        told.wait_for_more(200)
        world.engine.wait_for_another("dispatcher", world.engine.send_signal("dispatcher", signal.SIGTERM))
        told.wait_for_more(200)
    assert told.troubles == []
    world.check_settled_once(told.accepted)
