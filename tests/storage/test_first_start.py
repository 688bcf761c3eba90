"""Whoever is killed at any call of the kernel while segments are made stops no later start."""

from __future__ import annotations

import mmap
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine import settings as settings_module
from engine.settings import Settings
from engine.storage import mapping, names
from tests.durability.disk import KilledError
from tests.storage.places import on_disk

# What the kernel is asked for while a segment gets its size, its memory and its name.
CALLS = ((os, "ftruncate"), (os, "posix_fallocate"), (mmap, "mmap"), (os, "rename"), (os, "fsync"))


@pytest.fixture(params=["memory", "disk", "sync"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    with on_disk() as data:
        made = settings_module.read(
            {
                "ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}",
                "ENGINE_DURABILITY": request.param,
                "ENGINE_RUN_DIR": str(tmp_path),
                "ENGINE_DATA_DIR": str(data),
                "ENGINE_RING_SLOTS": "64",
                "ENGINE_BOOKS_RECENT_SECONDS": "30",
                "ENGINE_BOOKS_HORIZON_HOURS": "1",
                "ENGINE_ID_MEMORY": "1000",
            }
        )
        yield made
        mapping.remove_all(made)


def start(settings: Settings) -> None:
    """Opens what an API process and a dispatcher open."""
    with ExitStack() as closed:
        rings, books = mapping.open_rings(settings), mapping.open_books(settings)
        ids = mapping.open_ids(settings, rings[0])
        assert ids is not None
        for segment in (*rings, books, ids):
            closed.callback(segment.close)


def start_killed(settings: Settings, left: int) -> bool:
    """A start that is killed before or after it comes to call number ``left``; whether it came there."""

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            return call(*arguments, **named)

        return instead

    with ExitStack() as patched:
        for module, name in CALLS:
            patched.enter_context(mock.patch.object(module, name, counted(getattr(module, name))))
        # A killed process tidies nothing up.
        patched.enter_context(mock.patch.object(shared_memory.SharedMemory, "unlink", lambda _: None))
        try:
            start(settings)
        except KilledError:
            return True
    return False


def test_the_next_start_goes_on_wherever_the_first_one_was_killed(settings: Settings) -> None:
    left = 0
    while start_killed(settings, left):
        start(settings)
        own = names.own(settings.host.name, mapping.store(settings).names())
        assert not [name for name in own if names.is_new(settings.host.name, name)]
        mapping.remove_all(settings)
        left += 1
    assert left > 8


def test_an_id_memory_without_a_size_is_made_anew(settings: Settings) -> None:
    start(settings)
    with closing(mapping.store(settings).open(names.ids_name(settings.host.name))) as ids:
        path = ids.path
    os.truncate(path, 0)
    start(settings)
