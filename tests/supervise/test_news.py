"""The log of an engine whose processors are not there, come, and fail: a line for each change, and none without one."""

from __future__ import annotations

from functools import partial

import pycurl
import pytest

from engine.dispatch.command import trouble
from engine.lab.launch import free_ports
from tests.lab.simulate import processes
from tests.system.client import client, new_payments, wait_until
from tests.system.running import Place, engine_in, place


def says(here: Place, sentence: str) -> bool:
    return sentence in here.said()


def test_what_becomes_of_the_processors_is_said_and_shown_in_health() -> None:
    default, fallback = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    ports = ["--default-port", default.rpartition(":")[2], "--fallback-port", fallback.rpartition(":")[2]]
    with place(default, fallback) as here, engine_in(here, "--discard") as engine, client(engine.port) as shop:

        def health() -> tuple[str, str]:
            shown = shop.request("GET", "/health").json()
            return shown["processors"]["default"]["state"], shown["payments"]

        assert here.said().count("does not answer\n") == 2, "at the start, beside the addresses"
        for name, url in (("default", default), ("fallback", fallback)):
            sentence = f"{name} does not answer: cannot connect to {url}"
            wait_until(partial(says, here, sentence), 10, sentence)
        waiting = "payments wait until a processor is back; none is lost"
        wait_until(lambda: health() == ("silent", waiting), 10, "it is shown")
        assert shop.pay(new_payments(1)[0]).status == 202

        simulated = processes.start(*ports)
        try:
            processes.wait_listening(simulated, 2)
            wait_until(lambda: here.said().count("is healthy again") == 2, 30, "both are back")
            # Where payments go changes after that, must last before it is said, and is not said every second.
            wait_until(partial(says, here, "now payments go to default"), 30, "what happens to payments now")
            wait_until(lambda: health() == ("healthy", "payments go to default"), 10, "it is shown")
            wait_until(lambda: shop.summary().count == 1, 10, "what had waited is settled")
        finally:
            processes.stop(simulated)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (pycurl.E_COULDNT_CONNECT, "cannot connect to http://b:80/base"),
        (pycurl.E_COULDNT_RESOLVE_HOST, "the name in http://b:80/base is not found"),
        (pycurl.E_OPERATION_TIMEDOUT, "nothing comes from http://b:80/base in time"),
        (pycurl.E_RECV_ERROR, "connections to http://b:80/base break off"),
        (0, "nothing comes from http://b:80/base"),
    ],
)
def test_why_a_request_had_no_answer_is_said_without_secrets(code: int, said: str) -> None:
    assert trouble(["http://a", "http://user:secret@b/base"], 1, code) == said
