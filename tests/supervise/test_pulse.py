"""A process is called stopped or stuck when it is, and not when disk, cores or the machine are slow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from engine.supervise.pulse import GAP_MS_MAX, SERVE_MS, STOPPED, STUCK_MS, Heartbeat, Pulse, Running, Sign, running
from tests.system.client import wait_until

LOOK_MS = 1000


class Watched:
    """A pulse and the time, which moves on by a look."""

    def __init__(self) -> None:
        self.now_ms = 5_000_000
        self.pulse = Pulse(self.now_ms)
        self.ran_ms = self.waited_ms = 0

    def look(self, sign: Sign, state: str = "S", ran_ms: int = 0, waited_ms: int = 0, after_ms: int = LOOK_MS) -> str:
        self.now_ms += after_ms
        self.ran_ms += ran_ms
        self.waited_ms += waited_ms
        return self.pulse.complaint(sign, Running(state, self.ran_ms, self.waited_ms), self.now_ms)

    def looks(self, ms: int, sign: Sign = Sign.SILENT, **seen: object) -> list[str]:
        return [self.look(sign, **seen) for _ in range(ms // LOOK_MS)]  # type: ignore[arg-type]


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def served(watched: Watched) -> Watched:
    assert watched.look(Sign.SERVES) == ""
    return watched


def test_one_that_shows_nothing_for_long_is_stuck(served: Watched) -> None:
    assert served.looks(STUCK_MS - LOOK_MS) == [""] * (STUCK_MS // LOOK_MS - 1)
    assert served.look(Sign.SILENT) == "has shown no sign of life for 10 s"


def test_one_that_computes_for_ever_is_stuck(served: Watched) -> None:
    assert any(served.looks(STUCK_MS, state="R", ran_ms=LOOK_MS))


def test_a_sign_makes_good_all_silence_before_it(served: Watched) -> None:
    for _ in range(5):
        assert not any(served.looks(STUCK_MS - LOOK_MS))
        assert served.look(Sign.SERVES) == ""


def test_a_slow_disk_is_no_silence(served: Watched) -> None:
    assert not any(served.looks(600_000, state="D"))


def test_waiting_for_a_core_is_no_silence(served: Watched) -> None:
    assert not any(served.looks(600_000, state="R", ran_ms=5, waited_ms=LOOK_MS - 5)[:100])


def test_looking_through_long_rings_at_the_start_is_no_silence(watched: Watched) -> None:
    assert not any(watched.looks(600_000, state="R", ran_ms=LOOK_MS))


def test_one_that_does_nothing_at_its_start_has_longer(watched: Watched) -> None:
    assert not any(watched.looks(SERVE_MS - LOOK_MS))
    assert watched.look(Sign.SILENT)


def test_a_sleep_of_the_machine_or_of_who_looks_is_no_silence(served: Watched) -> None:
    for _ in range(STUCK_MS // GAP_MS_MAX - 1):
        assert served.look(Sign.SILENT, after_ms=3_600_000) == ""
    assert served.look(Sign.SERVES) == ""


def test_one_that_is_stopped_in_two_looks_is_said_to_be(served: Watched) -> None:
    assert served.look(Sign.SERVES, "T") == ""
    assert served.look(Sign.SERVES, "S") == ""
    assert served.look(Sign.SILENT, "T") == ""
    assert served.look(Sign.SILENT, "T") == STOPPED


def test_one_that_is_gone_is_missed_at_once_when_it_has_served_and_later_when_it_starts() -> None:
    starting, served = Watched(), Watched()
    assert served.look(Sign.SERVES) == ""
    assert served.look(Sign.GONE) != ""
    assert not any(starting.looks(SERVE_MS - LOOK_MS, Sign.GONE))
    assert starting.look(Sign.GONE) != ""


def test_a_heartbeat_counts_when_it_moves_in_either_direction() -> None:
    words = [7]
    heartbeat = Heartbeat(lambda: words[0])
    assert heartbeat() is Sign.SILENT
    for words[0] in (8, 3):
        assert heartbeat() is Sign.SERVES
        assert heartbeat() is Sign.SILENT


BUSY = """
import time
while time.process_time() < 0.2: pass
time.sleep(60)
"""


def test_the_kernel_is_believed_about_a_real_process() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY]) as child:
        try:
            wait_until(lambda: running(child.pid).ran_ms >= 200, 20, "it has used a core")
            wait_until(lambda: running(child.pid).state == "S", 20, "it sleeps")
            os.kill(child.pid, signal.SIGSTOP)
            wait_until(lambda: running(child.pid).state == "T", 10, "it is stopped")
        finally:
            child.kill()
