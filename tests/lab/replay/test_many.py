"""Many scenarios: the figures of each policy, and which seeds to look at."""

from __future__ import annotations

import pytest

from engine import settings as settings_module
from engine.lab.replay.many import Row, Score, play_seed, play_seeds, summarize


def row(seed: int, too_long: tuple[str, ...] = (), **ratios: float) -> Row:
    scores = {name: Score(ratio, seed % 2, seed, name not in too_long, seed, []) for name, ratio in ratios.items()}
    return Row(seed, "", 100, scores)


def test_the_summary_says_mean_worst_and_which_was_first() -> None:
    rows = [row(1, ours=0.99, simple=0.97), row(2, ours=0.95, simple=0.9509), row(3, ours=0.90, simple=0.96)]
    ours, simple = summarize(rows)
    assert ours.mean == pytest.approx((0.99 + 0.95 + 0.90) / 3)
    assert (ours.worst, ours.worst_seeds) == (0.90, [3, 2, 1])
    assert ours.first == pytest.approx(2 / 3)  # the second is as good as equal
    assert simple.first == pytest.approx(2 / 3)
    assert (ours.audits_missed, ours.voluntary_ms, ours.wasted) == (2, 3, 2)


def test_a_policy_that_lets_payments_wait_too_long_is_not_ranked_but_said_to_be_first_by_net() -> None:
    rows = [row(1, ours=0.99, patient=1.0), row(2, ("patient",), ours=0.98, patient=1.0), row(3, ours=0.9, patient=0.8)]
    ours, patient = summarize(rows)
    assert [ours.first, ours.first_by_net] == pytest.approx([2 / 3, 1 / 3])
    assert [patient.first, patient.first_by_net] == pytest.approx([1 / 3, 2 / 3])
    assert (ours.bound_broken, patient.bound_broken) == (0, 1)


def test_no_policy_is_first_where_none_kept_the_bound() -> None:
    (ours,) = summarize([row(1, ("ours",), ours=0.99)])
    assert (ours.first, ours.first_by_net) == (0, 1)


def test_many_processes_find_what_one_does() -> None:
    settings = settings_module.read({})
    rows = sorted(play_seeds(range(57, 59), ["ours"], settings, jobs=2), key=lambda row: row.seed)
    assert rows == [play_seed(seed, ["ours"], settings) for seed in (57, 58)]
