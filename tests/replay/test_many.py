"""Many scenarios: the figures of each policy, and which seeds to look at."""

from __future__ import annotations

import pytest

from engine import settings as settings_module
from engine.replay.many import Row, Score, play_seed, play_seeds, summarize


def row(seed: int, **ratios: float) -> Row:
    return Row(seed, "", 100, {name: Score(ratio, seed % 2, seed, seed, []) for name, ratio in ratios.items()})


def test_the_summary_says_mean_worst_and_who_was_first() -> None:
    rows = [row(1, ours=0.99, simple=0.97), row(2, ours=0.95, simple=0.9504), row(3, ours=0.90, simple=0.96)]
    ours, simple = summarize(rows)
    assert ours.mean == pytest.approx((0.99 + 0.95 + 0.90) / 3)
    assert (ours.worst, ours.worst_seeds) == (0.90, [3, 2, 1])
    assert ours.first == pytest.approx(2 / 3)  # the second is as good as equal
    assert simple.first == pytest.approx(2 / 3)
    assert (ours.audits_missed, ours.voluntary_ms, ours.wasted) == (2, 3, 2)


def test_many_processes_find_what_one_does() -> None:
    settings = settings_module.read({})
    rows = sorted(play_seeds(range(57, 59), ["ours"], settings, jobs=2), key=lambda row: row.seed)
    assert rows == [play_seed(seed, ["ours"], settings) for seed in (57, 58)]
