"""A finished run is never lost nor held twice, and nothing is mixed with the runs of another plan."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from engine.lab.tune import journal
from engine.lab.tune import plan as plans
from engine.lab.tune.journal import Journal, JournalError
from engine.lab.tune.objective import Run
from engine.lab.tune.plan import Plan, Slot
from tests.lab.tune.plans import brought, plan

BEGAN = "2025-07-10T12:34:56+00:00"


def keep(directory: Path, plan: Plan, count: int) -> list[Slot]:
    """Appends ``count`` runs; returns which."""
    slots = []
    with Journal(directory, plan) as kept:
        for number in range(count):
            slot = plans.next_slot(plan, kept.finished)
            assert slot is not None
            kept.append(slot, brought(1.5 + number, broken='a, "b"\nc' if number == 1 else ""), BEGAN, 47.25)
            slots.append(slot)
    return slots


def test_a_plan_that_was_written_is_read_again(tmp_path: Path) -> None:
    written = dataclasses.replace(plan(halving=True), fixed=(("ENGINE_API_PROCESSES", "3"),))
    journal.write_plan(tmp_path / "new", written)
    assert journal.from_json(journal.read_plan(tmp_path / "new")) == written


def test_one_directory_holds_one_tuning_run(tmp_path: Path) -> None:
    journal.write_plan(tmp_path, plan())
    with pytest.raises(JournalError, match="holds a tuning run already"):
        journal.write_plan(tmp_path, plan())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vary": ["ENGINE_NO=1"]}', '{"vary": 1}'])
def test_a_plan_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / journal.PLAN).write_text(content)
    with pytest.raises(JournalError, match=r"plan\.json: cannot be used"):
        journal.read_plan(tmp_path)


def test_a_directory_without_a_plan_is_no_tuning_run(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="holds no tuning run"):
        journal.read_plan(tmp_path)


def test_only_what_is_asked_for_and_is_otherwise_is_a_difference() -> None:
    stored = journal.as_json(plan(rounds=2))
    assert journal.differences(stored, {"rounds": 2, "objective": "p99", "seconds": 40}) == []
    assert journal.differences(stored, {"rounds": 3, "vary": ["ENGINE_DISPATCH_BATCH=1"], "objective": "p99"}) == [
        "rounds: 2 there, 3 asked for",
        "vary: ENGINE_DISPATCH_PAUSE_MS=2,4,8 ENGINE_DISPATCH_BATCH=16,64 there, ENGINE_DISPATCH_BATCH=1 asked for",
    ]
    assert journal.differences(stored, {"environment": {"ENGINE_API_PROCESSES": "3"}}) == [
        "environment: nothing there, ENGINE_API_PROCESSES=3 asked for"
    ]


def test_finished_runs_are_there_again(tmp_path: Path) -> None:
    slots = keep(tmp_path, plan(), 3)
    with Journal(tmp_path, plan()) as kept:
        assert list(kept.finished) == slots
        assert kept.finished[slots[0]] == brought(1.5)
        assert kept.finished[slots[1]].broken == 'a, "b" | c'
        assert kept.overheads_s == [7.25] * 3
    assert len((tmp_path / journal.RUNS).read_text().splitlines()) == 4, "a line for the names and one for each run"


def test_a_last_line_that_was_cut_off_anywhere_is_held_again(tmp_path: Path) -> None:
    slots = keep(tmp_path, plan(), 2)
    path = tmp_path / journal.RUNS
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(tmp_path, plan()) as kept:
            assert list(kept.finished) == slots[:1]
        assert path.read_bytes() == whole[:last]
    assert keep(tmp_path, plan(), 1) == slots[1:]
    assert len(path.read_bytes().splitlines()) == 3


def test_a_first_line_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    (tmp_path / journal.RUNS).write_text("rung,rou")
    with Journal(tmp_path, plan()) as kept:
        assert kept.finished == {}
    assert (tmp_path / journal.RUNS).read_text() == ",".join(journal.columns(plan())) + "\n"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"point": "6"}, "index out of range"),
        ({"point": "-1"}, "no such run"),
        ({"round": "2"}, "no such run"),
        ({"rung": "1"}, "no such run"),
        ({"ENGINE_DISPATCH_BATCH": "17"}, "has other values"),
        ({"p99_ms": "\0\0"}, "could not convert"),
    ],
)
def test_a_line_that_is_not_of_this_plan_is_named(tmp_path: Path, cells: dict[str, str], reason: str) -> None:
    keep(tmp_path, plan(), 1)
    path = tmp_path / journal.RUNS
    names, line = path.read_text().splitlines()
    row = dict(zip(names.split(","), line.split(","), strict=True)) | cells
    path.write_text(f"{names}\n{','.join(row.values())}\n")
    with pytest.raises(JournalError, match=f"line 2: .*{reason}"):
        Journal(tmp_path, plan())


def test_runs_with_other_columns_are_not_gone_on_with(tmp_path: Path) -> None:
    keep(tmp_path, plan(), 1)
    with pytest.raises(JournalError, match="columns are not those of this plan"):
        Journal(tmp_path, plan("ENGINE_API_PROCESSES=1,2"))


def test_two_tuning_runs_do_not_write_into_one_directory(tmp_path: Path) -> None:
    with Journal(tmp_path, plan()), pytest.raises(JournalError, match="another tuning run is at work"):
        Journal(tmp_path, plan())
    with Journal(tmp_path, plan()) as again:
        again.append(Slot(0, 0, 0), Run({}, "did not start"), BEGAN, 1.0)


def test_what_is_stored_is_plain_json(tmp_path: Path) -> None:
    journal.write_plan(tmp_path, plan())
    content = json.loads((tmp_path / journal.PLAN).read_text())
    assert content["vary"] == ["ENGINE_DISPATCH_PAUSE_MS=2,4,8", "ENGINE_DISPATCH_BATCH=16,64"]
    assert (content["rounds"], content["objective"], content["halving"]) == (2, "p99", False)
