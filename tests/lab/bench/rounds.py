"""Rounds as a benchmark might have measured them."""

from __future__ import annotations

from engine.lab.bench.figures import QUANTILES, RampRound, SaturationRound, Throttled

LATENCIES = ("p50", "p90", "p95", "p99", "p99.9", "max")


def ramp_round(p99_ms: float, *problems: str, cpu_us: float = 100.0, throttled: int = 0) -> RampRound:
    """A round of 1000 payments in which the other latencies are parts of ``p99_ms``, with two processes."""
    parts = (0.2, 0.5, 0.7, 1.0, 3.0, 5.0)
    return RampRound(
        latency_ms={name: part * p99_ms for name, part in zip(LATENCIES, parts, strict=True)},
        quantiles_ms=[p99_ms * (0.2 + share) for share in QUANTILES],
        requested=1000,
        accepted=1000,
        settled=1000,
        cpu_us={"nginx worker": 0.25 * cpu_us, "dispatcher": 0.75 * cpu_us},
        pss_mb={"nginx worker": 5.0, "dispatcher": 30.0},
        throttled={"nginx": Throttled(100, 0, 0.0), "dispatcher": Throttled(200, throttled, 5.0)},
        memory_peak_mb={"nginx": 4.0, "dispatcher": 20.0},
        others_cores=0.01,
        problems=problems,
    )


def saturation_round(accepted_per_s: float, drain_per_s: float, *problems: str) -> SaturationRound:
    """Two seconds of load; half of it is left to drain."""
    accepted = int(2 * accepted_per_s)
    return SaturationRound(
        seconds=2.0,
        accepted=accepted,
        refused=3,
        unanswered=64,
        latency_ms={"p50": 2.0, "p99": 9.0, "max": 30.0},
        others_cores=0.02,
        settled_while=accepted // 2,
        settled=accepted,
        drain_s=accepted / 2 / drain_per_s,
        drain_per_s=drain_per_s,
        drain_peak_per_s=1.2 * drain_per_s,
        problems=problems,
    )
