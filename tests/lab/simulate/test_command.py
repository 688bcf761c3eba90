"""``python -m engine simulate`` as a process: how it starts, and every way it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from engine.lab.services.processor import Processor
from tests.lab.simulate.processes import REPOSITORY, processors, start, stop, wait_listening

END_SECONDS_MAX = 3.0


def refused(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine", "simulate", *options]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_quickly_and_in_order(number: signal.Signals) -> None:
    with processors() as pair:
        children = psutil.Process(pair.process.pid).children()
        assert len(children) == 2
        pair.default.set_delay(60_000)  # a payment that is still being handled does not hold it up
        with socket.create_connection(("127.0.0.1", int(pair.default.base_url.rsplit(":", 1)[1]))) as caller:
            caller.sendall(b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
            started = time.monotonic()
            pair.process.send_signal(number)
            assert pair.process.wait(END_SECONDS_MAX) == 0
            assert time.monotonic() - started < 1
        assert psutil.wait_procs(children, END_SECONDS_MAX)[1] == []


def test_the_children_die_with_a_parent_that_is_killed() -> None:
    with processors() as pair:
        children = psutil.Process(pair.process.pid).children()
        pair.process.kill()
        assert psutil.wait_procs(children, END_SECONDS_MAX)[1] == []


def test_a_child_that_dies_ends_the_command_with_an_error() -> None:
    with processors() as pair:
        children = psutil.Process(pair.process.pid).children()
        children[0].kill()
        assert pair.process.wait(END_SECONDS_MAX) == 1
        assert psutil.wait_procs(children, END_SECONDS_MAX)[1] == []


@pytest.mark.parametrize("only", [[], ["--only", "fallback"]])
def test_a_port_that_is_taken_is_a_clear_error(only: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = refused("--default-port", "0", "--fallback-port", str(port), *only)
    assert result.returncode == 1
    assert f"fallback processor cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def test_two_processors_never_share_a_port() -> None:
    with processors() as pair:
        port = pair.default.base_url.rsplit(":", 1)[1]
        assert refused("--only", "default", "--port", port).returncode == 1


def test_one_alone_has_its_own_port_fee_and_token() -> None:
    process = start("--only", "fallback", "--port", "0", "--fallback-fee", "0.1", "--token", "secret")
    try:
        url = wait_listening(process, 1)["fallback"]
        assert psutil.Process(process.pid).children() == []
        assert Processor("fallback", url, token="secret").summary().fee * 100 == 10
    finally:
        stop(process)
    assert process.returncode == 0


def test_any_number_of_them_have_names_and_fees_of_their_own() -> None:
    process = start("--processor", "north=0:0.01", "--processor", "south=0", "--processor", "east=0:0.5")
    try:
        urls = wait_listening(process, 3)
        assert len(psutil.Process(process.pid).children()) == 3
        fees = {name: Processor(name, url).summary().fee * 100 for name, url in urls.items()}
        assert fees == {"north": 1, "south": 5, "east": 50}
    finally:
        stop(process)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "1"],
        ["--default-fee", "1.5"],
        ["--default-port", "70000"],
        ["--only", "both"],
        ["--processor", "north"],
        ["--processor", "no rth=0"],
        ["--processor", "north=70000"],
        ["--processor", "north=0:2"],
        ["--processor", "north=0,south=0"],
        ["--processor", "north=0", "--processor", "North=0"],
        ["--processor", "default=0", "--only", "default"],
        [word for number in range(9) for word in ("--processor", f"p{number}=0")],
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str]) -> None:
    assert refused(*options).returncode == 2


def test_an_idle_processor_sleeps() -> None:
    with processors() as pair:
        pair.default.set_delay(5)
        assert pair.default.request("POST", "/payments", b"{}")[0] == 400
        family = [psutil.Process(pair.process.pid), *psutil.Process(pair.process.pid).children()]
        before = sum(process.num_ctx_switches().voluntary for process in family)
        time.sleep(1)
        assert sum(process.num_ctx_switches().voluntary for process in family) - before < 60
