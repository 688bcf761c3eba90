"""What a process answers says whether it is there, and whether it is ready."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.supervise import alive
from engine.supervise.pulse import Sign
from tests.system.running import free_port


@contextlib.contextmanager
def process(path: str, status: str) -> Iterator[list[bytes]]:
    """Answers every request on this socket with ``status``; yields the requests."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        seen: list[bytes] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        seen.append(client.recv(1024))
                        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
def test_who_answers_serves_whatever_it_says(path: str, status: str) -> None:
    with process(path, status) as seen:
        assert alive.answers(path) is Sign.SERVES
        assert alive.is_ready(path) == (status == "200 OK")
    assert [request.split()[1] for request in seen] == [b"/healthcheck", b"/readyz"]


def test_a_socket_that_takes_connections_is_no_answer(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(path)
        assert alive.answers(path) is Sign.GONE, "bound, and nobody listens"
        listener.listen(1)
        assert alive.answers(path) is Sign.SILENT
        assert not alive.is_ready(path)
        for _ in range(8):
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(path)
        assert alive.answers(path) is Sign.SILENT, "too busy to take one"
    assert alive.answers(path) is Sign.GONE, "its owner has ended"


def test_where_there_is_no_socket_is_nobody(path: str) -> None:
    Path(path).touch()
    assert [alive.answers(where) for where in (path, f"{path}-gone", f"{path}/gone")] == [Sign.GONE] * 3


def test_who_listens_on_a_port_serves() -> None:
    port = free_port()
    assert alive.listens(("127.0.0.1", port)) is Sign.GONE
    assert not alive.is_alive("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        assert alive.listens(("127.0.0.1", port)) is Sign.SERVES


def test_a_start_waits_until_all_are_ready(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in "ab"]
    readiness = alive.Readiness(paths)
    with process(paths[0], "200 OK"):
        assert not readiness()
        with process(paths[1], "200 OK"):
            assert readiness()


def test_a_start_does_not_fail_for_one_that_never_is_ready(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alive, "READY_SECONDS", 0.0)
    with process(path, "503 Service Unavailable"):
        assert alive.Readiness([path])()
    assert path in caplog.text
