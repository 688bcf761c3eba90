"""Routers for tests: their limits are small, and each can be set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.routing.router import Router
from engine.setting_groups import RoutingSettings

FEES_PPM = (50_000, 150_000)
TOOK_MS_MAX = 10_000
USUAL = RoutingSettings(
    in_flight_min=4,
    in_flight_max=100,
    breaker_failures=3,
    probe_interval_ms=100,
    probes_max=8,
    suspect_ms=100,
    slow_ms=1450,
    wait_cost_ppm=20_000,
    wait_share_ppm=20_000,
    wait_max_ms=10_000,
    audit_interval_ms=10_000,
    audit_guard_ms=150,
    health_interval_ms=5000,
)


def router(*, fees_ppm: Any = FEES_PPM, **changes: Any) -> Router:
    """A router with those limits, some of them changed."""
    return Router(replace(USUAL, **changes), fees_ppm, TOOK_MS_MAX)
