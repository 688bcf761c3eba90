"""The command ring's segment: made when it is needed, gone on with when it is this engine's own, else made anew."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.acts.ring import CommandWriter
from engine.memory import acts_layout, layout
from engine.memory.acts_layout import Act, Command
from engine.memory.errors import SegmentError
from engine.operate import memory
from engine.settings import Settings
from engine.storage import commands, locks, mapping, names


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    environment = {
        "ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}", "ENGINE_RUN_DIR": str(tmp_path), "ENGINE_LEDGER": "best",
        "ENGINE_RING_SLOTS": "64",
    }  # fmt: skip
    made = settings_module.read(environment)
    mapping.open_books(made).close()
    yield made
    mapping.remove_all(made)


def test_a_dispatcher_goes_on_with_the_ring_and_what_waits_in_it(settings: Settings) -> None:
    books = mapping.open_books(settings)
    first = commands.open_to_write(settings, books)
    assert first is not None
    with commands.putting(first):
        CommandWriter(first.words, books.words, layout.BOOKS_ACTS_AT).put(Command(Act.PAUSE, 1, 2))
    first.close()
    second = commands.open_to_write(settings, books)
    assert second is not None and second.words[acts_layout.HEAD_AT] == 1
    assert names.acts_name(settings.host.name) in names.own(settings.host.name, mapping.store(settings).names())
    second.close()
    books.close()


def test_a_ring_that_is_older_than_the_books_is_made_anew_and_begins_where_they_stand(settings: Settings) -> None:
    books = mapping.open_books(settings)
    first = commands.open_to_write(settings, books)
    assert first is not None
    first.close()
    books.words[layout.BOOKS_ACTS_AT] = 5
    second = commands.open_to_write(settings, books)
    assert second is not None and second.words[acts_layout.HEAD_AT] == 5
    second.close()
    books.close()


def test_without_a_ledger_there_is_no_ring_and_nothing_can_be_asked(settings: Settings) -> None:
    books = mapping.open_books(settings)
    ring = commands.open_to_write(settings, books)
    assert ring is not None
    ring.close()
    off = dataclasses.replace(settings, ledger=dataclasses.replace(settings.ledger, mode="off"))
    assert commands.open_to_write(off, books) is None
    with pytest.raises(SegmentError, match="ENGINE_LEDGER=best"):
        commands.open_to_put(off)
    books.close()


def test_one_command_is_put_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    books = mapping.open_books(settings)
    ring = commands.open_to_write(settings, books)
    assert ring is not None
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(locks, "STOPPED_SECONDS", 0.0)
    with commands.putting(ring), pytest.raises(locks.StuckError), commands.putting(ring):
        raise AssertionError("two had the lock")
    with commands.putting(ring):
        pass
    ring.close()
    books.close()


def test_a_pause_and_what_was_declared_survive_other_sizes(settings: Settings) -> None:
    books = mapping.open_books(settings)
    kept = {
        layout.BOOKS_PAUSED_AT: 2,
        layout.BOOKS_ACTS_AT: 7,
        layout.BOOKS_DECLARED_AT: 3,
        layout.BOOKS_DECLARED_AT + 1: 9,
    }
    for at, value in kept.items():
        books.words[at] = value
    books.close()
    larger = dataclasses.replace(settings, storage=dataclasses.replace(settings.storage, ring_slots=256))
    books = mapping.open_books(larger)
    assert {at: books.words[at] for at in kept} == kept
    assert memory.paused(larger) == 2
    books.close()


def run(settings: Settings, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of the engine."""
    environment = os.environ | {"ENGINE_NAME": settings.host.name, "ENGINE_RUN_DIR": settings.host.run_dir} | variables
    command = [sys.executable, "-m", "engine", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("dead-letters", "list"), 0, "0 dead letters, 0.00 in all"),
        (("dead-letters", "retry", "--by", "Ada", "--reason", "why"), 0, "nothing was done"),
        (("dead-letters", "cancel", "--by", "Ada", "--reason", "why"), 2, "needs --evidence"),
        (("dead-letters", "retry", "--reason", "why"), 2, "--by"),
        (("dead-letters", "ask", "--by", "Ada", "--reason", "w", "--amount", "x"), 2, "no amount"),
        (("dead-letters", "list", "--processor", "nobody"), 1, "no processor called nobody"),
        (("processors", "list"), 0, "takes payments"),
        (("processors", "pause", "default", "--by", "Ada", "--reason", "why"), 1, "no ledger"),
    ],
)
def test_what_an_operators_command_says(settings: Settings, words: tuple[str, ...], code: int, said: str) -> None:
    done = run(settings, *words, ENGINE_LEDGER="best", ENGINE_RING_SLOTS="64")
    assert done.returncode == code and said in done.stdout + done.stderr, (done.stdout, done.stderr)


def test_acts_need_a_ledger(settings: Settings) -> None:
    done = run(settings, "processors", "pause", "default", "--by", "Ada", "--reason", "why")
    assert done.returncode == 1 and "ENGINE_LEDGER is off" in done.stderr
