"""`engine up` notices that a process of the engine is stopped or stuck, and starts it anew."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import psutil
import pytest

from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import client, new_payments, wait_until


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with processes.processors() as simulated, running.engine(simulated) as engine:
        yield World(engine, simulated)


ROLES = [("dispatcher",), ("api 0", "api 1"), ("nginx worker",)]


def is_stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


@pytest.mark.parametrize("roles", ROLES, ids=", ".join)
def test_what_is_stopped_is_let_go_on_and_what_was_accepted_is_charged_once(
    world: World, roles: tuple[str, ...]
) -> None:
    world.empty()
    engine, payments = world.engine, new_payments(20)
    with client(engine.port) as shop:
        assert {shop.pay(payment).status for payment in payments[:10]} == {202}
    pids = [engine.send_signal(role, signal.SIGSTOP) for role in roles]
    for pid in pids:
        wait_until(partial(is_stopped, pid), 10, "it is stopped")
    wait_until(lambda: not any(map(is_stopped, pids)), 20, "they go on")
    engine.wait_until_it_answers()
    with client(engine.port) as shop:
        assert {shop.pay(payment).status for payment in payments[10:]} == {202}
    world.check_settled_once(payments)
    assert [engine.pid(role) for role in roles] == pids
    assert f"{roles[0].removesuffix(' worker')} is stopped; it is let go on" in engine.place.said()


@pytest.mark.parametrize("role", ["dispatcher", "api 1"])
def test_what_is_stopped_again_and_again_is_started_anew(world: World, role: str) -> None:
    world.empty()
    engine, payments = world.engine, new_payments(20)
    with client(engine.port) as shop:
        assert {shop.pay(payment).status for payment in payments[:10]} == {202}
    pid = engine.pid(role)

    def is_another() -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        found = engine.processes().get(role)
        return found is not None and found.pid != pid

    wait_until(is_another, 30, "another one")
    engine.wait_until_it_answers()
    with client(engine.port) as shop:
        assert {shop.pay(payment).status for payment in payments[10:]} == {202}
    world.check_settled_once(payments)
    assert f"{role} is stopped; starts anew" in engine.place.said()


# Holds a process as a debugger does: it is not stopped for the kernel, handles no signal but SIGKILL, and does nothing.
HOLD = """
import ctypes, os, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(16, pid, None, None) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(pid, 0x40000000)
print("held", flush=True)
status = 0x7F
while not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
    _, status = os.waitpid(pid, 0x40000000)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hold any process")
def test_a_dispatcher_that_hangs_is_killed_and_another_settles_what_was_accepted(world: World) -> None:
    world.empty()
    engine, payments = world.engine, new_payments(20)
    pid = engine.pid("dispatcher")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(pid)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with client(engine.port) as shop:
            assert {shop.pay(payment).status for payment in payments} == {202}
        engine.wait_for_another("dispatcher", pid)
        assert holder.wait(20) == 0
    world.check_settled_once(payments)
    assert "dispatcher has shown no sign of life for 1" in engine.place.said()


def test_a_dispatcher_that_is_stopped_for_a_moment_goes_on(world: World) -> None:
    world.empty()
    pid = world.engine.pid("dispatcher")
    said = len(world.engine.place.said())
    with world.engine.standing_still("dispatcher"):
        pass
    payments = new_payments(5)
    with client(world.engine.port) as shop:
        assert {shop.pay(payment).status for payment in payments} == {202}
    world.check_settled_once(payments)
    assert world.engine.pid("dispatcher") == pid
    assert world.engine.place.said()[said:] == ""


def test_an_engine_says_that_it_serves_when_all_its_processes_are_ready(world: World) -> None:
    simulated = world.processors
    with running.place(simulated.default.base_url, simulated.fallback.base_url) as here, running.engine_in(here):
        for index in range(2):
            with client(here.api_socket(index)) as shop:
                assert shop.request("GET", "/readyz").status == 200
