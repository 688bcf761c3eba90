"""What the simulation of cells promises: it replays, it reaches the dark corners, and it finds mutants."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter

import pytest

from engine.lab.dst import command
from engine.lab.dst.cells.mutants import MUTANTS, mutated
from engine.lab.dst.cells.reach import reached
from engine.lab.dst.cells.seed import run_seed
from tests.cluster.found import HINTS

CLEAN_SEEDS = range(100_000, 100_040)
SEED = 3
REACHED = (
    *("accept NEW", "accept SAME", "accept CONFLICT", "pin NEW", "pin SAME", "conclude NEW", "conclude SAME"),
    *("adopted", "join", "leave", "purge", "the store restarts", "the store refuses", "is killed", "stands still"),
    *("is cut off from the store", "is cut off from a processor", "its clock is set", "asks for the health of"),
    "is told of health",
    *("stands still with something in its hands", "complete books looked at", "ends SETTLED", "ends GIVEN_UP"),
    "dead letters in the end",
)


def run_command(*words: str) -> int:
    """``python -m engine dst`` with these options."""
    parser = ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


@pytest.mark.timeout(300)
def test_seeds_pass_and_they_reach_what_they_are_for() -> None:
    counts: Counter[str] = Counter()
    for seed in CLEAN_SEEDS:
        result = run_seed(seed)
        assert result.failure is None, f"seed {seed}: {result.failure}"
        counts += reached(result.world)
    assert not [what for what in REACHED if not counts[what]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mutant_is_found(name: str) -> None:
    assert HINTS.search(name, HINTS.read().get(name)) is not None


def test_a_mutant_is_gone_afterwards() -> None:
    seed = HINTS.read()["open-pin-moves"]
    with mutated("open-pin-moves"):
        assert run_seed(seed).failure
    assert run_seed(seed).failure is None


def test_a_seed_does_the_same_twice() -> None:
    first, second = run_seed(SEED), run_seed(SEED)
    assert first.world.trace.events == second.world.trace.events
    assert first.world.trace.digest() != run_seed(SEED + 1).world.trace.digest()


def test_the_number_of_cells_can_be_said() -> None:
    assert len(run_seed(SEED, 2).world.machines) == 2


def test_the_command_runs_cells_and_says_how_to_run_a_seed_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--cells", "3", "--seeds", "0:2", "--reached") == 0
    assert "2 of 2 seeds, 0 failed" in capsys.readouterr().out
    seed = HINTS.read()["open-pin-moves"]
    assert run_command("--cells", "0", "--seed", str(seed), "--mutant", "open-pin-moves") == 1
    assert f"./engine.sh dst --cells 0 --seed {seed} --mutant open-pin-moves" in capsys.readouterr().out


def test_a_mutant_of_the_other_simulation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--seed", "0", "--mutant", "open-pin-moves") == 2
    assert run_command("--cells", "2", "--seed", "0", "--mutant", "head-first") == 2
    assert "other simulation" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["-1", "9", "x", ""])
def test_what_is_no_number_of_cells_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        run_command("--cells", text, "--seed", "0")
