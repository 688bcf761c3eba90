"""Who is not needed to accept a payment starts last; who of them cannot start at all is told all the same."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine import settings as settings_module
from engine.memory.status import LedgerStatus
from engine.memory.words import PAGE_WORDS, zeros
from engine.supervise import up
from engine.supervise.beside import BEATS, Beside
from engine.supervise.child import Child

ALL = ["processors", "dispatcher", "api 0", "api 1", "ledger", "reconcile", "console", "nginx"]


class Fake:
    """A child that has died, or not."""

    def __init__(self, name: str, *, has_died: bool = False) -> None:
        self.name, self.has_died = name, has_died

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


@pytest.mark.parametrize("dead", ["ledger", "reconcile"])
def test_one_that_dies_before_the_ledger_has_begun_could_not_start(dead: str) -> None:
    books = zeros(PAGE_WORDS)
    late = Beside(children(dead, "api 0"), books)  # whoever else dies is started again
    assert late.problem(0) == f"{dead} could not start; what it printed stands above"


def test_one_that_dies_later_is_started_again() -> None:
    books = zeros(PAGE_WORDS)
    LedgerStatus(books).heartbeat_ms = 7  # its predecessor's
    living, dead = children(), children("ledger")
    late = Beside(living, books)
    for beat in range(BEATS):
        assert late.problem(0) == ""
        LedgerStatus(books).heartbeat_ms = 8 + beat
        assert late.problem(0) == ""
    late._children = dead
    assert late.problem(0) == ""


def test_without_a_ledger_there_is_nobody_to_wait_for() -> None:
    only = [child for child in children("console") if child.name == "console"]
    assert Beside(only, zeros(PAGE_WORDS)).problem(0) == ""
