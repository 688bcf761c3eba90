"""The pictures of replays are drawn from whatever a replay can end with."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import Scenario
from engine.lab.drawing import DOTS_PER_INCH
from engine.lab.replay import picture
from engine.lab.replay.load import arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.oracle import Best, best
from engine.lab.replay.result import BIN_MS, AuditSeen, Result, Series


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert 20_000 < len(content) < 1_000_000
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def oracle_of(scenario: Scenario) -> Best:
    load = arrivals(scenario.load)
    return best(scenario, [us // 1000 for us in load.accepted_us], Model(), load.end_us // 1000)


def as_if(scenario: Scenario, plan: Best, policy: str, settled_share: float, missed: int) -> Result:
    """A run that settled a share of what the oracle did, at the same times."""
    load = arrivals(scenario.load)
    bins = load.end_us // (BIN_MS * 1000) + 1
    accepted = [0] * bins
    for accepted_us in load.accepted_us:
        accepted[accepted_us // (BIN_MS * 1000)] += 1
    settled = tuple([round(pair[processor] * settled_share) for pair in plan.series] for processor in (0, 1))
    at_each = sum(settled[0]), sum(settled[1])
    return Result(
        scenario=scenario.name, policy=policy, accepted=sum(accepted), amount_cents=scenario.load.amount_cents,
        fees=scenario.fees, settled=at_each, left=sum(accepted) - sum(at_each), end_s=load.end_us / 1e6, wasted=0,
        rejected=0, timed_out=0, voluntary_ms=0.0, waited_ms=0.0, backlog_max=9, onsets=[], recoveries=[],
        audits=[AuditSeen(at_s, missed) for at_s in scenario.audit_times_s()],
        series=Series(
            accepted=accepted, begun=(settled[0], settled[1]), settled=(settled[0], settled[1]),
            waiting=[9] * (bins - 1), in_flight=([3] * (bins - 1), [0] * (bins - 1)),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("shares", [(1.0,), (1.0, 0.9, 0.5, 0.0)])
def test_a_contest_becomes_a_png_with_a_strip_for_each_policy(shares: tuple[float, ...], tmp_path: Path) -> None:
    scenario = scenarios.load("short")
    plan = oracle_of(scenario)
    runs = {f"p{share}": as_if(scenario, plan, f"p{share}", share, missed=int(share < 0.9)) for share in shares}
    picture.draw(tmp_path / "run.png", scenario, runs, plan)
    width, height = png_size(tmp_path / "run.png")
    assert width == 1430
    assert height == int((6.55 + 1.45 * len(shares)) * DOTS_PER_INCH)


def test_many_contests_become_a_png(tmp_path: Path) -> None:
    table = {"ours": [0.99 - number / 1000 for number in range(60)], "default-only": [0.3, *[1.0] * 59]}
    picture.draw_many(tmp_path / "many.png", table)
    assert png_size(tmp_path / "many.png") == (1430, 715)


def test_a_single_contest_is_enough_for_a_curve(tmp_path: Path) -> None:
    picture.draw_many(tmp_path / "one.png", {"ours": [0.97]})
    assert png_size(tmp_path / "one.png") == (1430, 715)
