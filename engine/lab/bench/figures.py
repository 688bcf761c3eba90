"""Figures of single rounds, and what many rounds make of them: medians, spreads, ratios. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.lab.contest.samples import percentile

# The points of a distribution's picture, as shares of the requests: evenly spread over 1/(1 - share) on a logarithmic
# scale, from the median to one request in 10,000.
QUANTILES = tuple(1 - 0.5 * 10 ** (-step / 12) for step in range(45))


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, the least and the most."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Of at least one value. Raises ValueError when there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no rounds")
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def spreads(rounds: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """For each name that every round has, its :class:`Spread`; in the order of the first round."""
    common = set.intersection(*(set(values) for values in rounds)) if rounds else set()
    return {name: spread(values[name] for values in rounds) for name in (rounds[0] if rounds else ()) if name in common}


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Each round's ``above`` over its own ``below``: a machine that was slow in a round was slow for both.

    Raises ValueError when there is no round.
    """
    return spread(a / b for a, b in zip(above, below, strict=True))


def quantiles_ms(ordered_ms: Sequence[float]) -> list[float]:
    """The durations at :data:`QUANTILES`, rounded to a µs; empty when there are none."""
    return [round(percentile(ordered_ms, share), 3) for share in QUANTILES] if ordered_ms else []


def per_payment_us(cpu_ns: Mapping[str, int], payments: int) -> dict[str, float]:
    """CPU in µs for each of ``payments``, by role. Raises ValueError when there were none."""
    if payments <= 0:
        raise ValueError("no payments: nothing to divide by")
    return {role: nanoseconds / 1000 / payments for role, nanoseconds in cpu_ns.items()}


@dataclass(frozen=True)
class Throttled:
    """Periods of a service in which it ran, and in how many of them it used up its share of CPU."""

    periods: int
    throttled: int
    throttled_ms: float

    @property
    def percent(self) -> float:
        """Periods throttled, in per cent; 0 when it never ran."""
        return 100 * self.throttled / self.periods if self.periods else 0.0


@dataclass(frozen=True)
class RampRound:
    """One side under the contest's load, once.

    Parameters:
      latency_ms: of accepted requests, by the names of `engine.lab.contest.samples.PERCENTILES`.
      quantiles_ms: the same at :data:`QUANTILES`.
      requested, accepted: as k6 counted.
      settled: payments at the processors when all was over; on the floor, which settles none, those accepted.
      cpu_us: for each settled payment, by role.
      pss_mb: memory by role (10^6 bytes), when the load had ended.
      throttled: by service; empty without limits.
      memory_peak_mb: most memory that the service's control group counted; empty without limits.
      others_cores: cores that were busy meanwhile with what does not belong to the benchmark, at least
        (``machine.use.busy_s``).
      problems: what went wrong; a round with problems has failed.
    """

    latency_ms: Mapping[str, float]
    quantiles_ms: Sequence[float]
    requested: int
    accepted: int
    settled: int
    cpu_us: Mapping[str, float]
    pss_mb: Mapping[str, float]
    throttled: Mapping[str, Throttled]
    memory_peak_mb: Mapping[str, float]
    others_cores: float
    problems: Sequence[str] = field(default_factory=tuple)

    @property
    def cpu_us_all(self) -> float:
        """CPU of all roles for each settled payment, in µs."""
        return sum(self.cpu_us.values())

    @property
    def pss_mb_all(self) -> float:
        """Memory of all roles."""
        return sum(self.pss_mb.values())

    @property
    def throttled_percent_max(self) -> float:
        """Periods throttled, in per cent, of the service that was throttled most."""
        return max((service.percent for service in self.throttled.values()), default=0.0)


@dataclass(frozen=True)
class SaturationRound:
    """One side under as many requests as it takes, once; ``_per_s`` are means over the load unless they say otherwise.

    Parameters:
      seconds: how long the load was on.
      accepted, refused: answers with and without a 2xx status.
      unanswered: at most so many requests had no answer when the load ended; some of them were accepted.
      latency_ms: ``p50``, ``p99`` and ``max`` of all answers; the queue before the engine is in it.
      others_cores: as for :class:`RampRound`, the drain included.
      settled_while: payments that were settled when the load ended.
      settled: payments that were settled when all was over.
      drain_s: from the end of the load until everything was settled.
      drain_per_s, drain_peak_per_s: settled a second meanwhile, on average and in the best second; 0 if nothing was
        left to settle.
      problems: as for :class:`RampRound`.
    """

    seconds: float
    accepted: int
    refused: int
    unanswered: int
    latency_ms: Mapping[str, float]
    others_cores: float
    settled_while: int = 0
    settled: int = 0
    drain_s: float = 0.0
    drain_per_s: float = 0.0
    drain_peak_per_s: float = 0.0
    problems: Sequence[str] = field(default_factory=tuple)

    @property
    def accepted_per_s(self) -> float:
        """Accepted a second while the load was on."""
        return self.accepted / self.seconds

    @property
    def settled_while_per_s(self) -> float:
        """Settled a second while the load was on."""
        return self.settled_while / self.seconds


def rates(seen: Sequence[tuple[float, int]], window_s: float) -> list[float]:
    """What was added a second over each stretch of at least ``window_s`` between ``(second, count so far)``."""
    found, start = [], 0
    for index, (at_s, count) in enumerate(seen):
        while start + 1 < index and at_s - seen[start + 1][0] >= window_s:
            start += 1
        since_s = at_s - seen[start][0]
        if since_s >= window_s:
            found.append((count - seen[start][1]) / since_s)
    return found
