"""Hostile clients in front of an API process itself: requests that nginx would stop do it no harm either."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.hostile import test_clients
from tests.hostile.customer import customers
from tests.hostile.running import REPOSITORY, Engine
from tests.hostile.wire import Address, NoAnswer, Wire, ask, chunked, payment_body, post

HALF_SENT = 100
ROUNDS = 10
GROWTH_BYTES_MAX = 2 << 20

PAYMENT = post(payment_body())


def settle(address: Address) -> None:
    """When this returns, the process has read what other connections had sent before: it reads all that is there."""
    for _ in range(2):
        assert ask(address, test_clients.get(b"/healthcheck")).status == 200


def test_a_body_in_two_pieces_is_a_payment(api: str) -> None:
    body = payment_body()
    for request in (post(body), chunked(body[:20], body[20:])):
        with Wire(api) as wire:
            wire.send(request[:-20])
            settle(api)
            wire.send(request[-20:])
            assert wire.reply().status == 202


def test_a_body_byte_by_byte_is_a_payment(api: str) -> None:
    body = payment_body()
    with Wire(api) as wire:
        wire.send(post(body)[: -len(body)])
        for byte in body:
            settle(api)
            wire.send(bytes([byte]))
        assert wire.reply().status == 202


def test_a_body_without_a_content_type_is_taken_for_json(api: str) -> None:
    assert ask(api, PAYMENT.replace(b"Content-Type: application/json\r\n", b"")).status == 202


@pytest.mark.parametrize(
    "refused",
    [
        chunked(*[b"x" * 1000] * 20),
        post(b"x" * 9000),
        post(b"x").replace(b"json", b"xml"),
        post(b"x", path=b"/nothing"),
    ],
    ids=["large in chunks", "large", "no JSON", "nothing there"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_connection_can_be_used_after_a_body_that_was_refused(api: str, refused: bytes, at_once: bool) -> None:
    with Wire(api) as wire:
        for piece in [refused] if at_once else [refused[at : at + 700] for at in range(0, len(refused), 700)]:
            wire.send(piece)
            settle(api)
        assert wire.reply().status in (404, 413, 415)
        for _ in range(3):
            wire.send(post(payment_body()))
            assert wire.reply().status == 202


def test_many_half_sent_bodies_wait_without_harm(api: str) -> None:
    with contextlib.ExitStack() as held:
        wires = [held.enter_context(Wire(api)) for _ in range(HALF_SENT)]
        for wire in wires:
            wire.send(post(b"x" * 50)[:-25])
        requests = [post(payment_body()) for _ in wires]
        others = [held.enter_context(Wire(api)) for _ in wires]
        for wire, request in zip(others, requests, strict=True):
            wire.send(request[:-30])
        settle(api)
        for wire in wires:
            wire.reset()  # a third party is still there while these go
        for wire, request in zip(others, requests, strict=True):
            wire.send(request[-30:])
        assert {wire.reply().status for wire in others} == {202}


def test_a_request_may_break_off_at_any_byte(api: str) -> None:
    for request in (PAYMENT, chunked(payment_body())):
        for length in range(len(request)):
            with Wire(api) as wire:
                wire.send(request[:length])
    settle(api)


@pytest.mark.parametrize("name", test_clients.STRANGE)
def test_a_strange_request_does_not_disturb_the_next_one(api: str, name: str) -> None:
    with Wire(api) as wire:
        wire.send(test_clients.STRANGE[name][0])
        settle(api)
    assert ask(api, post(payment_body())).status == 202


@pytest.fixture
def collecting(tmp_path: Path) -> Iterator[str]:
    """The socket of a process that serves as an API process does, and collects garbage whenever it is asked to."""
    path = str(tmp_path / "http.sock")
    command = [sys.executable, "-m", "tests.hostile.collecting", path]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"listening\n"
        try:
            yield path
        finally:
            process.terminate()
            assert process.wait() == 0
            assert process.stderr.read() == b""


def test_a_body_outlives_the_collector_while_it_is_on_its_way(collecting: str) -> None:
    with contextlib.ExitStack() as held:
        wires = [held.enter_context(Wire(collecting)) for _ in range(20)]
        bodies = [payment_body() for _ in wires]
        for wire, body in zip(wires, bodies, strict=True):
            wire.send(post(body)[: -len(body)])
        for start in range(0, 100, 10):
            assert ask(collecting, test_clients.get(b"/collect")).status == 200
            for wire, body in zip(wires, bodies, strict=True):
                wire.send(body[start : start + 10])
        assert [wire.reply().body for wire in wires] == bodies


def test_the_memory_of_an_api_process_is_flat_under_attack(hostile_engine: Engine) -> None:
    before: list[int] = []
    with customers(hostile_engine):
        for number in range(1 + ROUNDS):
            if number == 1:  # the first round fills what is made once and kept
                before = memory(hostile_engine)
            attack(("127.0.0.1", hostile_engine.port))
            for index in range(len(hostile_engine.api_pids)):
                attack(hostile_engine.api_socket(index))
    for start, end in zip(before, memory(hostile_engine), strict=True):
        assert end - start < GROWTH_BYTES_MAX


def attack(address: Address) -> None:
    """A few hundred connections that break off, send too much, send nonsense, or wait for nothing."""
    for length in range(0, len(PAYMENT), 2):
        with Wire(address) as wire:
            wire.send(PAYMENT[:length])
    for name in ("large body in chunks", "other content type", "body of a GET", "zeros", "length and chunks"):
        for _ in range(20):
            with contextlib.suppress(NoAnswer, KeyError), Wire(address) as wire:  # uWebSockets' own 400 has no length
                wire.send(test_clients.STRANGE[name][0])
                wire.reply()
    with contextlib.ExitStack() as held:
        for _ in range(HALF_SENT):
            held.enter_context(Wire(address)).send(PAYMENT[:-10])
        assert ask(address, post(payment_body())).status == 202


def memory(engine: Engine) -> list[int]:
    """Bytes that each API process has for itself; the rings are shared and fill with payments."""
    infos = [psutil.Process(pid).memory_info() for pid in engine.api_pids]
    return [info.rss - info.shared for info in infos]
