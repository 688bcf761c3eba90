"""Latencies in constant memory: quantiles are right to 1/64, and parts add up."""

from __future__ import annotations

import random

import pytest

from engine.lab.soak.histogram import Histogram, bucket, highest


def test_buckets_are_in_order_and_narrow() -> None:
    values = [*range(2000), *(2**power + offset for power in range(11, 40) for offset in (-1, 0, 1))]
    numbers = [bucket(value) for value in values]
    assert numbers == sorted(numbers)
    for value, number in zip(values, numbers, strict=True):
        assert value <= highest(number) <= value * (1 + 1 / 64)


@pytest.mark.parametrize("share", [0.5, 0.99, 0.999, 1.0])
def test_a_quantile_is_at_most_a_64th_too_high(share: float) -> None:
    chance = random.Random(1)
    values = sorted(int(chance.lognormvariate(6, 1.5)) for _ in range(10_000))
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = values[int(share * len(values)) - 1]
    assert exact <= histogram.quantile(share) <= exact * (1 + 1 / 64)


def test_windows_add_up_to_the_whole() -> None:
    whole, merged = Histogram(), Histogram()
    for part in range(3):
        one = Histogram()
        for value in range(part, 5000, 3):
            whole.add(value)
            one.add(value)
        merged.merge(one.counts, one.max)
    assert (merged.counts, merged.max, len(merged)) == (whole.counts, whole.max, 5000)


def test_of_nothing_every_quantile_is_0() -> None:
    assert Histogram().quantile(0.99) == 0
