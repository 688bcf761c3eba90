"""Which fees are assumed, and how rarely a processor that does not tell its fee is queried."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.routing.fees import ASSUMED_PPM, PPM, believed_ppm
from engine.routing.queries import FEE_FIRST_MS, FEE_LAST_MS, fee_wait_ms

APART_PPM = ASSUMED_PPM[1] - ASSUMED_PPM[0]


def test_without_a_word_fallback_is_the_dearer_one() -> None:
    assert believed_ppm(-1, -1) == ASSUMED_PPM
    assert 0 < ASSUMED_PPM[0] < ASSUMED_PPM[1] < PPM


@pytest.mark.parametrize("known", [(70_000, 100_000), (100_000, 20_000), (0, 0)])
def test_what_is_known_is_believed(known: tuple[int, int]) -> None:
    assert believed_ppm(*known) == known


def test_one_that_is_not_known_is_as_far_from_the_other_as_assumed() -> None:
    assert believed_ppm(200_000, -1) == (200_000, 200_000 + APART_PPM)
    assert believed_ppm(-1, 200_000) == (200_000 - APART_PPM, 200_000)
    assert believed_ppm(-1, 0) == (0, 0)
    assert believed_ppm(PPM, -1) == (PPM, PPM)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ((-1, -1, -1), (ASSUMED_PPM[0], ASSUMED_PPM[1], ASSUMED_PPM[1])),
        ((70_000, -1, -1), (70_000, 70_000 + APART_PPM, 70_000 + APART_PPM)),
        ((-1, 200_000, -1, 300_000), (200_000 - APART_PPM, 200_000, 200_000, 300_000)),
        ((-1, 0, PPM), (0, 0, PPM)),
    ],
)
def test_of_a_longer_list_each_that_is_not_known_is_assumed_in_the_same_way(
    told: tuple[int, ...], believed: tuple[int, ...]
) -> None:
    assert believed_ppm(*told) == believed


def test_one_that_does_not_tell_its_fee_is_asked_ever_more_rarely() -> None:
    waits_ms = [fee_wait_ms(refused) for refused in range(100)]
    assert waits_ms[0] == waits_ms[1] == FEE_FIRST_MS
    assert all(after == min(2 * before, FEE_LAST_MS) for before, after in pairwise(waits_ms[1:]))
    assert waits_ms[-1] == FEE_LAST_MS
    assert fee_wait_ms(10**9) == FEE_LAST_MS
