"""Every cent between what was requested and what was earned is accounted for."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from engine import settings as settings_module
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import AuditPlan
from engine.lab.replay.generate import generate
from engine.lab.replay.play import play
from engine.lab.replay.policies import POLICIES
from tests.lab.replay.scenes import WELL, failing, scenario, slow

SETTINGS = settings_module.read({})
BAD_END = scenario((5.0, slow(3000), WELL), (15.0, failing(), slow(5000)), users=600)


@pytest.mark.parametrize("scene", [scenarios.load("short"), generate(57), BAD_END], ids=lambda scene: scene.name)
def test_it_adds_up_to_the_cent(scene: scenarios.Scenario) -> None:
    played = play(scene, POLICIES, SETTINGS)
    for name, account in played.accounts.items():
        parts = account.fees_unavoidable + account.fees_unknowing + account.left_unavoidable + account.left
        assert account.requested - parts - account.fine == account.worth == played.results[name].worth
        assert account.ratio == pytest.approx(float(account.worth / played.best.net))
        assert account.fees_unavoidable >= 0
        assert account.left_unavoidable >= 0
        assert account.left + account.left_unavoidable == played.results[name].left * Decimal("19.90")


def test_a_missed_audit_costs_35_percent_of_net() -> None:
    scene = replace(scenario((1.0, slow(2000), failing()), users=250), audit=AuditPlan(0.5, 15.0, 1.5))
    played = play(scene, ["default-only"], SETTINGS)
    result, account = played.results["default-only"], played.accounts["default-only"]
    assert result.audits_missed > 0
    assert account.fine == result.net * Decimal("0.35")
