"""What the engine is to reach, and whether it did: medians of the rounds against figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.lab.bench.figures import RampRound, SaturationRound, ratios, spread

P99_TO_FLOOR_MAX = 3.0
P999_MS_MAX = 10.0
THROTTLED_PERCENT_MAX = 1.0
CPU_US_MAX = 220.0
ACCEPTED_PER_S_MIN = 20_000.0
DRAIN_PER_S_MIN = 8_000.0


@dataclass(frozen=True)
class Check:
    """One target. ``is_most``: the value may be at most the target, else it must be at least that."""

    what: str
    value: float
    target: float
    unit: str
    is_most: bool

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.value <= self.target if self.is_most else self.value >= self.target


def of_ramp(floor: Sequence[RampRound], engine: Sequence[RampRound]) -> list[Check]:
    """The targets under the contest's load, of at least one round. Throttling counts where limits were applied."""
    p99 = ratios([each.latency_ms["p99"] for each in engine], [each.latency_ms["p99"] for each in floor])
    checks = [
        Check("p99 of accepting", p99.median, P99_TO_FLOOR_MAX, "x the floor's", True),
        Check("p99.9 of accepting", spread(e.latency_ms["p99.9"] for e in engine).median, P999_MS_MAX, "ms", True),
        Check("CPU for each settled payment", spread(e.cpu_us_all for e in engine).median, CPU_US_MAX, "us", True),
    ]
    if all(each.throttled for each in engine):
        throttled = spread(each.throttled_percent_max for each in engine).median
        checks.append(Check("periods throttled, worst service", throttled, THROTTLED_PERCENT_MAX, "%", True))
    return checks


def of_saturation(engine: Sequence[SaturationRound]) -> list[Check]:
    """The targets under a saturating load, of at least one round."""
    accepted = spread(each.accepted_per_s for each in engine).median
    drained = spread(each.drain_per_s for each in engine).median
    return [
        Check("accepted at saturation", accepted, ACCEPTED_PER_S_MIN, "/s", False),
        Check("settled while the backlog drains", drained, DRAIN_PER_S_MIN, "/s", False),
    ]
