"""A child is started again when it dies, ever more slowly, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.supervise.child import (
    BACKOFF_FIRST_MS,
    BACKOFF_LAST_MS,
    GOES_ON_MS,
    STEADY_MS,
    STOP_MS,
    STOPPED_STOP_MS,
    Child,
    backoff_ms,
)
from engine.supervise.pulse import SERVE_MS, Heartbeat, Sign
from tests.lab.simulate.processes import REPOSITORY
from tests.system.client import wait_until
from tests.system.running import has_ended

ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
FOR_EVER = "import signal; signal.pause()"
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); signal.pause()"
# Like nginx: a master, killed hard, whose worker holds on.
WITH_WORKER = """
import os, signal, sys
worker = os.fork()
if worker:
    with open(sys.argv[1] + '-', 'w') as file:
        file.write(str(worker))
    os.rename(sys.argv[1] + '-', sys.argv[1])
signal.pause()
"""


class Kept:
    """A child and the time it lives in, which only the test moves on."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.sign = Sign.SERVES
        command = [sys.executable, "-c", program, *arguments]
        self.child = Child("child", command, ENVIRONMENT, serves=lambda: self.sign)
        self.now_ms = 1_000_000

    def tend(self, later_ms: int = 0) -> int | None:
        """Tends it ``later_ms`` from now; its process id."""
        self.now_ms += later_ms
        self.child.tend(self.now_ms)
        return self.child.pid

    def look(self, later_ms: int = 0) -> None:
        """Looks ``later_ms`` from now whether it serves."""
        self.now_ms += later_ms
        self.child.look(self.now_ms)

    def wait_for_another(self, pid: int | None) -> None:
        """Tends it until another one runs than ``pid``."""
        wait_until(lambda: self.tend(1) not in (None, pid), 30, "another one runs")

    def die(self) -> int:
        """Kills it and has that noted; how long it is until it starts again."""
        pid = self.child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        begun_ms = self.now_ms
        while self.tend() is None:
            self.now_ms += 1
        return self.now_ms - begun_ms


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept = Kept(FOR_EVER)
    yield kept
    kept.child.ask_to_stop()
    kept.child.wait(10)


@pytest.mark.parametrize(("deaths", "wait_ms"), [(1, 50), (2, 100), (3, 200), (7, 3200), (8, 5000), (10**9, 5000)])
def test_the_wait_doubles_up_to_its_limit(deaths: int, wait_ms: int) -> None:
    assert backoff_ms(deaths) == wait_ms


def test_it_is_started_once_and_then_left_alone(kept: Kept) -> None:
    assert kept.child.pid is None
    pid = kept.tend()
    assert pid is not None
    assert psutil.Process(pid).is_running()
    assert kept.tend(100) == pid
    assert not kept.child.has_failed(kept.now_ms)


def test_one_that_dies_at_once_is_started_ever_more_slowly(kept: Kept) -> None:
    first = kept.tend()
    assert [kept.die() for _ in range(4)] == [BACKOFF_FIRST_MS << number for number in range(4)]
    assert kept.child.pid != first
    assert kept.child.has_failed(kept.now_ms)


def test_one_that_ran_for_long_is_started_again_at_once(kept: Kept) -> None:
    kept.tend()
    for _ in range(3):
        kept.die()
    kept.tend(STEADY_MS)
    assert kept.die() == BACKOFF_FIRST_MS < BACKOFF_LAST_MS


def test_a_program_that_ends_by_itself_is_a_failure_too() -> None:
    kept = Kept("raise SystemExit(3)")
    pid = kept.tend()
    assert pid is not None
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert kept.child.has_failed(kept.now_ms)
    assert kept.child.pid is None


def test_it_stops_when_it_is_asked_and_tells_how_it_ended() -> None:
    kept = Kept(FOR_EVER)
    assert kept.child.wait(0) is None, "it was not started"
    kept.tend()
    kept.child.ask_to_stop()
    assert kept.child.wait(10) == -signal.SIGTERM
    assert kept.child.pid is None
    kept.child.ask_to_stop()  # the child does not run any more


def test_one_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    kept = Kept(STUBBORN, str(ready))
    kept.tend()
    wait_until(ready.exists, 10, "it ignores SIGTERM")
    kept.child.ask_to_stop()
    begun = time.monotonic()
    assert kept.child.wait(0.2) == -signal.SIGKILL
    assert time.monotonic() - begun < 10


def test_what_it_had_started_does_not_outlive_it(tmp_path: Path) -> None:
    told = tmp_path / "worker"
    kept = Kept(WITH_WORKER, str(told))
    kept.tend()
    wait_until(told.exists, 10, "it has a worker")
    worker = psutil.Process(int(told.read_text()))
    told.unlink()
    kept.die()
    wait_until(lambda: has_ended(worker), 10, "the worker has ended")
    wait_until(told.exists, 10, "the next one has a worker")
    worker = psutil.Process(int(told.read_text()))
    assert kept.child.wait(0) == -signal.SIGKILL
    wait_until(lambda: has_ended(worker), 10, "the worker has ended")


