"""An API process serves first, and imports what speaks SQL when nobody pays, or with the first question."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine import settings as settings_module
from engine.intake import recorded
from engine.intake.questions import Kind, Questions
from engine.intake.recorded import Records
from engine.ledger.reading import Reading
from engine.memory import layout
from tests.system.client import wait_until

SECONDS = 60.0
SLOTS = 64


class Place:
    """Records over two rings of which only the heads are looked at."""

    def __init__(self, directory: Path, questions: Questions) -> None:
        settings = settings_module.read(
            {"ENGINE_LEDGER": "best", "ENGINE_LEDGER_URL": f"sqlite:///{directory}/none.db"}
        )
        self.rings = [SimpleNamespace(head=0, slots=SLOTS, forgotten_below=0) for _ in range(2)]
        self.words = {layout.BOOKS_REPLACED_AT: 0}
        nothing = cast(Any, None)
        self.questions = questions
        self.records = Records(settings, cast(Any, self.rings), cast(Any, self.words), nothing, questions)

    @property
    def is_asked(self) -> bool:
        return self.questions._thread is not None


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    questions = Questions()
    yield Place(tmp_path, questions)
    questions.close()


def test_nothing_of_sql_is_imported_before_a_process_serves() -> None:
    program = "import engine.intake.command, engine.intake.recorded, sys; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=SECONDS)
    roots = {name.partition(".")[0] for name in said.stdout.split()}
    assert "engine" in roots and not roots & {"sqlalchemy", "pysqlite3", "psycopg", "alembic"}


def test_it_is_imported_when_no_payment_has_come_since_the_last_look(place: Place) -> None:
    place.records.get_ready()
    for head in (1, 2):
        place.rings[1].head = head
        place.records.get_ready()
        assert not place.is_asked
    place.records.get_ready()
    assert place.is_asked
    wait_until(lambda: place.records._reading is not None, SECONDS, "it is imported")


def test_it_is_imported_before_a_payment_leaves_memory_also_when_they_come_all_the_time(place: Place) -> None:
    place.rings[0].forgotten_below = 100
    for head in range(100, 100 + SLOTS // 2):
        place.rings[0].head = head
        place.records.get_ready()
        assert not place.is_asked
    place.rings[0].head += 1
    place.records.get_ready()
    assert place.is_asked


def test_it_is_imported_at_once_where_memory_was_replaced(place: Place) -> None:
    place.words[layout.BOOKS_REPLACED_AT] = 7
    place.records.get_ready()
    assert place.is_asked


def test_a_package_that_is_there_and_could_not_be_read_is_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: object) -> Reading:
        raise ModuleNotFoundError("No module named 'sqlalchemy'", name="sqlalchemy.sql")  # out of descriptors

    monkeypatch.setattr(recorded, "_imported", unreadable)
    ticket = place.records._ask(Kind.LOOK, SECONDS, lambda reading: 7)
    assert ticket is not None
    wait_until(lambda: ticket.is_over, SECONDS, "it is over")
    assert ticket.answer is None and not place.records._is_missing


def test_the_first_question_has_it_imported(place: Place) -> None:
    ticket = place.records._ask(Kind.LOOK, SECONDS, lambda reading: type(reading))
    assert ticket is not None
    wait_until(lambda: ticket.is_over, SECONDS, "it is answered")
    assert ticket.answer is Reading


def test_a_missing_package_is_told_once_and_nothing_is_answered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> Reading:
        raise ModuleNotFoundError("No module named 'pysqlite3'", name="pysqlite3")

    said = list[tuple[str, str]]()
    log = SimpleNamespace(error=lambda event, *, package, lock: said.append((event, package)))
    monkeypatch.setattr(recorded, "log", log)
    monkeypatch.setattr(recorded, "_imported", missing)
    monkeypatch.setattr(recorded, "is_installed", lambda name: False)
    for _ in range(2):
        ticket = place.records._ask(Kind.LOOK, SECONDS, lambda reading: 7)
        assert ticket is not None
        wait_until(partial(getattr, ticket, "is_over"), SECONDS, "it is over")
        assert ticket.answer is None
    place.records.get_ready()
    place.records.get_ready()
    assert said == [("package_missing", "pysqlite3")]


def test_the_loop_gets_python_back_soon_while_modules_are_imported(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[float]()
    monkeypatch.setattr("engine.ledger.database.load", lambda url: seen.append(sys.getswitchinterval()))
    before = sys.getswitchinterval()
    recorded._imported(place.records._settings)
    assert seen == [pytest.approx(recorded.SWITCH_SECONDS)] and sys.getswitchinterval() == before
