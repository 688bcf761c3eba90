"""Generator, oracle and rival policies give what they gave: figures of old measurements stay comparable.

``python -m tests.lab.replay.test_frozen`` writes ``frozen.json`` anew, after a change that is meant to move them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from engine import settings as settings_module
from engine.lab.replay.generate import generate, to_toml
from engine.lab.replay.load import arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.oracle import best
from engine.lab.replay.play import play
from engine.lab.replay.policies import OURS, POLICIES

PATH = Path(__file__).with_name("frozen.json")
SEEDS = range(25)  # every kind of trouble is among them
PLAYED = (16, 46)  # seeds that every rival policy plays: short ones, which have every kind of trouble but a slow end


def _digest(value: object) -> str:
    return hashlib.blake2b(str(value).encode(), digest_size=16).hexdigest()


def _scenario(seed: int) -> dict[str, Any]:
    """What is frozen of one scenario: a hash of it, and all figures of the oracle."""
    scenario = generate(seed)
    load = arrivals(scenario.load)
    most = best(scenario, [at_us // 1000 for at_us in load.accepted_us], Model(), load.end_us // 1000)
    oracle = [most.on_default, most.on_fallback, most.left, str(most.net), _digest(most.series)]
    return {"scenario": _digest(to_toml(scenario)), "oracle": oracle}


def _rivals(seed: int) -> dict[str, str]:
    """A hash of all that a scenario gives with each policy that ours is compared with."""
    names = [name for name in POLICIES if name != OURS]
    results = play(generate(seed), names, settings_module.read({})).results
    return {name: _digest(astuple(result)) for name, result in results.items()}


def _all() -> Iterator[tuple[str, Any]]:
    yield "scenarios", {str(seed): _scenario(seed) for seed in SEEDS}
    yield "rivals", {str(seed): _rivals(seed) for seed in PLAYED}


@pytest.fixture(scope="module")
def frozen() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(PATH.read_text())
    return content


def test_scenarios_and_what_the_oracle_makes_of_them_are_as_ever(frozen: dict[str, Any]) -> None:
    assert {str(seed): _scenario(seed) for seed in SEEDS} == frozen["scenarios"]


@pytest.mark.parametrize("seed", PLAYED)
def test_rival_policies_do_what_they_always_did(seed: int, frozen: dict[str, Any]) -> None:
    assert _rivals(seed) == frozen["rivals"][str(seed)]


if __name__ == "__main__":
    PATH.write_text(json.dumps(dict(_all()), indent=1) + "\n")
