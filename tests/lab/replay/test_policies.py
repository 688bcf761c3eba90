"""The policies that ours is compared with do what their names say, and do it well."""

from __future__ import annotations

import pytest

from engine import settings as settings_module
from engine.lab.contest.scenario import Condition, Scenario
from engine.lab.replay.play import play as play_policies
from engine.lab.replay.policies import OURS, POLICIES, RIVALS
from engine.lab.replay.result import BIN_MS, Result
from engine.processors import DEFAULT, FALLBACK
from tests.lab.replay.scenes import WELL, failing, flaky, scenario, slow


def play(scene: Scenario, policy: str, **environment: str) -> Result:
    """The result of ``scene`` with a policy as it is compared; ``environment`` are ``ENGINE_`` variables."""
    return play_policies(scene, [policy], settings_module.read(environment)).results[policy]


def during(result: Result, processor: int, from_s: float, to_s: float) -> int:
    """Payments that were settled at ``processor`` between two times."""
    first, last = int(from_s * 1000) // BIN_MS, int(to_s * 1000) // BIN_MS
    return sum(result.series.settled[processor][first:last])


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "earliest"])
def test_with_both_healthy_the_cheaper_one_gets_all(policy: str) -> None:
    result = play(scenario(), policy)
    assert result.settled == (result.accepted, 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_only_ours_pauses_between_passes_to_save_cpu(policy: str) -> None:
    result = play(scenario(), policy, ENGINE_DISPATCH_PAUSE_MS="40")
    if policy == OURS:
        # Twice, for a few milliseconds more: it pauses when the first audit shows which times to avoid.
        assert 40 <= result.waited_ms <= 2 * (40 + 10)
    else:
        assert result.waited_ms == pytest.approx(1, abs=1)


def test_in_a_row_is_ours_in_all_but_the_failure_rate() -> None:
    (rival,) = RIVALS
    for scene in (scenario(), scenario((5.0, failing(500), WELL), (12.0, WELL, WELL))):
        assert play(scene, rival).settled == play(scene, OURS).settled
    scene = scenario((1.0, flaky(40), WELL), users=400)
    ours, in_a_row = play(scene, OURS), play(scene, rival)
    assert ours.settled == in_a_row.settled == (ours.accepted, 0)
    assert 3 * ours.waited_ms < in_a_row.waited_ms  # its breaker opens again and again


def test_default_only_waits_for_default_and_drains() -> None:
    result = play(scenario((5.0, failing(), WELL), (10.0, WELL, WELL)), "default-only")
    assert result.settled == (result.accepted, 0)
    assert result.wasted < 200  # probes, and what was sent before it was noticed


@pytest.mark.parametrize("policy", ["simple", "earliest"])
@pytest.mark.parametrize("trouble", [failing(), slow(1000), slow(70)], ids=Condition.describe)
def test_the_others_leave_a_default_that_fails_or_is_slower(policy: str, trouble: Condition) -> None:
    result = play(scenario((5.0, trouble, WELL), (13.0, WELL, slow(300))), policy)
    assert during(result, FALLBACK, 6, 12) > 500
    assert result.left == 0
    # At the latest 5 s after it has recovered, a health answer says so.
    assert during(result, DEFAULT, 18.5, 20) > 140


def test_simple_stays_with_a_default_that_is_slower_by_less_than_50_ms() -> None:
    result = play(scenario((5.0, slow(40), WELL)), "simple")
    assert during(result, DEFAULT, 5, 20) > 1490


def test_earliest_finish_takes_the_quicker_one_whatever_it_costs() -> None:
    result = play(scenario((1.0, slow(40), WELL)), "earliest")
    assert during(result, FALLBACK, 6, 20) > 1390


def test_earliest_finish_uses_both_when_one_alone_cannot_keep_up() -> None:
    scene = scenario((1.0, slow(900), slow(1200)), users=600)
    result = play(scene, "earliest", ENGINE_IN_FLIGHT_MAX="400")
    assert min(during(result, processor, 5, 20) for processor in (DEFAULT, FALLBACK)) > 1500
