"""Segments that are made beside the engine's own: no process that starts meanwhile removes one that is half made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import settings as settings_module
from engine.acts import ring as acts_ring
from engine.journal import writer
from engine.settings import Settings
from engine.storage import commands, journals, making, mapping


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = settings_module.read({"ENGINE_NAME": f"test-beside-{id(tmp_path)}", "ENGINE_LEDGER": "best"})
    yield made
    mapping.remove_all(made)


@pytest.mark.parametrize(
    ("module", "lays_out", "maker"),
    [(writer, "lay_out_journal", journals.open_to_write), (acts_ring, "lay_out_acts", commands.open_to_write)],
)
def test_it_is_made_under_the_lock_of_the_engine(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, module: Any, lays_out: str, maker: Any
) -> None:
    lay_out, seen = getattr(module, lays_out), list[str]()

    def check(*arguments: Any) -> None:
        store = mapping.store(settings)
        with pytest.raises(BlockingIOError), store.holding(f"{settings.host.name}.lock", making._MAKING, wait=False):
            pass
        seen.append(lays_out)
        lay_out(*arguments)

    monkeypatch.setattr(module, lays_out, check)
    with contextlib.closing(mapping.open_books(settings)) as books, contextlib.closing(maker(settings, books)):
        assert seen == [lays_out]
