"""Names of processors: found late, moved, or asked of a name server that says nothing."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import pytest

from engine.connectors import answers, rinha
from engine.connectors.answers import Outcome
from engine.dispatch import names
from engine.dispatch.attempt import Attempt
from engine.dispatch.transport import Transport

CHARGED = b'{"message":"payment processed successfully"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(CHARGED), CHARGED)


class NameServer:
    """In the place of the machine's: ``known`` has the addresses of names, ``silent`` what is never answered."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.silent: set[tuple[str, int]] = set()
        self.end = threading.Event()

    def getaddrinfo(self, host: str, port: int, family: int, _kind: int) -> list[tuple[int, int, int, str, object]]:
        if (host, family) in self.silent:
            self.end.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        if host not in self.known or family != socket.AF_INET:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(family, 1, 6, "", (self.known[host], port))]

    def fall_silent(self, host: str, *families: int) -> None:
        self.silent.update((host, family) for family in families)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.end.set()


@contextlib.contextmanager
def processor(address: str, port: int = 0) -> Iterator[int]:
    """Answers everything at ``address``; its port."""
    with socket.create_server((address, port)) as listener:

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while connection.recv(65536):
                    connection.sendall(OK)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


class Pay(Protocol):
    """Sends one payment to a processor, with 40 to the one ``beside``; how it ended, and after how many seconds."""

    def __call__(self, to: int, beside: int | None = None) -> tuple[Outcome, float]: ...


@contextlib.contextmanager
def paying(*hosts: str, port: int) -> Iterator[Pay]:
    """A transport to processors at these hosts."""
    with contextlib.closing(select.epoll()) as epoll:
        transport = Transport(
            [f"http://{host}:{port}" for host in hosts],
            [rinha.connector("123")] * len(hosts),
            connect_timeout_ms=500,
            request_timeout_ms=2000,
            in_flight_max=64,
            epoll=epoll,
        )

        def pay(to: int, beside: int | None = None) -> tuple[Outcome, float]:
            began = time.monotonic()
            for number in range(40 if beside is not None else 0):
                transport.send(Attempt(number + 1, 0, number + 1, beside or 0, 1, number, 1990, 1, 1, False, 0))
            transport.send(Attempt(0, 0, 0, to, 0x1234 << 48, 7, 1990, 1_751_718_896_789, 1, False, 0))
            transport.kick()
            while time.monotonic() < began + 5:
                for attempt, outcome in transport.results()[0]:
                    if attempt.ticket == 0:
                        return outcome, time.monotonic() - began
                transport.act(epoll.poll(0.01))
            raise AssertionError("no end")

        yield pay
        began = time.monotonic()
        transport.close()
        assert time.monotonic() - began < 0.5


def until_charged(pay: Pay, to: int, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while pay(to)[0] != answers.CHARGED:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("families", [names.FAMILIES, names.FAMILIES[1:]], ids=["both", "IPv6"])
def test_a_silent_name_server_delays_no_other_name_and_no_close(server: NameServer, families: tuple[int, ...]) -> None:
    server.known = {"quick.test": "127.0.0.1", "silent.test": "127.0.0.1"}
    server.fall_silent("silent.test", *families)
    server.fall_silent("quick.test", socket.AF_INET6)
    with processor("127.0.0.1") as port, paying("silent.test", "quick.test", port=port) as pay:
        outcome, took_s = pay(1, 0)
        assert outcome == answers.CHARGED
        assert took_s < 0.4
        if families == names.FAMILIES:
            outcome, took_s = pay(0)
            assert outcome == answers.FAILED  # certainly not sent
            assert took_s < 0.4


def test_a_name_that_appears_after_the_start_is_found_when_it_is_there(server: NameServer) -> None:
    with processor("127.0.0.1") as port, paying("late.test", port=port) as pay:
        assert pay(0)[0] == answers.FAILED
        server.known["late.test"] = "127.0.0.1"
        until_charged(pay, 0, within_s=1)


def test_a_name_with_another_address_is_followed_after_a_failed_request(server: NameServer) -> None:
    server.known["moved.test"] = "127.0.0.1"
    with contextlib.ExitStack() as first:
        port = first.enter_context(processor("127.0.0.1"))
        with processor("127.0.0.2", port), paying("moved.test", port=port) as pay:
            assert pay(0)[0] == answers.CHARGED
            server.known["moved.test"] = "127.0.0.2"
            first.close()
            until_charged(pay, 0, within_s=1)


def test_an_address_is_kept_while_a_name_server_says_nothing(server: NameServer) -> None:
    server.known["kept.test"] = "127.0.0.1"
    with processor("127.0.0.1") as port, paying("kept.test", port=port) as pay:
        assert pay(0)[0] == answers.CHARGED
        server.fall_silent("kept.test", *names.FAMILIES)
        time.sleep(0.2)
        assert pay(0)[0] == answers.CHARGED


def test_addresses_and_localhost_are_asked_of_nobody(server: NameServer) -> None:
    before = threading.active_count()
    made = names.Names(["http://127.0.0.1:80", "http://[::1]:80", "https://localhost"])
    assert [made.entry(number) for number in range(3)] == ["", "", ""]
    assert threading.active_count() == before
