"""What a second engine on a machine must set: one line that can be copied, and with which it starts."""

from __future__ import annotations

import contextlib
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.settings import Settings
from engine.storage import mapping
from engine.supervise import second, simulated
from tests.system.running import free_port

Read = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(**environment: str) -> Settings:
        here = {"ENGINE_NAME": f"test-{tmp_path.name}", "ENGINE_RUN_DIR": f"{tmp_path}/run", "ENGINE_PORT": "18081"}
        return settings_module.read(here | environment)

    return read


def copied(settings: Settings, *, simulate: bool) -> tuple[Settings, list[str]]:
    """The settings of whoever copies the line into a shell, and the words of its command."""
    words = "up --simulate" if simulate else "up"
    (line,) = [one for one in second.hint(settings, words, simulate=simulate).splitlines() if "ENGINE_NAME" in one]
    parts = shlex.split(line)
    variables = dict(one.split("=", 1) for one in parts if "=" in one)
    return settings_module.read(variables), [one for one in parts if "=" not in one]


@pytest.mark.parametrize("simulate", [False, True])
def test_a_second_engine_shares_nothing_with_the_first(read: Read, simulate: bool) -> None:
    first = read()
    other, words = copied(first, simulate=simulate)
    assert words[-2:] == (["up", "--simulate"] if simulate else ["./engine.sh", "up"])
    assert other.host.name != first.host.name
    assert other.host.run_dir != first.host.run_dir
    assert other.host.port != first.host.port
    urls = {first.processors.url_default, first.processors.url_fallback}
    assert urls.isdisjoint(other.processors.urls) is simulate
    if simulate:
        simulated.check_free(simulated.spots(other))


def test_the_processors_of_a_list_are_listed_again_under_their_names(read: Read) -> None:
    listed = "north=http://127.0.0.1:18101,south=http://127.0.0.1:18102"
    other, _ = copied(read(ENGINE_PROCESSORS=listed), simulate=True)
    assert other.processors.names == ("north", "south")
    assert "18101" not in other.processors.listed


def test_what_a_second_engine_has_already_is_left_to_it(read: Read, tmp_path: Path) -> None:
    first, port = read(ENGINE_PORT=str(free_port() - 1)), 0
    with contextlib.ExitStack() as held:
        other, _ = copied(first, simulate=False)
        held.enter_context(mapping.supervising(other))
        held.callback(mapping.remove_all, other)
        Path(other.host.run_dir).mkdir()
        port = other.host.port
        held.enter_context(socket.create_server(("127.0.0.1", port)))
        third, _ = copied(first, simulate=False)
    assert third.host.name == f"{first.host.name}-3"
    assert third.host.run_dir == f"{tmp_path}/run-3"
    assert third.host.port > port


def test_a_data_directory_of_somebody_else_is_replaced(read: Read, tmp_path: Path) -> None:
    there = {"ENGINE_DURABILITY": "disk", "ENGINE_DATA_DIR": f"{tmp_path}/gone"}
    chosen = second.variables(read(**there), simulate=False)
    assert chosen["ENGINE_DATA_DIR"] == f"{tmp_path}/gone-2"
    (tmp_path / "gone").mkdir()
    assert "ENGINE_DATA_DIR" not in second.variables(read(**there), simulate=False)
