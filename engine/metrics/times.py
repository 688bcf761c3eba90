"""Log-linear histograms of durations: which bucket a duration is in, and what the buckets say. Pure.

The words are described in :mod:`engine.memory.metrics_layout`. ``fast_path_note()`` of ``engine/intake/fast_path.c``
does the same as :func:`note` here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.memory.metrics_layout import (
    TIMES_BUCKETS,
    TIMES_HIGH_BITS,
    TIMES_LOW_BITS,
    TIMES_STEP_BITS,
    TIMES_SUM,
)
from engine.memory.words import WORD_MAX, Words

_STEPS: Final = 1 << TIMES_STEP_BITS


def bucket(us: int) -> int:
    """The bucket of a duration in us, which is 0 or more."""
    if us >> TIMES_HIGH_BITS:
        return TIMES_BUCKETS - 1
    if not us >> TIMES_LOW_BITS:
        return 0
    shift = us.bit_length() - 1 - TIMES_STEP_BITS  # it leaves the first bit, and those that say which step it is
    octave = shift - (TIMES_LOW_BITS - TIMES_STEP_BITS)
    return (octave << TIMES_STEP_BITS) + (us >> shift) - _STEPS + 1


def bound_us(index: int) -> int:
    """The duration in us below which everything in bucket ``index`` is; the last bucket has no bound."""
    assert index < TIMES_BUCKETS - 1
    octave, step = divmod(index - 1, _STEPS)
    return 1 << TIMES_LOW_BITS if index == 0 else _STEPS + step + 1 << TIMES_LOW_BITS - TIMES_STEP_BITS + octave


def note(words: Words, at: int, us: int) -> None:
    """Counts a duration in the times at ``at``; the caller is their one writer."""
    words[at + bucket(us)] += 1
    words[at + TIMES_SUM] = words[at + TIMES_SUM] + us & WORD_MAX


def copy(words: Words, at: int) -> list[int]:
    """The buckets and the sum of the times at ``at``, as they are now."""
    return [words[index] for index in range(at, at + TIMES_SUM + 1)]


def added(several: Sequence[Sequence[int]]) -> list[int]:
    """The buckets and sums of several times together."""
    return [sum(values) for values in zip(*several, strict=True)]


def percentile_us(buckets: Sequence[int], percent: int) -> int | None:
    """What at least ``percent`` of 100 durations did not reach, in us: the bound of a bucket. None: there are none.

    In the last bucket it is the least that its durations can have been.
    """
    left = -(-sum(buckets[:TIMES_BUCKETS]) * percent // 100)
    if left == 0:
        return None
    for index, count in enumerate(buckets[: TIMES_BUCKETS - 1]):
        left -= count
        if left <= 0:
            return bound_us(index)
    return 1 << TIMES_HIGH_BITS
