"""The end of an engine: what it says it waits for, and that a second Ctrl-C ends it at once without a loss."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.lab.launch import free_ports
from engine.supervise import stopping
from engine.supervise.child import Child
from engine.supervise.stopping import Stop, stop_all
from tests.lab.simulate import processes
from tests.system.client import client, new_payments, wait_until
from tests.system.running import engine_in, has_ended, place

SETTINGS = settings_module.read({})
# A process that will not end when it is asked to.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"


@pytest.fixture
def stop() -> Iterator[Stop]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Stop()
    for number, handler in before.items():
        signal.signal(number, handler)


def started(name: str, code: str) -> Child:
    child = Child(name, [sys.executable, "-c", code], os.environ)
    child.tend(0)
    return child


@pytest.mark.parametrize(
    ("signals", "hurried"),
    [
        ([signal.SIGINT], False),
        ([signal.SIGINT, signal.SIGINT], True),
        ([signal.SIGTERM, signal.SIGTERM], False),
        ([signal.SIGTERM, signal.SIGINT], True),
        ([signal.SIGINT, signal.SIGTERM], False),
    ],
)
def test_only_a_ctrl_c_after_another_signal_hurries(stop: Stop, signals: list[signal.Signals], hurried: bool) -> None:
    for number in signals:
        os.kill(os.getpid(), number)
    assert stop.asked
    assert stop.hurried is hurried


def test_who_does_not_end_is_killed_at_once_by_a_second_ctrl_c(
    stop: Stop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "STOP_SECONDS", 600.0)
    children = [started(name, STUBBORN) for name in ("nginx", "api 0", "dispatcher", "processors")]
    heard = ""
    while heard.count("on\n") < len(children):
        heard += capfd.readouterr().out
        time.sleep(0.01)

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: stop.asked, 10, "the first was heard: two that wait are one")
        os.kill(os.getpid(), signal.SIGINT)

    hurry = threading.Timer(0.2, twice)
    hurry.start()
    stop_all(SETTINGS, children, stop, lambda: 0, forgets=False)
    hurry.join()
    assert [child.pid for child in children] == [None] * len(children)


def test_processes_end_from_front_to_back(stop: Stop, tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(told)!r}, 'a').write('NAME '), sys.exit()))\n"
        f"open({str(tmp_path)!r} + '/NAME', 'w')\n"
        "while True: time.sleep(0.01)"
    )
    names = ["processors", "dispatcher", "api-0", "nginx"]
    children = [started(name, code.replace("NAME", name)) for name in names]
    wait_until(lambda: all((tmp_path / name).exists() for name in names), 20, "all run")
    stop_all(SETTINGS, children, stop, lambda: 0, forgets=False)
    assert told.read_text().split() == ["nginx", "api-0", "dispatcher", "processors"]


@pytest.mark.parametrize(
    ("pending", "forgets", "said"),
    [
        (0, False, ["stopping", "stopped"]),
        (1, False, [
            "stopping: 1 payment is not settled yet, waiting 6 s at most",
            "Ctrl-C again ends it at once: nothing is lost",
            "stopped: 1 payment is not settled, and kept for the next start",
        ]),
        (2, True, [
            "stopping: 2 payments are not settled yet, waiting 6 s at most",
            "Ctrl-C again ends it at once: what is left is forgotten (--discard)",
            "stopped: 2 payments are not settled, and forgotten (--discard)",
        ]),
    ],
)  # fmt: skip
def test_it_says_what_it_waits_for_and_what_is_left(
    stop: Stop, caplog: pytest.LogCaptureFixture, pending: int, forgets: bool, said: list[str]
) -> None:
    with caplog.at_level(logging.INFO, "engine.up"):
        stop_all(SETTINGS, [], stop, lambda: pending, forgets=forgets)
    assert caplog.messages == said


def test_a_second_ctrl_c_loses_nothing_that_was_accepted() -> None:
    free = [f"http://127.0.0.1:{port}" for port in free_ports(2)]
    payments = new_payments(5)
    with place(*free, ENGINE_DRAIN_SECONDS="3600") as here:
        with engine_in(here) as engine:
            with client(engine.port) as shop:
                assert {shop.pay(payment).status for payment in payments} == {202}
            everybody = list(engine.processes().values())
            engine.process.send_signal(signal.SIGINT)
            wait_until(lambda: "5 payments are not settled yet" in here.said(), 20, "it says what it waits for")
            engine.process.send_signal(signal.SIGINT)
            assert engine.process.wait(20) == 0
            wait_until(lambda: all(map(has_ended, everybody)), 10, "all have ended")
        assert "stopped: 5 payments are not settled, and kept for the next start" in here.said()
        ports = [option for url, name in zip(free, ("default", "fallback"), strict=True)
                 for option in (f"--{name}-port", url.rpartition(":")[2])]  # fmt: skip
        simulated = processes.start(*ports)
        try:
            processes.wait_listening(simulated, 2)
            with engine_in(here) as engine, client(engine.port) as shop:
                wait_until(lambda: shop.summary().count == len(payments), 20, "all are settled")
                here.settings["ENGINE_DRAIN_SECONDS"] = "0"
        finally:
            processes.stop(simulated)
