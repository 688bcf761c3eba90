"""A tuning run on disk: its plan, and a line of CSV for every finished run, so that it can go on where it stopped."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.lab.tune import plan as plans
from engine.lab.tune import space
from engine.lab.tune.objective import MEASURES, OBJECTIVES, Run
from engine.lab.tune.plan import Plan, Slot
from engine.lab.tune.space import SpaceError

Json = dict[str, Any]

PLAN, RUNS = "plan.json", "runs.csv"


class JournalError(Exception):
    """The tuning run on disk cannot be continued; the text says why and what to do."""


def as_json(plan: Plan) -> Json:
    """``plan`` as it is written; the keys are the options' names."""
    return {
        "vary": [f"{axis.name}={','.join(axis.values)}" for axis in plan.axes],
        "environment": dict(plan.fixed),
        "scenario": plan.scenario,
        "scenario_digest": plan.fingerprint,
        "seconds": plan.seconds,
        "seconds_min": plan.seconds_min,
        "drain_seconds": plan.drain_s_max,
        "rounds": plan.rounds,
        "objective": plan.objective.name,
        "halving": plan.halving,
        "seed": plan.seed,
    }


def from_json(content: Json) -> Plan:
    """The plan that :func:`as_json` wrote. Raises SpaceError, KeyError, TypeError and ValueError for anything else."""
    axes = space.parse_axes(content["vary"])
    return Plan(
        axes=axes,
        fixed=tuple(space.fixed(content["environment"], axes).items()),
        scenario=str(content["scenario"]),
        fingerprint=str(content["scenario_digest"]),
        seconds=float(content["seconds"]),
        seconds_min=float(content["seconds_min"]),
        drain_s_max=float(content["drain_seconds"]),
        rounds=int(content["rounds"]),
        objective=OBJECTIVES[content["objective"]],
        halving=bool(content["halving"]),
        seed=int(content["seed"]),
    )


def differences(stored: Json, given: Json) -> list[str]:
    """A line for everything in ``given`` that has another value in ``stored``; what is not given is no difference."""
    return [
        f"{key}: {_shown(stored.get(key))} there, {_shown(value)} asked for"
        for key, value in given.items()
        if stored.get(key) != value
    ]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items()) or "nothing"
    return " ".join(value) if isinstance(value, list) else str(value)


def read_plan(directory: Path) -> Json:
    """The plan in ``directory``. Raises JournalError."""
    try:
        content = json.loads((directory / PLAN).read_text(encoding="utf-8"))
        from_json(content)
    except FileNotFoundError:
        raise JournalError(f"{directory}: holds no tuning run ({PLAN} is missing)") from None
    except (OSError, ValueError, KeyError, TypeError, SpaceError) as error:
        raise JournalError(f"{directory / PLAN}: cannot be used: {error!r}") from None
    assert isinstance(content, dict)
    return content


def write_plan(directory: Path, plan: Plan) -> None:
    """Begins a tuning run in ``directory``, which is made. Raises JournalError if one is there, OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / PLAN).exists():
        raise JournalError(f"{directory}: holds a tuning run already; go on with --resume, or take another --output")
    half = directory / f"{PLAN}.half"
    with half.open("w", encoding="utf-8") as file:
        file.write(json.dumps(as_json(plan), indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    half.rename(directory / PLAN)
    _sync_directory(directory)


class Journal:
    """The finished runs of ``plan`` in ``directory``. A context manager that keeps others from writing there.

    A last line that was cut off, by a crash or a full disk, is removed: that run is held again.
    Raises JournalError and OSError.
    """

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.finished: dict[Slot, Run] = {}
        self.overheads_s: list[float] = []
        self._plan = plan
        self._path = directory / RUNS
        self._columns = columns(plan)
        self._file = self._path.open("a+", encoding="utf-8", newline="")
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise
        _sync_directory(directory)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, slot: Slot, run: Run, began: str, elapsed_s: float) -> None:
        """Keeps a finished run: it is on disk when this returns.

        Parameters:
          began: ISO 8601.
          elapsed_s: how long it took, from the start of the engine to its end.
        """
        seconds = plans.rungs(self._plan)[slot.rung].seconds
        row: dict[str, object] = {"rung": slot.rung, "round": slot.round, "point": slot.point}
        row |= {"seconds": seconds, "began": began, "elapsed_s": round(elapsed_s, 2)}
        row |= space.assignment(self._plan.axes, self._plan.points[slot.point])
        row |= {name: round(value, 4) for name, value in run.measures.items()}
        row["broken"] = run.broken
        self._write([str(row.get(column, "")) for column in self._columns])
        self.finished[slot] = run
        self.overheads_s.append(max(elapsed_s - seconds, 0.0))

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self._path.parent}: another tuning run is at work there") from None

    def _read(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self._file.truncate(len(whole.encode()))
            self._file.flush()
        if not whole:
            self._write(list(self._columns))
            return
        rows = csv.DictReader(io.StringIO(whole))
        if tuple(rows.fieldnames or ()) != self._columns:
            raise JournalError(f"{self._path}: its columns are not those of this plan; take another directory")
        for row in rows:
            try:
                self._take(row)
            except (ValueError, TypeError, IndexError) as error:
                raise JournalError(f"{self._path}: line {rows.line_num}: {error}") from None

    def _take(self, row: Mapping[str, str]) -> None:
        slot = Slot(int(row["rung"]), int(row["round"]), int(row["point"]))
        rungs = plans.rungs(self._plan)
        if not (0 <= slot.rung < len(rungs) and 0 <= slot.round < self._plan.rounds and slot.point >= 0):
            raise ValueError("no such run in this plan")
        expected = space.assignment(self._plan.axes, self._plan.points[slot.point])
        if any(row[name] != value for name, value in expected.items()):
            raise ValueError(f"point {slot.point} has other values in this plan")
        measures = {name: float(row[name]) for name in MEASURES if row[name]}
        self.finished[slot] = Run(measures, row["broken"])
        self.overheads_s.append(max(float(row["elapsed_s"]) - rungs[slot.rung].seconds, 0.0))

    def _write(self, cells: list[str]) -> None:
        # One write for the whole line: what is cut off lacks the end of the line, by which it is known.
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([" | ".join(cell.splitlines()) for cell in cells])
        self._file.write(line.getvalue())
        self._file.flush()
        os.fsync(self._file.fileno())


def columns(plan: Plan) -> tuple[str, ...]:
    """Of :data:`RUNS`: what was run, the varied settings, and what was measured (``engine.lab.tune.objective``)."""
    names = [axis.name for axis in plan.axes]
    return ("rung", "round", "point", "seconds", "began", "elapsed_s", *names, *MEASURES, "broken")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
