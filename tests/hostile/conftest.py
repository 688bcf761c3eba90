"""One engine for all hostile clients: what one of them breaks, the next one finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.running import Engine, running


@pytest.fixture(scope="session")
def hostile_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that runs. Whatever the clients did, its processes have nothing to report at the end."""
    # A short path: a Unix socket's has at most 107 characters.
    with running(tmp_path_factory.mktemp("hostile")) as engine:
        yield engine
    assert engine.alarms() == []


@pytest.fixture
def nginx(hostile_engine: Engine) -> tuple[str, int]:
    """Where nginx listens."""
    return ("127.0.0.1", hostile_engine.port)


@pytest.fixture
def api(hostile_engine: Engine) -> str:
    """The Unix socket of an API process."""
    return hostile_engine.api_socket()
