"""Latencies of millions of requests in constant memory: counts in buckets that grow with the value. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

# Of each value its highest so many bits are kept: a bucket is at most 1/64 wide of what is in it.
BITS = 7
_BELOW = 1 << BITS
_HALF_BITS = BITS - 1


def bucket(value: int) -> int:
    """The number of the bucket of a value from 0 on; buckets are in the order of their values."""
    if value < _BELOW:
        return value
    shift = value.bit_length() - BITS
    return (shift << _HALF_BITS) + (value >> shift)


def highest(number: int) -> int:
    """The highest value in a bucket."""
    if number < _BELOW:
        return number
    shift = (number >> _HALF_BITS) - 1
    return (((number - (shift << _HALF_BITS)) + 1) << shift) - 1


class Histogram:
    """Values, whole numbers from 0 on, as how many of them are in each bucket; and the highest of them, exactly."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.max = 0

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, value: int) -> None:
        """Takes one value."""
        self.counts[bucket(value)] += 1
        if value > self.max:
            self.max = value

    def merge(self, counts: Mapping[int, int], highest_value: int) -> None:
        """Takes all of another one."""
        self.counts.update(counts)
        self.max = max(self.max, highest_value)

    def quantile(self, share: float) -> int:
        """A value that ``share`` of all are not above, at most 1/64 too high; 0 when there are none."""
        wanted = share * len(self)
        for number in sorted(self.counts):
            wanted -= self.counts[number]
            if wanted <= 0:
                return min(highest(number), self.max)
        return self.max
