"""Generated scenarios are contests that an organiser could have held: valid, eventful, and possible to win."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from decimal import Decimal
from itertools import groupby

import pytest

from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import Condition, Flaky, Scenario
from engine.lab.replay.generate import (
    DOWN_AT_END_SHARE_MAX,
    FAILING_PERCENT,
    FLAKY_KINDS,
    KINDS,
    LEFT_SHARE_MAX,
    TROUBLED_SHARE_MIN,
    down_at_end_s,
    generate,
    generate_flaky,
    kinds_of,
    lengths_s,
    to_toml,
    troubled,
)
from engine.lab.replay.load import arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.oracle import best

SEEDS = range(200)

# As documented in the module.
COUNTS = {
    "slow default": 137,
    "slow fallback": 82,
    "both slow": 101,
    "failing default": 113,
    "failing fallback": 64,
    "flapping": 78,
    "both down": 70,
    "capacity short": 80,
    "slow end": 37,
    "failing end": 43,
}
DEFAULT_BAD_FOR_LONG = 181
DIGEST = "20f8dbe7aa1c69eaa92bf89153b37a61afc9ddd6144cc3fe74bab8da9cdbd534"


@pytest.fixture(scope="module")
def generated() -> list[Scenario]:
    return [generate(seed) for seed in SEEDS]


def is_bad(condition: Condition) -> bool:
    return condition.failing or condition.delay_ms >= 1_500


def test_a_seed_is_a_scenario(generated: list[Scenario]) -> None:
    assert [generate(seed) for seed in SEEDS[:20]] == generated[:20]
    assert len({scenario.stages for scenario in generated}) == len(generated)
    assert [scenario.name for scenario in generated[:2]] == ["generated:0", "generated:1"]


def test_what_has_been_measured_with_them_can_be_measured_again(generated: list[Scenario]) -> None:
    written = "".join(f"{scenario!r}\n{to_toml(scenario)}" for scenario in generated)
    assert hashlib.sha256(written.encode()).hexdigest() == DIGEST


def test_flaky_scenarios_are_as_the_others_and_in_each_a_processor_fails_at_random() -> None:
    flaky = [generate_flaky(seed) for seed in range(60)]
    assert flaky[:5] == [generate_flaky(seed) for seed in range(5)]
    assert len({scenario.stages for scenario in flaky}) == len(flaky)
    assert flaky[7].name == "generated-flaky:7"
    counts = Counter(kind for scenario in flaky for kind in kinds_of(scenario.title))
    assert set(counts) == {*KINDS, *FLAKY_KINDS}
    assert min(counts[kind] for kind in FLAKY_KINDS) >= 10
    shares = set()
    for scenario in flaky:
        found = {c.failing_share for s in scenario.stages for c in (s.default, s.fallback) if isinstance(c, Flaky)}
        assert found
        shares |= found
        assert scenarios.parse(to_toml(scenario), scenario.name, "file") == scenario
        assert down_at_end_s(scenario) <= DOWN_AT_END_SHARE_MAX * scenario.load.duration_s
    assert shares == {Decimal(percent) / 100 for percent in FAILING_PERCENT}


def test_what_is_written_is_read_back_equal(generated: list[Scenario]) -> None:
    for scenario in [*generated, *map(scenarios.load, scenarios.names())]:
        assert scenarios.parse(to_toml(scenario), scenario.name, "file") == scenario
    odd = dataclasses.replace(generated[0], title='"Quoted" \\ é 7 %')
    assert scenarios.parse(to_toml(odd), odd.name, "file") == odd


def test_every_scenario_is_eventful(generated: list[Scenario]) -> None:
    for scenario in generated:
        durations_s = lengths_s(scenario)
        assert 60 <= scenario.load.duration_s <= 300
        assert 5 <= len(scenario.stages) <= 14
        assert min(durations_s) >= 1
        troubled_s = sum(s for stage, s in zip(scenario.stages, durations_s, strict=True) if troubled(stage))
        assert troubled_s >= TROUBLED_SHARE_MIN * scenario.load.duration_s
        assert all(
            c.delay_ms % 10 == 0 <= c.delay_ms <= 5_000 for s in scenario.stages for c in (s.default, s.fallback)
        )


def test_fees_and_loads_are_those_of_contests(generated: list[Scenario]) -> None:
    shapes: Counter[str] = Counter()
    for scenario in generated:
        default, spread = scenario.fees.default, scenario.fees.fallback - scenario.fees.default
        assert Decimal("0.02") <= default <= Decimal("0.1")
        assert Decimal("0.01") <= spread <= Decimal("0.1")
        assert default % Decimal("0.001") == spread % Decimal("0.001") == 0
        targets = [ramp.target for ramp in scenario.load.ramps]
        assert 200 <= max(targets) <= 600
        assert scenario.audit_times_s()[0] == 10.0
        shapes["ramp" if len(targets) == 1 else "plateau" if targets[0] == targets[1] else "up and down"] += 1
    assert min(shapes[shape] for shape in ("ramp", "plateau", "up and down")) >= 0.2 * len(generated)


def bad_for_s(scenario: Scenario) -> float:
    """The longest time on end, in s, for which default is bad."""
    stages = zip(scenario.stages, lengths_s(scenario), strict=True)
    spans = groupby(stages, lambda stage: is_bad(stage[0].default))
    return max((sum(duration_s for _, duration_s in span) for bad, span in spans if bad), default=0.0)


def test_kinds_of_trouble_are_as_frequent_as_documented(generated: list[Scenario]) -> None:
    counts = Counter(kind for scenario in generated for kind in kinds_of(scenario.title))
    assert set(KINDS) == set(COUNTS)
    assert counts == COUNTS


def test_default_is_bad_for_long_in_most_scenarios(generated: list[Scenario]) -> None:
    assert sum(bad_for_s(scenario) >= 8 for scenario in generated) == DEFAULT_BAD_FOR_LONG


def test_never_is_all_down_at_the_end_for_long(generated: list[Scenario]) -> None:
    downs_s = [down_at_end_s(scenario) for scenario in generated]
    assert 0 < sum(down_s >= 1 for down_s in downs_s) <= 0.1 * len(generated)
    for scenario, down_s in zip(generated, downs_s, strict=True):
        assert down_s <= DOWN_AT_END_SHARE_MAX * scenario.load.duration_s
        failing = [stage.default.failing and stage.fallback.failing for stage in scenario.stages]
        assert failing[-1] == (down_s > 0.01)


def test_the_oracle_can_settle_nearly_everything(generated: list[Scenario]) -> None:
    left_shares, fallback_shares = [], []
    for scenario in generated[::4]:
        load = arrivals(scenario.load)
        found = best(scenario, [us // 1000 for us in load.accepted_us], Model(), load.end_us // 1000 + 1)
        left_shares.append(found.left / len(load.accepted_us))
        fallback_shares.append(found.on_fallback / len(load.accepted_us))
    assert max(left_shares) <= LEFT_SHARE_MAX
    assert sum(left_shares) <= 0.005 * len(left_shares)
    # Neither "always default" nor "always the quicker one" is right: the dearer processor is needed in many, not in
    # all.
    assert 0.2 <= sum(share > 0.02 for share in fallback_shares) / len(fallback_shares) <= 0.4
