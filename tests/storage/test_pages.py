"""The pages of the metrics: made by whoever comes first, gone with the memory, and never in anybody's way."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.memory import metrics_layout as layout
from engine.settings import Settings
from engine.storage import mapping, names, pages
from engine.storage.segment import SHARED_MEMORY_DIRECTORY, SharedMemoryStore
from engine.storage.viewing import seen
from tests.storage.places import on_disk


@pytest.fixture
def settings() -> Iterator[Settings]:
    made = settings_module.read({"ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}"})
    yield made
    mapping.remove_all(made)
    (Path(SHARED_MEMORY_DIRECTORY) / names.lock_name(made.host.name)).unlink(missing_ok=True)


def path(settings: Settings) -> Path:
    return Path(SHARED_MEMORY_DIRECTORY) / names.metrics_name(settings.host.name)


def test_who_opens_them_again_goes_on_with_the_counts(settings: Settings) -> None:
    first = pages.open_to_write(settings)
    assert first is not None
    first.words[layout.API_AT + layout.API_DUPLICATES] = 7
    first.close()
    again = pages.open_to_write(settings)
    assert again is not None and again.words[layout.API_AT + layout.API_DUPLICATES] == 7
    again.close()


def test_a_reader_sees_them_and_cannot_write(settings: Settings) -> None:
    with seen(settings) as memory:
        assert memory.metrics is None  # nobody has counted yet
    written = pages.open_to_write(settings)
    assert written is not None
    with seen(settings) as memory:
        words = memory.metrics
        assert words is not None
        written.words[layout.API_AT] = 3
        assert words[layout.API_AT] == 3
        with pytest.raises(TypeError):
            words[layout.API_AT] = 4
    written.close()


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(layout.METRICS_WORDS * 8)])
def test_what_does_not_fit_is_made_anew_and_not_read(settings: Settings, content: bytes) -> None:
    path(settings).write_bytes(content)
    with seen(settings) as memory:
        assert memory.metrics is None
    made = pages.open_to_write(settings)
    assert made is not None and layout.is_usable(made.words)
    made.close()


def test_with_metrics_off_there_are_none(settings: Settings) -> None:
    off = settings_module.read({"ENGINE_NAME": settings.host.name, "ENGINE_METRICS": "0"})
    assert pages.open_to_write(off) is None and not path(settings).exists()


def test_where_they_cannot_be_made_nothing_is_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SharedMemoryStore, "create", full)
    assert pages.open_to_write(settings) is None


def test_with_files_too_they_are_in_shared_memory_and_go_with_the_rest() -> None:
    with on_disk() as directory:
        name = f"test-{uuid.uuid4().hex[:12]}"
        settings = settings_module.read(
            {"ENGINE_NAME": name, "ENGINE_DURABILITY": "sync", "ENGINE_DATA_DIR": str(directory / "data")}
        )
        made = pages.open_to_write(settings)
        assert made is not None and path(settings).exists()
        made.close()
        mapping.remove_all(settings)
        assert not path(settings).exists()
