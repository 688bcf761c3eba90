"""``python -m engine replay``: what it prints and writes, and what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine.__main__ import main
from engine.lab.contest import scenario as scenarios
from engine.lab.replay.generate import generate


def test_one_scenario_all_policies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    assert main(["replay", "short", "--json", str(file)]) == 0
    said = capsys.readouterr().out
    for words in ("Short: every kind of stage", "default-only", "of the oracle's", "default fails", "audits missed"):
        assert words in said
    content = json.loads(file.read_text())
    assert set(content["policies"]) == {"ours", "default-only", "simple", "earliest"}
    ours = content["policies"]["ours"]
    assert ours["account"]["worth"] == ours["worth"] <= content["oracle"]["net"]
    assert ours["accepted"] == ours["on_default"] + ours["on_fallback"] + ours["left"]


def test_one_policy_and_a_generated_scenario_written_for_a_real_contest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "generated.toml"
    assert main(["replay", "generated:57", "--policy", "simple", "--write", str(file)]) == 0
    first = capsys.readouterr().out
    assert "simple" in first
    assert "earliest" not in first
    assert scenarios.load(str(file)).stages == generate(57).stages
    assert main(["replay", str(file), "--policy", "simple"]) == 0
    table = first.partition("\n")[2]
    assert table in capsys.readouterr().out  # what is written is what was played


def test_many_scenarios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "many.json"
    assert main(["replay", "--generate", "36:38", "--policy", "ours", "--jobs", "1", "--json", str(file)]) == 0
    assert "2 generated scenarios, seeds 36:38" in capsys.readouterr().out
    content = json.loads(file.read_text())
    assert [scenario["seed"] for scenario in content["scenarios"]] == [36, 37]
    assert content["policies"][0]["worst"] == min(
        scenario["scores"]["ours"]["ratio"] for scenario in content["scenarios"]
    )


def test_many_flaky_scenarios_by_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "many.json"
    words = ["--policy", "ours,in-a-row", "--kinds", "--jobs", "1", "--json", str(file)]
    assert main(["replay", "--generate-flaky", "16:17", *words]) == 0
    said = capsys.readouterr().out
    assert "1 generated flaky scenarios, seeds 16:17" in said
    assert "again: ./engine.sh replay generated-flaky:" in said
    assert "mean and worst where there was" in said
    assert "flaky default" in said
    lines = {line["policy"]: line for line in json.loads(file.read_text())["policies"]}
    assert lines["ours"]["mean"] > lines["in-a-row"]["mean"]


def test_what_not_knowing_the_fees_costs_can_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    tables = []
    for options in ([], ["--fees", "0.05,0.15"], ["--fees", "0.05,0.15", "--believed-fees", "0.05,0.05"]):
        assert main(["replay", "generated:9", "--policy", "ours", *options]) == 0
        tables.append(capsys.readouterr().out)
    assert len(set(tables)) == 3
    ratios = [float(table.partition("of the oracle's")[2].split()[1]) for table in tables]
    assert ratios[2] < ratios[1]


def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = []
    for failures in ("1", "50"):
        monkeypatch.setenv("ENGINE_BREAKER_FAILURES", failures)
        assert main(["replay", "short", "--policy", "ours"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] != tables[1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "give a SCENARIO, or --generate"),
        (["short", "--generate", "0:2"], "give a SCENARIO, or --generate"),
        (["--generate-flaky", "0:2", "--generate", "0:2"], "give a SCENARIO, or --generate"),
        (["--generate-flaky", "0:2", "--write", "x.toml"], "--write writes one scenario"),
        (["generated-flaky:x"], "the seed must be a whole number"),
        (["--generate", "0:2", "--write", "x.toml"], "--write writes one scenario"),
        (["nowhere"], "no scenario 'nowhere'"),
        (["generated:x"], "the seed must be a whole number"),
        (["missing/file.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_played_is_named(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *words]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5", "7:7", "-1:3", "a:b"])
def test_a_range_of_seeds_must_hold_one(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["replay", f"--generate={text}"])
    assert exit_info.value.code == 2
    assert text in capsys.readouterr().err


def test_sigterm_ends_all_its_processes() -> None:
    words = [sys.executable, "-m", "engine", "replay", "--generate", "0:500", "--jobs", "2"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline_s = time.monotonic() + 60
    while True:
        children = psutil.Process(process.pid).children()  # two, and multiprocessing's own, which does nothing
        # At work and no longer starting: one that starts while its parent ends may say so.
        if sum(child.cpu_times().user >= 1 for child in children) >= 2:
            break
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
