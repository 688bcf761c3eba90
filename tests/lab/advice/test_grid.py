"""Settings are tried within bounds, and nothing is advised that is not more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from engine import settings as settings_module
from engine.lab.advice import grid
from engine.lab.advice.grid import Changes, Outcome, Try
from engine.ledger.advice import Change, Earned, Window
from engine.setting_groups import RoutingSettings

SETTINGS = settings_module.read({"ENGINE_WAIT_MAX_MS": "500"})
REPLAYED = Earned(1000_00, 100_00, 50)


def window(was_cents: int = 1000_00) -> Window:
    was, oracle = Earned(was_cents, 100_00, 50), Earned(1050_00, 50_00, None)
    return Window(0, 1, 10, 1100_00, 0, was, REPLAYED, oracle, 1, "ccba24d")


def outcome(gain_cents: int, *changes: Change) -> Outcome:
    return Outcome(changes, Earned(1000_00 + gain_cents, 90_00, 60))


WAIT, SUSPECT = Change("ENGINE_WAIT_MAX_MS", 500, 2000), Change("ENGINE_SUSPECT_MS", 40, 80)


def test_every_variable_of_the_routing_is_tried_or_is_said_not_to_be() -> None:
    assert sorted([*(one.field for one in grid.TRIED), *grid.NOT_TRIED]) == sorted(
        one.name for one in fields(RoutingSettings)
    )


def test_values_are_within_their_bounds_and_contradict_nothing() -> None:
    bounds = {one.name: (one.low, one.high) for one in grid.TRIED}
    tries = grid.singles(SETTINGS)
    for one in tries:
        (change,) = one.changes
        low, high = bounds[change.variable]
        assert low <= change.advised <= high and change.advised != change.now
        differing = [field for field in vars(one.settings.routing)
                     if getattr(one.settings.routing, field) != getattr(SETTINGS.routing, field)]  # fmt: skip
        assert len(differing) == 1
    assert {one.changes[0].advised for one in tries if one.changes[0].variable == WAIT.variable} == {
        125, 250, 1000, 2000, 10_000,
    }  # fmt: skip
    # In flight at least 16 and at most 16: less than the one, or more than the other, cannot be.
    narrow = settings_module.read({"ENGINE_IN_FLIGHT_MIN": "20", "ENGINE_IN_FLIGHT_MAX": "20"})
    tried = [one.changes[0] for one in grid.singles(narrow)]
    assert not [one for one in tried if one.variable == "ENGINE_IN_FLIGHT_MAX" and one.advised < 20]
    assert not [one for one in tried if one.variable == "ENGINE_IN_FLIGHT_MIN" and one.advised > 20]


def test_the_search_is_bounded_and_pairs_the_best() -> None:
    played = list[Sequence[Try]]()

    def play(tries: Sequence[Try]) -> dict[Changes, Earned]:
        played.append(tries)
        return {one.changes: Earned(1000_00 + sum(change.advised for change in one.changes), 0, 0) for one in tries}

    found = list(grid.search(SETTINGS, REPLAYED, play))
    assert sum(map(len, played)) == sum(map(len, found)) <= grid.REPLAYS_MAX - 1
    pairs = [{change.variable for change in one.changes} for one in played[1]]
    assert len(pairs) == 6 and all(len(one) == 2 for one in pairs)
    assert {variable for one in pairs for variable in one} == {
        "ENGINE_WAIT_SHARE_PPM", "ENGINE_HEALTH_INTERVAL_MS", "ENGINE_WAIT_MAX_MS", "ENGINE_WAIT_COST_PPM",
    }  # fmt: skip


def test_what_gains_most_is_advised_with_its_figure() -> None:
    first, second = grid.advise(window(), [outcome(10_00, SUSPECT), outcome(20_00, WAIT), outcome(5_00, WAIT)])
    assert (first.changes, second.changes) == ((WAIT,), (SUSPECT,))
    assert first.advised == Earned(1020_00, 90_00, 60)
    assert "ENGINE_WAIT_MAX_MS from 500 to 2000 would have earned 20.00 more" in first.verdict
    assert "wait 60.0 ms in the mean, instead of 50.0 ms" in first.verdict


def test_nothing_is_advised_whose_gain_is_within_the_models_error() -> None:
    for was_cents in (1000_00 - 9_00, 1000_00 + 9_00):
        (one,) = grid.advise(window(was_cents), [outcome(9_00, WAIT), outcome(-5_00, SUSPECT)])
        assert one.changes == () and one.advised is None
        assert "nothing to advise: the best of 2 settings gains 9.00" in one.verdict
        assert "model error 9.00" in one.verdict
    (one,) = grid.advise(window(1000_00 - 8_99), [outcome(9_00, WAIT)])
    assert one.changes == (WAIT,)


def test_a_replay_that_is_far_from_what_was_earned_advises_nothing_however_great_the_gain() -> None:
    for was_cents in (1000_00 - 20_00, 1000_00 + 20_00):
        (one,) = grid.advise(window(was_cents), [outcome(900_00, WAIT)])
        assert one.changes == () and one.advised is None
        assert "nothing to advise: the replay differs by 20.00" in one.verdict and "more than 1% of it" in one.verdict


def test_a_model_without_error_is_no_reason_to_advise_next_to_nothing() -> None:
    (one,) = grid.advise(window(), [outcome(1_00, WAIT)])
    assert one.advised is None and "less than 1.00 is noise" in one.verdict
    (one,) = grid.advise(window(), [])
    assert one.advised is None and "the best of 0 settings gains 0.00" in one.verdict


def test_a_pair_is_advised_when_it_is_better_than_either_alone() -> None:
    alone = [outcome(20_00, WAIT), outcome(10_00, SUSPECT)]
    assert [one.changes for one in grid.advise(window(), [*alone, outcome(20_50, WAIT, SUSPECT)])] == [
        (WAIT,), (SUSPECT,),
    ]  # fmt: skip
    first, *_ = grid.advise(window(), [*alone, outcome(30_00, WAIT, SUSPECT)])
    assert (
        first.changes == (WAIT, SUSPECT) and "ENGINE_SUSPECT_MS from 40 to 80 would have earned 30.00" in first.verdict
    )


def test_of_two_values_that_earn_the_same_the_nearer_one_is_advised() -> None:
    far = Change("ENGINE_WAIT_MAX_MS", 500, 10_000)
    (one,) = grid.advise(window(), [outcome(20_00, far), outcome(20_00, WAIT)])
    assert one.changes == (WAIT,)
