"""Times that differ from case to case, without a number being drawn."""

from __future__ import annotations

import pytest

from engine.lab.replay.model import Spread, share_of
from engine.lab.replay.pace import ASKED_LATER, BOOKED_LATER
from engine.processors import DEFAULT, FALLBACK

STEPPED = Spread(((0.0, -100), (0.5, 0), (0.5000001, 200), (1.0, 1000)))


@pytest.mark.parametrize(
    ("share", "time_us"), [(0.0, -100), (0.25, -50), (0.5, 0), (0.6, 360), (0.75, 600), (1.0, 1000)]
)
def test_a_spread_runs_straight_from_quantile_to_quantile(share: float, time_us: int) -> None:
    assert STEPPED.at(share) == time_us


def test_a_spread_that_is_always_the_same_is() -> None:
    assert {Spread.always(7).at(share) for share in (0.0, 0.3, 1.0)} == {7}


@pytest.mark.parametrize(
    "quantiles", [((0.0, 1), (0.9, 2)), ((0.1, 1), (1.0, 2)), ((0.0, 1), (0.0, 2), (1.0, 3)), ((0.0, 2), (1.0, 1))]
)
def test_a_spread_without_order_is_refused(quantiles: tuple[tuple[float, int], ...]) -> None:
    with pytest.raises(ValueError, match="must"):
        Spread(quantiles)


def test_shares_of_names_are_even_and_the_same_again() -> None:
    moments = range(0, 10_000_000, 10_000)
    names = [("generated:17", at_us, processor) for at_us in moments for processor in (DEFAULT, FALLBACK)]
    shares = [share_of(*name) for name in names]
    assert shares == [share_of(*name) for name in names]
    tenths = [sum(int(share * 10) == tenth for share in shares) for tenth in range(10)]
    assert min(tenths) > 150
    assert max(tenths) < 250


@pytest.mark.parametrize(("spread", "median_us"), [(ASKED_LATER, 389), (BOOKED_LATER, 300)])
def test_shares_go_through_a_spread_as_it_was_measured(spread: Spread, median_us: int) -> None:
    times_us = sorted(spread.at(share_of("scene", number)) for number in range(2001))
    assert times_us[1000] == pytest.approx(median_us, abs=60)
    assert times_us[0] < spread.at(0.01)
    assert times_us[-1] > spread.at(0.99)
