"""The order of contests, and which points go on: every call says the same, whenever the run was interrupted."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.lab.tune import plan as plans
from engine.lab.tune.objective import Run
from engine.lab.tune.plan import Rung, Slot
from tests.lab.tune.plans import BATCH, PAUSE, brought, plan, play


def by_number(slot: Slot) -> Run:
    """The higher a point's number, the better it is; rounds differ a little."""
    return brought(100.0 - slot.point + slot.round / 10)


def test_a_grid_holds_every_point_in_every_round_one_round_after_the_other() -> None:
    grid = plan(rounds=3)
    slots = list(play(grid, by_number))
    assert len(slots) == len(set(slots)) == plans.runs_in_all(grid) == 18
    assert [slot.round for slot in slots] == [0] * 6 + [1] * 6 + [2] * 6
    orders = [[slot.point for slot in slots[at : at + 6]] for at in (0, 6, 12)]
    assert all(sorted(order) == [0, 1, 2, 3, 4, 5] for order in orders)
    assert orders[0] != orders[1] != orders[2], "a drift of the machine would favour the same points every time"
    assert [slot.point for slot in play(plan(rounds=3, seed=2), by_number)] != [slot.point for slot in slots]


@pytest.mark.parametrize("halving", [False, True])
def test_an_interrupted_run_goes_on_with_the_same_contests(halving: bool) -> None:
    whole = play(plan(halving=halving), by_number)
    for held in range(len(whole)):
        part = dict(list(whole.items())[:held])
        assert plans.next_slot(plan(halving=halving), part) == list(whole)[held]
    assert plans.next_slot(plan(halving=halving), whole) is None


def test_halving_gives_half_of_the_points_twice_the_time() -> None:
    halving = plan(f"{PAUSE}=1..16", halving=True, seconds=40)
    assert plans.rungs(halving) == (Rung(16, 5.0), Rung(8, 10.0), Rung(4, 20.0), Rung(2, 40.0))
    assert Counter(slot.rung for slot in play(halving, by_number)) == {0: 32, 1: 16, 2: 8, 3: 4}
    assert plans.runs_in_all(halving) == 60


@pytest.mark.parametrize(
    ("points", "expected"), [(2, [2]), (3, [3, 2]), (5, [5, 3, 2]), (6, [6, 3, 2]), (9, [9, 5, 3, 2])]
)
def test_of_an_odd_number_the_larger_half_goes_on_until_two_are_left(points: int, expected: list[int]) -> None:
    assert [rung.entrants for rung in plans.rungs(plan(f"{PAUSE}=1..{points}", halving=True))] == expected


def test_contests_of_halving_are_not_shorter_than_the_shortest_nor_longer_than_the_longest() -> None:
    many = plan(f"{PAUSE}=1..60", halving=True, seconds=30)
    assert [rung.seconds for rung in plans.rungs(many)] == [5.0, 5.0, 5.0, 7.5, 15.0, 30.0]


def test_the_better_half_goes_on_by_the_median_of_its_rounds() -> None:
    halving = plan(f"{PAUSE}=1..4", halving=True, rounds=3)
    p99s_ms = {0: (9, 1, 9), 1: (2, 3, 50), 2: (8, 8, 8), 3: (5, 4, 6)}
    finished = play(halving, lambda slot: brought(p99s_ms[slot.point][slot.round]))
    assert {slot.point for slot in finished if slot.rung == 1} == {1, 3}
    assert plans.standing(halving, finished) == [(1, 1), (3, 1), (2, 0), (0, 0)]


def test_no_point_goes_on_before_the_rung_is_over() -> None:
    halving = plan(halving=True)
    before = play(halving, by_number, runs_max=11)
    assert plans.entrants(halving, 1, before) is None
    assert plans.entrants(halving, 1, play(halving, by_number, runs_max=12)) == [3, 4, 5]


def test_a_point_that_breaks_a_promise_does_not_go_on_however_good_it_is() -> None:
    halving = plan(f"{PAUSE}=1..4", halving=True)
    finished = play(halving, lambda slot: brought(slot.point, broken="lost one" if slot == Slot(0, 1, 0) else ""))
    assert {slot.point for slot in finished if slot.rung == 1} == {1, 2}


def test_a_point_that_breaks_a_promise_in_the_last_rung_stands_behind_the_good_ones() -> None:
    halving = plan(f"{PAUSE}=1..3", halving=True)
    finished = play(halving, lambda slot: brought(slot.point, broken="x" if slot.rung == 1 and slot.point == 0 else ""))
    assert plans.standing(halving, finished) == [(1, 1), (2, 0), (0, 1)]


def test_the_time_left_counts_every_contest_that_is_not_held_yet() -> None:
    halving = plan(f"{PAUSE}=1..4", f"{BATCH}=8", halving=True, seconds=20)
    assert plans.left_s(halving, {}, overhead_s=5) == 2 * (4 * (10 + 5) + 2 * (20 + 5))
    assert plans.left_s(halving, play(halving, by_number, runs_max=9), overhead_s=5) == 3 * 25
    assert plans.left_s(halving, play(halving, by_number), overhead_s=5) == 0
