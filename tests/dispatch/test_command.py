"""How the dispatcher process ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.dispatch import command
from engine.dispatch.transport import Transport
from engine.memory import layout
from engine.settings import Settings
from engine.storage import mapping
from tests.storage.places import on_disk


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with on_disk() as data:
        environment: Mapping[str, str] = {
            "ENGINE_NAME": "test-stop",
            "ENGINE_DURABILITY": "disk",
            "ENGINE_RUN_DIR": str(tmp_path),
            "ENGINE_DATA_DIR": str(data),
            "ENGINE_RING_SLOTS": "64",
            "ENGINE_BOOKS_RECENT_SECONDS": "30",
            "ENGINE_BOOKS_HORIZON_HOURS": "1",
            "ENGINE_ID_MEMORY": "0",
            "PAYMENT_PROCESSOR_URL_DEFAULT": "http://127.0.0.1:1",
            "PAYMENT_PROCESSOR_URL_FALLBACK": "http://127.0.0.1:2",
        }
        yield settings_module.read(environment)


def test_a_clean_stop_is_marked_though_the_network_never_lets_go(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    books, rings = mapping.open_books(settings), mapping.open_rings(settings)
    marks: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def kick(_: Transport) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def close(_: Transport) -> None:
        marks.append(books.words[layout.BOOKS_CLEAN_AT])
        marks.extend(ring.words[layout.RING_CLEAN_AT] for ring in rings)

    monkeypatch.setattr(Transport, "kick", kick)
    monkeypatch.setattr(Transport, "close", close)
    process = command.Process(settings, books, rings)
    try:
        assert process.run() == ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert set(marks) == {layout.CLEAN}
