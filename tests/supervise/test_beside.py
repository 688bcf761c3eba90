"""Who is not needed to accept a payment starts last; who of them cannot start at all is told all the same."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine import settings as settings_module
from engine.ledger.command import HELD
from engine.memory.status import LedgerStatus
from engine.memory.words import PAGE_WORDS, zeros
from engine.supervise import up
from engine.supervise.beside import BEATS, Beside
from engine.supervise.child import Child

ALL = ["processors", "dispatcher", "api 0", "api 1", "ledger", "reconcile", "console", "nginx"]


class Fake:
    """A child that has died, or not; ``code``: what it ended with."""

    def __init__(self, name: str, *, has_died: bool = False, code: int = 1) -> None:
        self.name, self.has_died, self.code = name, has_died, code

    def has_failed(self, now_ms: int) -> bool:
        return self.has_died


def children(*dead: str) -> list[Child]:
    return cast(list[Child], [Fake(name, has_died=name in dead) for name in ALL])


def test_a_start_waits_for_nobody_who_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[str]()

    def until(children: list[Child], *_: Any) -> str:
        started.extend(child.name for child in children)
        return ""

    monkeypatch.setattr(up, "_until", until)
    settings = settings_module.read({"ENGINE_LEDGER": "best", "ENGINE_CONSOLE": "1"})
    assert up._start(settings, children(), cast(Any, None), []) == ""
    assert set(started) == {"processors", "dispatcher", "api 0", "api 1", "nginx"}


def test_a_ledger_that_can_never_go_on_could_not_start() -> None:
    late = Beside(children("ledger", "api 0"), zeros(PAGE_WORDS))
    assert late.problem(0) == "ledger could not start; what it printed stands above"


@pytest.mark.parametrize("code", [-9, -15, HELD])
def test_one_that_was_killed_or_comes_too_early_is_started_again(code: int) -> None:
    late = Beside([cast(Child, Fake("ledger", has_died=True, code=code))], zeros(PAGE_WORDS))
    assert late.problem(0) == ""


def test_whoever_else_dies_is_started_again() -> None:
    assert Beside(children("reconcile", "api 0", "console"), zeros(PAGE_WORDS)).problem(0) == ""


def test_one_that_dies_later_is_started_again() -> None:
    books = zeros(PAGE_WORDS)
    LedgerStatus(books).heartbeat_ms = 7  # its predecessor's
    living, dead = children(), children("ledger")
    late = Beside(living, books)
    for beat in range(BEATS):
        assert late.problem(0) == ""
        LedgerStatus(books).heartbeat_ms = 8 + beat
        assert late.problem(0) == ""
    late._ledgers = [child for child in dead if child.name == "ledger"]
    assert late.problem(0) == ""


def test_without_a_ledger_there_is_nobody_to_wait_for() -> None:
    only = [child for child in children("console") if child.name == "console"]
    assert Beside(only, zeros(PAGE_WORDS)).problem(0) == ""