def test_one_that_runs_and_no_longer_serves_is_started_anew(kept: Kept) -> None:
    pid = kept.tend()
    kept.look()
    assert kept.tend(60_000) == pid
    kept.sign = Sign.GONE
    kept.look(1000)
    kept.wait_for_another(pid)


def test_one_that_does_not_serve_yet_is_given_time(kept: Kept) -> None:
    pid = kept.tend()
    kept.sign = Sign.GONE
    kept.look(SERVE_MS - 1)
    time.sleep(0.1)
    assert kept.tend() == pid
    kept.look(1)
    kept.wait_for_another(pid)


def test_one_that_does_not_serve_and_does_not_end_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    kept = Kept(STUBBORN, str(ready))
    pid = kept.tend()
    wait_until(ready.exists, 10, "it ignores SIGTERM")
    kept.look()
    kept.sign = Sign.GONE
    for later_ms in (0, STOP_MS - 1):
        kept.look(later_ms)
        time.sleep(0.05)
        assert kept.tend() == pid, "it is asked once and has its time"
    kept.now_ms += 1
    kept.wait_for_another(pid)
    kept.child.wait(0)


def stop(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, 10, "it is stopped")


def test_one_that_is_stopped_is_let_go_on_and_ends_in_good_order_when_that_does_not_last(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    kept = Kept(
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1]).touch(), sys.exit()))\n"
        "pathlib.Path(sys.argv[2]).touch()\n"
        "while True: signal.pause()\n",
        str(ended),
        str(tmp_path / "ready"),
    )
    pid = kept.tend()
    wait_until((tmp_path / "ready").exists, 10, "it handles SIGTERM")
    kept.look()
    stop(pid)
    kept.look(1000)
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED, "a moment is left to whoever has stopped it"
    kept.look(1000)
    wait_until(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED, 10, "it goes on")
    assert kept.tend() == pid and not ended.exists()
    stop(pid)
    kept.look(1000)
    kept.look(1000)
    kept.wait_for_another(pid)
    assert ended.exists()
    kept.child.ask_to_stop()
    kept.child.wait(10)


def test_one_that_is_stopped_again_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    kept = Kept(STUBBORN, str(ready))
    pid = kept.tend()
    wait_until(ready.exists, 10, "it ignores SIGTERM")
    kept.look()
    for _ in range(2):
        stop(pid)
        kept.look(1000)
        kept.look(1000)
    stop(pid)
    assert kept.tend(STOPPED_STOP_MS - 1) == pid
    kept.now_ms += 1
    kept.wait_for_another(pid)
    kept.child.wait(0)


def test_one_that_is_stopped_again_much_later_is_let_go_on_again(kept: Kept) -> None:
    pid = kept.tend()
    for _ in range(3):
        stop(pid)
        kept.look(1000)
        kept.look(1000)
        wait_until(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED, 10, "it goes on")
        kept.look(GOES_ON_MS)
    assert kept.tend() == pid


def test_one_that_goes_on_by_itself_is_left_alone(kept: Kept) -> None:
    pid = kept.tend()
    assert pid is not None
    for _ in range(3):
        stop(pid)
        kept.look(1000)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED, 10, "it goes on")
        kept.look(1000)
    assert kept.tend() == pid


def test_a_stopped_worker_counts_as_the_child(tmp_path: Path) -> None:
    told = tmp_path / "worker"
    kept = Kept(WITH_WORKER, str(told))
    kept.tend()
    wait_until(told.exists, 10, "it has a worker")
    worker = int(told.read_text())
    stop(worker)
    kept.look(1000)
    kept.look(1000)
    wait_until(lambda: psutil.Process(worker).status() != psutil.STATUS_STOPPED, 10, "it goes on")
    kept.child.wait(0)


def test_the_last_heartbeat_of_its_predecessor_is_none_of_its_own() -> None:
    beats = 0
    heartbeat = Heartbeat(lambda: beats)
    child = Child("child", [sys.executable, "-c", FOR_EVER], ENVIRONMENT, serves=heartbeat)
    beats += 1
    child.tend(0)
    child.look(1000)
    assert vars(child._pulse)["_has_served"] is False
    beats += 1
    child.look(2000)
    assert vars(child._pulse)["_has_served"] is True
    child.ask_to_stop()
    child.wait(10)


def test_a_child_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "child"
    supervisor = Kept(
        "import os, signal, sys\n"
        "from engine.supervise.child import Child\n"
        f"child = Child('child', [sys.executable, '-c', {FOR_EVER!r}], os.environ)\n"
        "child.tend(0)\n"
        "open(sys.argv[1] + '-', 'w').write(str(child.pid))\n"
        "os.rename(sys.argv[1] + '-', sys.argv[1])\n"
        "signal.pause()\n",
        str(told),
    )
    supervisor.tend()
    wait_until(told.exists, 20, "it has a child")
    child = psutil.Process(int(told.read_text()))
    assert supervisor.child.wait(0) == -signal.SIGKILL
    wait_until(lambda: has_ended(child), 10, "the child has ended")
