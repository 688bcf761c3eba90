"""What the simulation promises: it replays, it reaches the dark corners, it finds mutants, and the engine passes it."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from dataclasses import replace

import pytest

from engine.connectors.answers import Verdict
from engine.lab.dst import command, world
from engine.lab.dst.ledgered import BEST, OFF, REQUIRE
from engine.lab.dst.mutants import MUTANTS, mutated
from engine.lab.dst.plan import draw
from engine.lab.dst.reach import reached
from engine.lab.dst.seed import run_seed
from engine.lab.dst.world import World
from engine.memory import layout
from tests.lab.dst.found import HINTS
from tests.lab.dst.hints import SEEDS

CLEAN_SEEDS = range(10_000, 10_200)
SEED = 3
OFTEN, SELDOM = 10, 3
REACHED = {
    **dict.fromkeys(("ACCEPTED", "SAME", "CONFLICT", "FULL", "laps"), OFTEN),
    **dict.fromkeys(("is here again seen", "is here again unseen", "charged before"), OFTEN),
    **dict.fromkeys(("is killed api 0", "is killed dispatcher", "purge asked", "parked"), OFTEN),
    **dict.fromkeys(("has other sizes", "is asked for after a start"), OFTEN),
    **dict.fromkeys(("has its 202 from disk", "accepted by the fast path too"), OFTEN),
    **dict.fromkeys(("finds its lock held", "does not fit", "the doorbell's pipe is removed"), SELDOM),
    **dict.fromkeys(("is asked to stop dispatcher", "stops dispatcher"), OFTEN),
    **dict.fromkeys(("refuses another address", "takes another address"), OFTEN),
    **dict.fromkeys(("wall clock steps", "a day forwards", "a day back", "sums carried"), OFTEN),
    **dict.fromkeys((f"ended {verdict.name}" for verdict in Verdict), OFTEN),
    **dict.fromkeys(("ends: too old", "another amount", "unconfirmed", "dead letters"), OFTEN),
    **dict.fromkeys(("ends: refused", "ends: amount differs", "ends: unconfirmed"), SELDOM),
    **dict.fromkeys(("dead letter: contradictory answers", "dead letter: internal error"), SELDOM),
    **dict.fromkeys(("PAUSE DONE", "RESUME DONE", "ASK DONE", "RETRY NOT_DEAD"), OFTEN),
    **dict.fromkeys(("RETRY DONE", "RETRY MAY_BE_CHARGED"), SELDOM),
    **dict.fromkeys((OFF, BEST, REQUIRE), OFTEN),  # what the ledger is
    **dict.fromkeys(("is killed ledger", "the ledger looks", "the journal is made anew", "SQL is away"), OFTEN),
    **dict.fromkeys(("gap: journal", "gap: ring", "purged rows", "eras after the first", "UNRECORDED"), OFTEN),
    "dead letter: no lookup to be had": 1,
    "CHARGED DONE": 1,
}


def run_command(*words: str) -> int:
    """``python -m engine dst`` with these options."""
    parser = ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


@pytest.mark.timeout(300)
def test_hundreds_of_seeds_pass_and_they_reach_what_they_are_for() -> None:
    counts: Counter[str] = Counter()
    for seed in CLEAN_SEEDS:
        result = run_seed(seed)
        assert result.failure is None, f"seed {seed}: {result.failure}"
        counts += reached(result.world)
        counts[result.world.ledger.plan.mode] += 1
    for what, least in REACHED.items():
        assert counts[what] >= least, f"{what}: {counts[what]}"


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mutant_is_found(name: str) -> None:
    assert HINTS.search(name, HINTS.read().get(name)) is not None


def test_a_mutant_is_gone_afterwards() -> None:
    with mutated("head-first"):
        assert run_seed(0).failure
    assert run_seed(0).failure is None


def test_a_seed_does_the_same_twice() -> None:
    first, second = run_seed(SEED), run_seed(SEED)
    assert first.world.trace.events == second.world.trace.events
    assert first.world.trace.digest() != run_seed(SEED + 1).world.trace.digest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_does_the_same_in_another_process(hash_seed: str) -> None:
    program = f"from engine.lab.dst.seed import run_seed; print(run_seed({SEED}).world.trace.digest())"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == run_seed(SEED).world.trace.digest()


def test_what_the_fast_path_does_otherwise_than_python_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "slot_check", lambda *_: 1)
    assert any("C accepts it otherwise" in (run_seed(seed).failure or "") for seed in SEEDS)


def test_the_fast_path_beside_python_changes_nothing_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = next(seed for seed in SEEDS if World(seed).plan.is_compared)
    beside = run_seed(seed).world
    assert beside.taken > 0
    monkeypatch.setattr(world, "draw", lambda chance: replace(draw(chance), is_compared=False))
    alone = run_seed(seed).world
    assert alone.taken == 0 and alone.trace.digest() == beside.trace.digest()


def test_a_failure_tells_its_story_and_how_to_run_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    with mutated("recovered-as-queued"):
        seed = next(seed for seed in SEEDS if "charged at both" in (run_seed(seed).failure or ""))
    assert run_command("--seed", str(seed), "--mutant", "recovered-as-queued") == 1
    told = capsys.readouterr().out
    assert "once: payment" in told and "charged at both" in told
    assert "last events:" in told and "sends to payment" in told
    assert f"./engine.sh dst --seed {seed} --mutant recovered-as-queued" in told


def test_a_trace_is_printed_with_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--seed", str(SEED), "--trace") == 0
    told = capsys.readouterr().out
    assert "everything heals" in told
    assert f"seed {SEED} passed" in told and run_seed(SEED).world.trace.digest() in told


def test_a_range_ends_with_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--seeds", "0:5") == 0
    assert "5 of 5 seeds, 0 failed" in capsys.readouterr().out
    assert run_command("--seeds", "0:500", "--mutant", "head-first") == 1
    assert "given up at seed" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "5", "5:", "7:7", "a:b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        run_command("--seeds", text)
