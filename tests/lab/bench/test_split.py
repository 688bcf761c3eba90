"""The search for a split: all have one sum and take turns, the shipped one stays to the end, and the best is found."""

from __future__ import annotations

import io
import itertools
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from engine.lab.bench import split
from engine.lab.bench.figures import RampRound
from engine.lab.bench.split import Split
from engine.lab.machine.limits import Limit, of_compose_file
from tests.lab.bench.rounds import ramp_round

SHIPPED = of_compose_file()


def p99_ms(tried: Split) -> float:
    """Best where nginx has 0.50 and each API process 0.30."""
    return 1 + float(abs(tried.nginx - Decimal("0.5")) + abs(tried.api - Decimal("0.3")))


def test_every_split_has_the_sum_of_the_shipped_one_which_is_the_first() -> None:
    found = split.candidates(SHIPPED)
    assert found[0] == split.of_limits(SHIPPED) and len(found) == len(set(found)) >= 5
    for each in found:
        limits = each.limits(SHIPPED)
        assert sum(limit.cpus for limit in limits.values()) == sum(limit.cpus for limit in SHIPPED.values())
        assert {name: limit.memory_bytes for name, limit in limits.items()} == {
            name: limit.memory_bytes for name, limit in SHIPPED.items()
        }
        assert each.dispatcher >= split.DISPATCHER_CPUS_MIN and split.of_limits(limits) == each


def test_limits_that_are_no_split_are_refused() -> None:
    with pytest.raises(ValueError):
        split.of_limits({"nginx": Limit(Decimal(1), 1)})
    with pytest.raises(ValueError):
        split.of_limits(SHIPPED | {"api-1": Limit(Decimal("0.1"), 1)})


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 19, 64])
def test_halving_ends_with_few_splits_that_have_the_most_rounds(count: int) -> None:
    rungs = split.rungs(count)
    assert rungs[0][0] == count and rungs[-1][0] <= split.FINALISTS
    for (before, _), (after, rounds) in itertools.pairwise(rungs):
        assert after < before and rounds >= 1


def test_the_best_is_found_and_the_shipped_one_is_measured_to_the_end() -> None:
    held: list[Split] = []

    def measure(tried: Split) -> RampRound:
        held.append(tried)
        return ramp_round(p99_ms(tried))

    candidates = split.candidates(SHIPPED)
    tried = split.search(candidates, measure)
    assert len(held) <= split.rounds_in_all(len(candidates))
    assert tried[0].split == Split(Decimal("0.5"), Decimal("0.3"), Decimal("0.4"))
    shipped = next(each for each in tried if each.split == candidates[0])
    assert len(shipped.rounds) == len(tried[0].rounds) == max(len(each.rounds) for each in tried)
    assert len(tried) == len(candidates)
    last = len(tried[0].rounds)
    assert {each.split for each in tried if len(each.rounds) == last} == set(held[-1 : -2 * split.FINALISTS : -1])


def test_the_result_names_the_best_and_the_place_of_the_shipped_one() -> None:
    candidates = split.candidates(SHIPPED)
    outcome = split.result(split.search(candidates, lambda each: ramp_round(p99_ms(each))), candidates[0], 20.0)
    assert outcome["passed"] and outcome["best"] == "0.50 / 0.30 / 0.40"
    better = sum(p99_ms(each) < p99_ms(candidates[0]) for each in candidates)
    assert outcome["shipped_place"] == better + 1 and outcome["shipped"] == candidates[0].name
    assert outcome["is_clear"] and "take the best" in shown(outcome)
    broken = split.search(candidates, lambda _each: ramp_round(1.0, "books differ"))
    assert not split.result(broken, candidates[0], 20.0)["passed"]


def test_a_best_one_whose_rounds_overlap_with_the_shipped_ones_is_no_reason_to_change() -> None:
    candidates = split.candidates(SHIPPED)[:2]
    tried = [split.Tried(candidates[1], [ramp_round(1.0), ramp_round(3.0)])]
    tried.append(split.Tried(candidates[0], [ramp_round(2.5), ramp_round(2.0)]))
    overlapping = split.result(tried, candidates[0], 20.0)
    assert not overlapping["is_clear"] and "no reason to change" in shown(overlapping)


def shown(outcome: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=120)
    split.print_table(outcome, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
