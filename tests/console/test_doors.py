"""Connections that say little keep nobody out, and what a connection itself refuses has every header."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from engine.console import doors
from engine.console.api import PREFIX
from engine.console.guard import HEADERS
from engine.console.keys import Role
from tests.console.conftest import World
from tests.system.client import wait_until

LIMIT_S = 60.0
PLACES = 8
HEAD = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[uvicorn.Server]:
    """A console that really serves, with PLACES connections."""
    monkeypatch.setattr(doors, "CONNECTIONS_MAX", PLACES)
    monkeypatch.setattr(doors, "OF_ADDRESS_MAX", PLACES - 2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        made = uvicorn.Server(doors.config(world.console.app, "127.0.0.1", listening.getsockname()[1]))
        thread = threading.Thread(target=made.run, args=([listening],))
        thread.start()
        yield made
        made.should_exit = True
        thread.join()


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    return server.config.port


@contextlib.contextmanager
def connections(port: int, count: int, said: bytes = b"", source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as held:
        made = list[socket.socket]()
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), LIMIT_S, source_address=(source, 0))
            made.append(held.enter_context(one))
            one.sendall(said)
        yield made


def status(port: int, path: str = "/healthz", key: str = "") -> int:
    """What somebody gets who comes now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


def answer(connection: socket.socket) -> http.client.HTTPResponse:
    found = http.client.HTTPResponse(connection)
    found.begin()
    found.read()
    return found


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", HEAD + b"\r\n{", b"GET /healthz HTTP/1.1\r\n"])
def test_who_says_little_or_nothing_makes_room_for_others(port: int, said: bytes) -> None:
    with connections(port, 3 * PLACES, said), connections(port, 3 * PLACES, said, "127.0.0.2"):
        wait_until(lambda: status(port) == 200, LIMIT_S, "somebody else is served")


def test_one_address_has_not_all_places(port: int, world: World) -> None:
    live = f"GET {PREFIX}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {world.keys[Role.VIEWER]}\r\n\r\n"
    with connections(port, PLACES - 2, live.encode()) as pages:
        assert [answer_begins(one) for one in pages] == [200] * (PLACES - 2)
        with connections(port, 1, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as (late,):
            refused = answer(late)
        assert refused.status == 503 and refused.headers["Retry-After"] == "1"
        assert {name: refused.headers[name] for name in HEADERS} == HEADERS
        with connections(port, 1, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "127.0.0.2") as (other,):
            assert answer(other).status == 200
        assert all(b"event: overview" in read_until(one, b"event: overview") for one in pages), "they go on"


def answer_begins(connection: socket.socket) -> int:
    return int(read_until(connection, b"\r\n\r\n").split()[1])


def read_until(connection: socket.socket, text: bytes) -> bytes:
    found = b""
    while text not in found:
        part = connection.recv(65536)
        assert part, found
        found += part
    return found


def test_who_never_says_anything_is_let_go_without_a_word(server: uvicorn.Server) -> None:
    server.config.timeout_keep_alive = 1
    with connections(server.config.port, 1) as (one,):
        assert one.recv(1) == b""  # a browser would take a 408 for the answer to what it asks next


@pytest.mark.parametrize("said", [HEAD, HEAD + b"\r\n{"])
def test_a_request_that_does_not_arrive_is_ended(
    server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    monkeypatch.setattr(doors, "REQUEST_S", 1.0)
    with connections(server.config.port, 1, said) as (one,):
        is_late(one)
    wait_until(lambda: not server.server_state.tasks, LIMIT_S, "what waited for the rest is over")
    assert "Traceback" not in caplog.text


def test_neither_does_a_second_one_of_a_connection_stand_still(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with connections(port, 1, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as (one,):
        assert answer(one).status == 200
        monkeypatch.setattr(doors, "REQUEST_S", 0.1)
        one.sendall(HEAD)
        is_late(one)


def is_late(connection: socket.socket) -> None:
    late = answer(connection)
    assert late.status == 408 and late.headers["Content-Type"] == "application/problem+json"
    assert {name: late.headers[name] for name in HEADERS} == HEADERS
    assert connection.recv(1) == b""


def test_an_answer_that_nobody_takes_is_cut_off(server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "SEND_S", 0.1)
    with socket.socket() as one:
        one.settimeout(LIMIT_S)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", server.config.port))
        # 9 MB: more than the kernel keeps.
        one.sendall(b"GET /static/vendor/uPlot.esm.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60)
        assert one.recv(1) == b"H"  # it takes no more
        wait_until(lambda: not server.server_state.connections, LIMIT_S, "it is cut off")


def test_nonsense_after_a_request_is_refused_too(port: int) -> None:
    with connections(port, 1, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as (one,):
        assert answer(one).status == 200
        one.sendall(b"nonsense\r\n\r\n")
        assert answer(one).status == 400


@pytest.mark.parametrize("said", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", HEAD + b"a: " + b"b" * 80_000])
def test_what_is_no_http_is_refused_with_every_header(port: int, said: bytes) -> None:
    with connections(port, 1, said) as (one,):
        found = answer(one)
    assert found.status == 400 and found.headers["Content-Type"] == "application/problem+json"
    assert {name: found.headers[name] for name in HEADERS} == HEADERS
