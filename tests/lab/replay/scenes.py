"""Small scenarios for the tests, and ways to play them."""

from __future__ import annotations

from decimal import Decimal

from engine import settings as settings_module
from engine.lab.contest.scenario import AuditPlan, Condition, Fees, Flaky, Load, Ramp, Scenario, Stage
from engine.lab.replay.load import arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.pace import Pace
from engine.lab.replay.result import Result
from engine.lab.replay.world import World
from engine.routing.router import Router
from engine.setting_groups import RoutingSettings

WELL = Condition(0, False)
FEES = Fees(Decimal("0.05"), Decimal("0.15"))


def slow(delay_ms: int) -> Condition:
    return Condition(delay_ms, False)


def failing(delay_ms: int = 0) -> Condition:
    return Condition(delay_ms, True)


def flaky(percent: int, delay_ms: int = 0) -> Condition:
    return Flaky(delay_ms, False, Decimal(percent) / 100)


def scenario(*stages: tuple[float, Condition, Condition], users: int = 100, seconds: float = 20.0) -> Scenario:
    """``users`` that start one after the other within a second, so that payments come evenly; audits every 5 s."""
    return Scenario(
        name="scene",
        title="A scene",
        load=Load(1, 1990, 1.0, 1.5, (Ramp(1.0, users), Ramp(seconds - 1.0, users))),
        fees=FEES,
        audit=AuditPlan(5.0, 15.0, 1.5),
        stages=tuple(Stage(*stage) for stage in stages) or (Stage(1.0, WELL, WELL),),
    )


def parameters(**environment: str) -> tuple[RoutingSettings, tuple[int, int], int]:
    """What a router is made with: settings, the preview's fees, and the time-out."""
    settings = settings_module.read(environment)
    return settings.routing, (50_000, 150_000), settings.dispatch.request_timeout_ms


def play(
    scene: Scenario, router: Router, model: Model | None = None, pace: Pace | None = None, **environment: str
) -> Result:
    """The result of ``scene`` with a router of the test's own; ``environment`` are ``ENGINE_`` variables."""
    settings = settings_module.read(environment)
    world = World(scene, arrivals(scene.load), router, settings, model or Model(), pace or Pace())
    return world.run("test")
