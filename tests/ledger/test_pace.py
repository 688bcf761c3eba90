"""When the ledger process looks: each second, every third one while there is much, and at once for who waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.ledger.carrier import Carrier
from engine.ledger.marks import Marks
from engine.ledger.process import MANY, SECONDS_PASSED, Memory, Process
from engine.ledger.rows import Batch
from engine.memory.status import LedgerStatus
from tests.ledger.test_flat import NOW_MS, RINGS, Flow

SECONDS = 2 * (SECONDS_PASSED + 1)


class Paced:
    """A process over memory into which ``each`` payments come to each ring each second."""

    def __init__(self, directory: Path, mode: str, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flow, self.each, self.second, self.looked = Flow(), each, 0, list[int]()
        look = Carrier.look

        def counted(carrier: Carrier, now_ms: int, is_whole: bool = False) -> Batch:
            self.looked.append(self.second)
            return look(carrier, now_ms, is_whole)

        monkeypatch.setattr(Carrier, "look", counted)
        settings = settings_module.read({"ENGINE_RUN_DIR": str(directory), "ENGINE_LEDGER": mode})
        self.process = Process(settings, lambda: self.second >= SECONDS, self.sleep)

    def sleep(self, _: float) -> None:
        self.second += 1
        self.flow.go_on(self.each, NOW_MS + 1000 * self.second)

    def run(self) -> list[int]:
        """The seconds of the looks, before a stop was asked for."""
        flow = self.flow
        flow.go_on(self.each, NOW_MS)
        self.process._carry_from(Memory(flow.view, Marks(flow.books, flow.rings), flow.books, ()))
        return [second for second in self.looked if second < SECONDS]


def test_with_little_it_looks_each_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Paced(tmp_path, "best", MANY // (3 * RINGS), monkeypatch).run() == [*range(SECONDS)]


def test_with_much_it_lets_seconds_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paced = Paced(tmp_path, "best", MANY // RINGS, monkeypatch)
    assert paced.run() == [*range(0, SECONDS, SECONDS_PASSED + 1)]
    assert paced.looked[-1] == SECONDS  # and once more before it ends


def test_where_slots_wait_for_it_it_looks_each_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Paced(tmp_path, "require", MANY, monkeypatch).run() == [*range(SECONDS)]


def test_a_purge_that_waits_is_not_let_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Marks, "is_purge_waiting", property(lambda _: True))
    seen = set(Paced(tmp_path, "best", MANY, monkeypatch).run())
    assert seen == {*range(SECONDS)}


def test_what_it_has_not_seen_yet_is_told_as_its_lag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While seconds pass, nothing says that SQL has what happened in them."""
    told = list[int]()
    paced = Paced(tmp_path, "best", MANY, monkeypatch)
    sleep = paced.sleep

    def look(seconds: float) -> None:
        told.append(LedgerStatus(paced.flow.books).complete_ms)
        sleep(seconds)

    paced.process._sleep = look
    monkeypatch.setattr("engine.memory.clock.read_ms", lambda words: 1000 * (1 + paced.second))
    paced.run()
    looks = told[:: SECONDS_PASSED + 1]
    assert looks == sorted(set(looks)) and len(looks) == 2
    assert told == [one for one in looks for _ in range(SECONDS_PASSED + 1)]
