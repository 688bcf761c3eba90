"""The parts of `engine up`: what it checks before it starts anything, and which processes it starts."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import settings as settings_module
from engine.memory.words import PAGE_WORDS, zeros
from engine.settings import Settings
from engine.storage.segment import SharedMemoryStore
from engine.supervise import simulated, up
from engine.supervise.place import Place, UpError
from tests.system.running import free_port

Read = Callable[..., Settings]
BOOKS = zeros(PAGE_WORDS)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(**environment: str) -> Settings:
        return settings_module.read({"ENGINE_RUN_DIR": str(tmp_path)} | environment)

    return read


def test_a_directory_belongs_to_one_engine_at_a_time(read: Read) -> None:
    place = Place(read())
    with pytest.raises(UpError, match="an engine runs in"):
        Place(read())
    place.close()
    Place(read()).close()


@pytest.mark.parametrize("whole", [False, True], ids=["files", "directory"])
def test_what_is_removed_is_made_again_and_held_again(read: Read, tmp_path: Path, whole: bool) -> None:
    directory = tmp_path / "run"
    settings = read(ENGINE_RUN_DIR=str(directory))
    place = Place(settings)
    place.write_conf(ipv6=False)
    conf = (directory / "nginx.conf").read_text()
    for _ in range(2):
        for path in directory.iterdir():
            path.unlink()
        if whole:
            directory.rmdir()
        place.keep()
        assert (directory / "nginx.conf").read_text() == conf
        with pytest.raises(UpError, match="an engine runs in"):
            Place(settings)
    place.close()


def test_who_finds_another_engine_in_its_place_says_so(read: Read, tmp_path: Path) -> None:
    place = Place(read())
    place.write_conf(ipv6=False)
    (tmp_path / "up.lock").unlink()
    other = Place(read())
    assert "an engine runs in" in up._look(place, [])
    other.close()
    assert up._look(place, []) == ""
    place.close()


def test_a_directory_that_cannot_be_made_is_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "f").touch()  # ENGINE_RUN_DIR has 80 characters at most
    settings = read(ENGINE_RUN_DIR=f"{tmp_path}/f/r")
    with pytest.raises(UpError, match="f/r: Not a directory"):
        Place(settings)


def test_a_port_that_is_taken_is_named_and_a_free_one_is_left_free() -> None:
    port = free_port()
    up._check_port(port)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(UpError, match=f"port {port} "):
        up._check_port(port)


def test_a_port_that_is_taken_on_ipv6_alone_is_named() -> None:
    port = free_port()
    assert up._check_port(port), "this machine has IPv6"
    with socket.create_server(("::1", port), family=socket.AF_INET6), pytest.raises(UpError, match=f"port {port} "):
        up._check_port(port)


@pytest.mark.parametrize("refused", ["socket", "bind"])
def test_a_machine_without_ipv6_serves_ipv4(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    class Socket(socket.socket):
        def __init__(self, family: int = socket.AF_INET) -> None:
            if family == socket.AF_INET6 and refused == "socket":
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family)

        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            super().bind(address)

    port = free_port()
    monkeypatch.setattr(socket, "socket", Socket)
    assert not up._check_port(port)


def test_there_is_a_process_for_each_part_and_all_have_the_same_settings(read: Read, tmp_path: Path) -> None:
    settings = read(ENGINE_API_PROCESSES="3", ENGINE_PORT="18081", ENGINE_NAME="x")
    place = Place(settings)
    place.write_conf(ipv6=False)
    children = up._children(settings, place, BOOKS, [])
    assert [child.name for child in children] == ["dispatcher", "api 0", "api 1", "api 2", "nginx"]
    for child in children:
        given = {name: text for name, text in child._environment.items() if name.startswith(("ENGINE_", "PAYMENT_"))}
        assert settings_module.read(given) == settings
    conf = (tmp_path / "nginx.conf").read_text()
    assert "listen 18081" in conf
    assert f"unix:{tmp_path}/api-2.sock" in conf
    assert up._children(settings, place, BOOKS, simulated.spots(settings))[0].name == "processors"
    place.close()


def test_a_machine_without_nginx_is_told_how_to_get_it(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with pytest.raises(UpError, match="`make setup` installs it"):
        up._children(read(), Place(read()), BOOKS, [])


def test_what_listens_is_told_from_what_does_not(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    assert not up._connects(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert not up._connects(path), "bound, and nobody listens"
        listener.listen(1)
        assert up._connects(path)
    assert not up._connects(path), "its owner is gone"
    assert os.path.exists(path)


@pytest.mark.parametrize("command", ["up", "dispatch"])
def test_more_processors_than_routing_decides_between_are_refused(tmp_path: Path, command: str) -> None:
    processors = ",".join(f"{name}=http://127.0.0.1:{port}" for port, name in enumerate(("a", "b", "c"), 1))
    done = subprocess.run(
        [sys.executable, "-m", "engine", command],
        env=os.environ | {"ENGINE_RUN_DIR": str(tmp_path), "ENGINE_NAME": "test-abc", "ENGINE_PROCESSORS": processors},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert "ENGINE_PROCESSORS names 3 processors, and routing decides between 2 so far" in done.stderr
    assert "Traceback" not in done.stderr
    assert "test-abc-books" not in SharedMemoryStore().names()
