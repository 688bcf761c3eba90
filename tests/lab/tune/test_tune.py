"""The tuning run itself: interrupted anywhere, it goes on with the same plan, and what cannot be run stops nothing."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from engine.__main__ import main
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.recording import Recording
from engine.lab.results import DONE, INTERRUPTED, UNUSABLE, duration
from engine.lab.tune import journal, live, picture
from engine.lab.tune import run as run_module
from engine.lab.tune.objective import Run
from engine.lab.tune.plan import Slot
from engine.variables import PREFIX
from tests.lab.tune.plans import PAUSE, brought, plan

ROOT = Path(__file__).parents[3]
TINY = """
title = "Tiny"
[fees]
default = 0.05
fallback = 0.15
[load]
start_vus = 3
amount = 19.90
sleep_s = 0.1
timeout_s = 1.5
ramps = [{ duration_s = 2, target = 5 }]
[audit]
every_s = 1.2
from_s = 2
to_s = 0.5
[[stages]]
at_s = 0.5
default = { delay_ms = 0, failing = false }
fallback = { delay_ms = 0, failing = false }
"""

Answer = Callable[[Slot], Run]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the test's own."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[Slot]]:
    """Puts a stand-in, which answers what it is given, in the place of real contests; returns the slots it is asked.

    No pictures are drawn: they take longer than everything else.
    """
    monkeypatch.setattr(picture, "draw", lambda *_words: [])

    def replace(answer: Answer) -> list[Slot]:
        asked: list[Slot] = []

        def held(_plan: object, slot: Slot, *_rest: object) -> Run:
            asked.append(slot)
            return answer(slot)

        monkeypatch.setattr(run_module, "hold", held)
        return asked

    return replace


def words(directory: Path, *more: str) -> list[str]:
    return [
        "tune",
        "--vary",
        f"{PAUSE}=2,4,8",
        "--rounds",
        "2",
        "--objective",
        "p99",
        "--output",
        str(directory),
        *more,
    ]


def kept(directory: Path) -> list[dict[str, str]]:
    with (directory / journal.RUNS).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("more", [(), ("--halving",)])
def test_a_run_that_is_interrupted_after_every_contest_comes_to_the_same_end(
    hold: Callable[[Answer], list[Slot]], tmp_path: Path, more: tuple[str, ...]
) -> None:
    def answer(slot: Slot) -> Run:
        return brought(9.0 - slot.point + slot.round / 10)

    whole = hold(answer)
    assert main(words(tmp_path / "whole", *more)) == DONE

    def once(slot: Slot) -> Run:
        if len(part) % 2 == 0:
            raise KeyboardInterrupt
        return answer(slot)

    part = hold(once)
    codes = [main(words(tmp_path / "part", *more))]
    while codes[-1] == INTERRUPTED and len(codes) < 50:
        codes.append(main(["tune", "--resume", str(tmp_path / "part")]))
    assert codes == [INTERRUPTED] * (len(whole) - 1) + [DONE]
    for name in ("summary.csv", "plan.json"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(kept(tmp_path / "part")) == len(whole)
    assert main(["tune", "--resume", str(tmp_path / "part")]) == DONE, "one that is over tells its result again"


@pytest.mark.parametrize(
    ("more", "environment", "reason"),
    [
        (["--rounds", "3"], {}, "rounds: 2 there, 3 asked for"),
        (["--halving"], {}, "halving: False there, True asked for"),
        (["--vary", f"{PAUSE}=2,4"], {}, f"vary: {PAUSE}=2,4,8 there, {PAUSE}=2,4 asked for"),
        (["--scenario", "spikes"], {}, "scenario: preview there, spikes asked for"),
        ([], {"ENGINE_API_PROCESSES": "3"}, "environment: nothing there, ENGINE_API_PROCESSES=3 asked for"),
        (["--output", "elsewhere"], {}, "leave --output out"),
    ],
)
def test_another_plan_is_not_gone_on_with(
    hold: Callable[[Answer], list[Slot]],
    tmp_path: Path,
    more: list[str],
    environment: dict[str, str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hold(lambda _slot: brought(1.0))
    assert main(words(tmp_path / "out")) == DONE
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["tune", "--resume", str(tmp_path / "out"), *more]) == UNUSABLE
    assert reason in capsys.readouterr().err


def test_the_same_plan_may_be_said_again(hold: Callable[[Answer], list[Slot]], tmp_path: Path) -> None:
    hold(lambda _slot: brought(1.0))
    assert main(words(tmp_path / "out")) == DONE
    again = ["--vary", f"{PAUSE}=2..8:x2", "--rounds", "2", "--scenario", "preview"]
    assert main(["tune", "--resume", str(tmp_path / "out"), *again]) == DONE


def test_a_scenario_that_was_edited_meanwhile_is_noticed(
    hold: Callable[[Answer], list[Slot]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(lambda _slot: brought(1.0))
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    assert main(words(tmp_path / "out", "--scenario", str(file))) == DONE
    file.write_text(TINY.replace("0.15", "0.12"))
    assert main(["tune", "--resume", str(tmp_path / "out")]) == UNUSABLE
    assert "scenario_digest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--vary", "ENGINE_NO=1"], "ENGINE_NO: unknown"),
        (["--vary", "ENGINE_API_PROCESSES=0"], "must be 1 to 16"),
        (["--scenario", "nowhere"], "no scenario 'nowhere'"),
        (["--halving", "--seconds", "3"], "longer than the longest contest"),
    ],
)
def test_what_cannot_be_held_is_refused_before_anything_is_written(
    tmp_path: Path, more: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path / "out", *more)) == UNUSABLE
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_point_that_cannot_be_run_comes_last_and_stops_nothing(
    hold: Callable[[Answer], list[Slot]], tmp_path: Path
) -> None:
    hold(lambda slot: Run({}, "no room\nfor it") if slot.point == 1 else brought(5.0 + slot.point))
    assert main(words(tmp_path / "out")) == DONE
    assert [row["broken"] for row in kept(tmp_path / "out") if row["point"] == "1"] == ["no room | for it"] * 2
    summary = list(csv.DictReader((tmp_path / "out" / "summary.csv").open()))
    assert [(row["point"], row["remark"]) for row in summary] == [("0", ""), ("2", ""), ("1", "no result")]


@pytest.mark.parametrize("good", [0, 2])
def test_a_machine_that_cannot_run_anything_leaves_no_verdict_on_the_points(
    hold: Callable[[Answer], list[Slot]], tmp_path: Path, good: int, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = hold(lambda _slot: brought(1.0) if len(asked) <= good else Run({}, "nginx is not installed"))
    assert main(words(tmp_path / "out", "--rounds", "10")) == UNUSABLE
    assert "5 runs in a row had no result; the last: nginx is not installed" in capsys.readouterr().err
    assert len(asked) == good + 5
    assert len(kept(tmp_path / "out")) == good
    hold(lambda _slot: brought(1.0))
    assert main(["tune", "--resume", str(tmp_path / "out")]) == DONE


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_tells_the_contest_the_time_left_and_the_best(terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=terminal)
    halving = plan(halving=True)
    finished = {Slot(0, 0, 0): brought(2.0), Slot(0, 0, 1): brought(1.0)}
    progress = live.Progress(halving, finished, Slot(0, 0, 3), overhead_s=6)
    short = scenarios.load("short")
    with live.view(console) as view:
        view.show(progress, Recording(short, short.fees.by_name), 3.0)
        view.done(progress, brought(2.5))
        view.done(progress, Run({}, "did not start"))
    text = out.getvalue()
    assert "DISPATCH_PAUSE_MS=4 DISPATCH_BATCH=64" in text
    assert "p99 of accepting, ms: 2.5" in text
    assert "FAILED: did not start" in text
    if terminal:
        assert "run 3 of 22, round 1 of 2, rung 1 of 3 (6 points, 10 s each)" in text
        assert "best so far: DISPATCH_PAUSE_MS=2 DISPATCH_BATCH=64" in text
    assert "8:" in text, "2 x (6 x 16 + 3 x 26 + 2 x 46) s, less two contests"


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")])
def test_the_time_left_is_told_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_real_contest_is_interrupted_and_held_again(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    out = tmp_path / "out"
    options = ["tune", "--vary", f"{PAUSE}=8", "--rounds", "1", "--scenario", str(tmp_path / "tiny.toml")]
    options += ["--output", str(out)]
    tuning = subprocess.Popen([sys.executable, "-m", "engine", *options], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 60
    while not any(log.stat().st_size for log in out.glob("runs/*/k6.log")):
        assert tuning.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.05)
    family = psutil.Process(tuning.pid).children(recursive=True)
    assert {"k6", "nginx"} <= {process.name() for process in family}
    tuning.send_signal(signal.SIGINT)
    _, said = tuning.communicate(timeout=30)
    assert (tuning.returncode, f"tune --resume {out}` goes on" in said) == (INTERRUPTED, True)
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert kept(out) == []
    assert main(["tune", "--resume", str(out)]) == DONE
    (row,) = kept(out)
    assert (row[PAUSE], row["broken"]) == ("8", "")
    assert float(row["accepted"]) == float(row["settled"]) == float(row["requested"]) > 30
    assert float(row["cpu_us"]) > float(row["cpu_us_dispatcher"]) > 0 < float(row["cpu_us_api"])
    assert float(row["p99_ms"]) > 0 < float(row["memory_mb"])
    assert float(row["others_cores"]) >= 0
    assert not (out / "runs").exists(), "nothing went wrong, so there are no logs to look at"
