"""Durations are counted in buckets that are an eighth of an octave wide, and what the buckets say is that exact."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.memory import metrics_layout as layout
from engine.memory.words import zeros
from engine.metrics import times

LAST = layout.TIMES_BUCKETS - 1
durations = st.one_of(st.integers(0, 1 << 27), st.integers(0, 1 << 60))


@given(durations)
def test_a_duration_is_below_the_bound_of_its_bucket_and_not_below_that_of_the_one_before(us: int) -> None:
    index = times.bucket(us)
    assert index == LAST or us < times.bound_us(index)
    assert index == 0 or us >= times.bound_us(index - 1)


def test_there_are_eight_buckets_for_each_octave_from_64_us_to_67_s() -> None:
    bounds = [times.bound_us(index) for index in range(LAST)]
    assert bounds[0] == 64 and bounds[-1] == 1 << 26 == 67_108_864
    for octave in range(20):
        low = 64 << octave
        assert bounds[octave * 8 : octave * 8 + 9] == [low + low * step // 8 for step in range(9)]


def test_sum_and_buckets_are_those_of_all_that_was_noted() -> None:
    words, chance = zeros(layout.TIMES_WORDS + 3), random.Random(1)
    noted = [chance.randrange(1 << chance.randrange(1, 30)) for _ in range(2000)]
    for us in noted:
        times.note(words, 3, us)
    found = times.copy(words, 3)
    assert found[layout.TIMES_SUM] == sum(noted)
    assert found[: layout.TIMES_SUM] == [sum(times.bucket(us) == index for us in noted) for index in range(LAST + 1)]
    assert times.added([found, found])[layout.TIMES_SUM] == 2 * sum(noted)


@pytest.mark.parametrize("percent", [1, 50, 99, 100])
@given(st.lists(st.integers(0, (1 << 26) - 1), min_size=1, max_size=200))
def test_a_percentile_is_within_one_bucket_of_the_exact_one(percent: int, noted: list[int]) -> None:
    words = zeros(layout.TIMES_WORDS)
    for us in noted:
        times.note(words, 0, us)
    exact = sorted(noted)[-(-len(noted) * percent // 100) - 1]
    assert times.percentile_us(times.copy(words, 0), percent) == times.bound_us(times.bucket(exact))


def test_of_nothing_there_is_no_percentile_and_of_what_took_longest_the_least_that_it_took() -> None:
    assert times.percentile_us([0] * layout.TIMES_BUCKETS, 99) is None
    words = zeros(layout.TIMES_WORDS)
    times.note(words, 0, 10**12)
    assert times.percentile_us(times.copy(words, 0), 50) == 1 << 26
