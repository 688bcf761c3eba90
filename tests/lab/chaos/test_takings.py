"""The report of money is held against the processors' own sums."""

from __future__ import annotations

from engine.lab.chaos import takings
from engine.lab.chaos.takings import Taken

HOUR = 3_600_000
OWN = {("default", 0): Taken(2, 3980, 199, 3781), ("fallback", HOUR): Taken(1, 1990, 298, 1692)}


def test_what_is_the_same_holds_and_a_cent_or_an_hour_more_or_less_does_not() -> None:
    assert takings.check("hour", OWN, OWN).holds
    assert "default 199, fallback 298" in takings.check("hour", OWN, OWN).detail
    for other in (
        OWN | {("default", 0): Taken(2, 3980, 200, 3780)},
        OWN | {("default", 0): Taken(2, 3980, None, None)},
        OWN | {("default", HOUR): Taken(1, 1, 0, 1)},
        {("default", 0): OWN["default", 0]},
        {},
    ):
        assert not takings.check("hour", other, OWN).holds
    assert not takings.check("hour", {}, {}).holds


def test_a_run_is_held_against_whole_steps() -> None:
    span = takings.stretch(3599.5, 3600.0, "hour")
    assert (span.from_ms, span.to_ms, span.step_ms) == (0, 2 * HOUR, HOUR)
