"""One scenario, any of the policies, and the oracle: what a replay is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from engine.lab.contest.scenario import Fees, Scenario
from engine.lab.replay.account import Account, account
from engine.lab.replay.load import arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.oracle import Best, best
from engine.lab.replay.pace import Pace
from engine.lab.replay.policies import OURS, POLICIES, RIVALS
from engine.lab.replay.result import Result
from engine.lab.replay.world import World
from engine.processors import PPM
from engine.settings import Settings

SIMPLE_PAUSE_MS = 1  # of the policies that ours is compared with, whatever the settings say


@dataclass(frozen=True)
class Played:
    """A scenario by several policies, with the account of each, and what the oracle would have earned."""

    scenario: Scenario
    best: Best
    results: Mapping[str, Result]
    accounts: Mapping[str, Account]


def play(
    scenario: Scenario,
    policies: Iterable[str],
    settings: Settings,
    model: Model | None = None,
    pace: Pace | None = None,
    believed: Fees | None = None,
) -> Played:
    """Plays ``scenario`` with each of ``policies`` (names of :data:`POLICIES` and :data:`RIVALS`) and with the oracle.

    Parameters:
      settings: of the engine; fees that are set there are believed.
      model, pace: ``None``: the usual ones.
      believed: what the policies take for the fees; ``None``: what ``settings`` say, or the processors' own.
    """
    model, pace = model or Model(), pace or Pace()
    load = arrivals(scenario.load)
    fees_ppm = _ppm(believed) if believed else _known_fees_ppm(scenario.fees, settings)
    makers = {**POLICIES, **RIVALS}
    results = {}
    for name in policies:
        router = makers[name](settings.routing, fees_ppm, settings.dispatch.request_timeout_ms)
        results[name] = World(scenario, load, router, _own(settings, name), model, pace).run(name)
    accepted_ms = [accepted_us // 1000 for accepted_us in load.accepted_us]
    most = best(scenario, accepted_ms, model, load.end_us // 1000)
    return Played(scenario, most, results, {name: account(result, most) for name, result in results.items()})


def _own(settings: Settings, policy: str) -> Settings:
    """The simple systems send each payment when it comes and take each answer when it comes: they hardly pause."""
    if policy == OURS or policy in RIVALS:
        return settings
    return replace(settings, dispatch=replace(settings.dispatch, pause_ms=SIMPLE_PAUSE_MS))


def _ppm(fees: Fees) -> tuple[int, int]:
    return round(fees.default * PPM), round(fees.fallback * PPM)


def _known_fees_ppm(fees: Fees, settings: Settings) -> tuple[int, int]:
    default_ppm, fallback_ppm = _ppm(fees)
    if settings.processors.fee_default_ppm >= 0:
        default_ppm = settings.processors.fee_default_ppm
    if settings.processors.fee_fallback_ppm >= 0:
        fallback_ppm = settings.processors.fee_fallback_ppm
    return default_ppm, fallback_ppm
