"""What is measured of a run, and which of two points is better. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Json = dict[str, Any]

# The share of requests that were not accepted above which a point is not taken for a good one, where the objective
# itself does not count them: a ring that refuses half of the load has a fine p99.
LOST_SHARE_MAX = 0.001

# What is kept of a run, with units in the names; the first two are in currency units. `others_cores` is what neither
# the engine nor the contest used: other work on the machine, which makes a run worse.
MEASURES = (
    "score", "net", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms",
    "requested", "accepted", "lost", "settled", "lag", "drain_s",
    "cpu_us", "cpu_us_api", "cpu_us_dispatcher", "cpu_us_nginx", "cores_peak", "memory_mb", "throttled_percent",
    "audits_differed", "charged_twice", "others_cores",
)  # fmt: skip

# The value of each of MEASURES; what was not seen is not there.
Measures = Mapping[str, float]


@dataclass(frozen=True)
class Objective:
    """What a tuning run looks for.

    Parameters:
      name: as it is given on the command line.
      measure: one of :data:`MEASURES`.
      title: in words, with unit.
      higher_is_better: else lower is.
      counts_lost: whether a payment that was not accepted makes it worse by itself.
    """

    name: str
    measure: str
    title: str
    higher_is_better: bool = False
    counts_lost: bool = False

    def text(self, value: float | None) -> str:
        """``value`` with as many digits as tell something."""
        if value is None:
            return "-"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("score", "score", "score", higher_is_better=True, counts_lost=True),
        Objective("net", "net", "net settled when the load ends", higher_is_better=True, counts_lost=True),
        Objective("p99", "p99_ms", "p99 of accepting, ms"),
        Objective("p99.9", "p999_ms", "p99.9 of accepting, ms"),
        Objective("cpu", "cpu_us", "CPU for each settled payment, µs"),
        Objective("memory", "memory_mb", "memory of the engine (PSS), MB"),
    )
}


def measures(outcome: Json, cpu_ns: Mapping[str, int]) -> dict[str, float]:
    """What is kept of a run.

    ``settled`` and the CPU for each settled payment are of the whole run, the drain included; ``lag`` is what was
    accepted and not settled when the load ended; ``lost`` is what was refused or got no answer.

    Parameters:
      outcome: what ``contest.report.result`` gives.
      cpu_ns: what the engine's processes used meanwhile, by role: ``api``, ``dispatcher``, ``nginx``, ``supervisor``.
    """
    latency = outcome["latency_ms"] or {}
    engine = outcome["resources"].get("engine", {})
    settled = outcome["settled_after_drain"]
    found = {key: outcome[key] for key in ("score", "net", "requested", "accepted", "lag", "drain_s")}
    found |= {key: outcome[key] for key in ("audits_differed", "charged_twice")}
    found |= {f"p{share.replace('.', '')}_ms": latency.get(f"p{share}") for share in ("50", "90", "99", "99.9")}
    found |= {"max_ms": latency.get("max"), "lost": outcome["refused"] + outcome["unanswered"], "settled": settled}
    found |= {"cores_peak": engine.get("cores_peak"), "memory_mb": engine.get("pss_peak_mb")}
    if settled:
        found["cpu_us"] = sum(cpu_ns.values()) / settled / 1000
        found |= {f"cpu_us_{role}": used_ns / settled / 1000 for role, used_ns in cpu_ns.items()}
    return {key: float(found[key]) for key in MEASURES if found.get(key) is not None}


@dataclass(frozen=True)
class Spread:
    """The median of some runs, with the lowest and the highest of them."""

    median: float
    low: float
    high: float

    def overlaps(self, other: Spread) -> bool:
        """Whether a value could belong to either."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Run:
    """What a finished run was like: its measures, and why it is not to be trusted with payments (``""``: it is)."""

    measures: Measures
    broken: str


def spread(runs: Sequence[Run], measure: str) -> Spread | None:
    """Of the runs that have ``measure``; None if none has."""
    values = [run.measures[measure] for run in runs if measure in run.measures]
    return Spread(median(values), min(values), max(values)) if values else None


# Tiers of points, the better first; only within one do values decide.
KEPT, LOST, BROKEN, NOTHING = range(4)
TIERS = ("", "payments not accepted", "promises broken", "no result")


def tier(objective: Objective, runs: Sequence[Run]) -> int:
    """How far a point with these ``runs`` can be taken seriously: one of KEPT, LOST, BROKEN and NOTHING.

    A promise that was broken in one run is enough. Payments that were not accepted count by the median, as a single
    hold-up of the machine can cost some.
    """
    if spread(runs, objective.measure) is None:
        return NOTHING
    if any(run.broken for run in runs):
        return BROKEN
    lost = median(run.measures.get("lost", 0.0) / max(run.measures.get("requested", 0.0), 1.0) for run in runs)
    return LOST if lost > LOST_SHARE_MAX and not objective.counts_lost else KEPT


def rank(objective: Objective, runs_of: Mapping[int, Sequence[Run]]) -> list[int]:
    """The points (the keys of ``runs_of``), the best first; equals in order of their number."""

    def key(point: int) -> tuple[int, float, int]:
        found = spread(runs_of[point], objective.measure)
        value = 0.0 if found is None else found.median
        return tier(objective, runs_of[point]), -value if objective.higher_is_better else value, point

    return sorted(runs_of, key=key)
