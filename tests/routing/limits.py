"""Limits of the router for tests: small, and each can be set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.routing.lane import RouterLimits

USUAL = RouterLimits(
    fees_ppm=(50_000, 150_000),
    in_flight_min=4,
    in_flight_max=100,
    breaker_failures=3,
    trial_interval_ms=100,
    trials_max=8,
    suspect_ms=100,
    late_ms=1450,
    wait_cost_ppm=20_000,
    wait_share_ppm=20_000,
    wait_max_ms=10_000,
    audit_interval_ms=10_000,
    audit_guard_ms=150,
    health_interval_ms=5000,
    took_ms_max=10_000,
)


def limits(**changes: Any) -> RouterLimits:
    """Those limits, some of them changed."""
    return replace(USUAL, **changes)
