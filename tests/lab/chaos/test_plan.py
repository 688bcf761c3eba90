"""A plan follows from its seed alone, does all that was wished for, and ends what it began."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from engine.lab.chaos.faults import Fault
from engine.lab.chaos.plan import FAULT_S_MAX, FAULT_S_MIN, Event, Trouble, What, plan

ROLES = ("api 0", "api 1", "dispatcher", "nginx")
NAMES = ("default", "fallback")
SEEDS = range(50)


def everything(seed: int, duration_s: float = 120.0) -> tuple[Event, ...]:
    return plan(
        seed, duration_s, roles=ROLES, kills=20, processors=NAMES, troubles=8, with_faults=True, with_full_disk=True
    )


def test_the_same_seed_makes_the_same_plan_and_another_seed_another_one() -> None:
    assert everything(7) == everything(7)
    assert len({everything(seed) for seed in SEEDS}) == len(SEEDS)


def test_other_wishes_for_one_kind_leave_the_rest_as_it_is() -> None:
    kills = [event for event in everything(3) if event.what is What.KILL]
    assert list(plan(3, 120.0, roles=ROLES, kills=20)) == kills


@pytest.mark.parametrize("duration_s", [2.0, 20.0, 120.0])
def test_all_happens_in_order_within_the_run(duration_s: float) -> None:
    for seed in SEEDS:
        times_s = [event.at_s for event in everything(seed, duration_s)]
        assert times_s == sorted(times_s)
        assert times_s[0] >= 0.0
        assert times_s[-1] <= duration_s


def test_no_process_is_spared() -> None:
    for seed in SEEDS:
        killed = Counter(event.target for event in everything(seed) if event.what is What.KILL)
        assert killed == dict.fromkeys(ROLES, 5)


def test_every_trouble_is_over_before_the_next_one_begins_and_at_the_end() -> None:
    for seed in SEEDS:
        now = {"default": Trouble.NONE, "fallback": Trouble.NONE}
        for event in everything(seed):
            if event.what is What.NETWORK and event.trouble is not Trouble.CUT:
                assert (now[event.target] is Trouble.NONE) != (event.trouble is Trouble.NONE)
                now[event.target] = event.trouble
        assert set(now.values()) == {Trouble.NONE}


def test_every_kind_of_trouble_comes_at_either_processor() -> None:
    seen = {(e.target, e.trouble) for seed in SEEDS for e in everything(seed) if e.what is What.NETWORK}
    assert seen == {(target, trouble) for target in ("default", "fallback") for trouble in Trouble}


def test_faults_last_from_the_beginning_to_the_end_and_the_disk_is_freed() -> None:
    events = plan(1, 100.0, with_faults=True, with_full_disk=True)
    assert [(event.at_s, event.what) for event in events] == [
        (0.0, What.FAULTS),
        (30.0, What.FILL_DISK),
        (70.0, What.FREE_DISK),
        (100.0, What.NO_FAULTS),
    ]


def test_without_wishes_nothing_is_done() -> None:
    assert plan(1, 100.0) == ()


def test_every_fault_of_the_surroundings_comes_before_one_comes_again() -> None:
    for seed in SEEDS:
        events = plan(seed, 600.0, faults=list(Fault), bouts=50, apis=ROLES[:2])
        kinds = [event.fault for event in events]
        assert all(event.what is What.FAULT for event in events)
        assert set(kinds[: len(Fault)]) == set(Fault) == set(kinds[len(Fault) : 2 * len(Fault)])
        assert {event.target for event in events} == set(ROLES[:2])


@pytest.mark.parametrize(("duration_s", "bouts"), [(600.0, 50), (40.0, 8)])
def test_faults_of_the_surroundings_are_over_before_the_next_one(duration_s: float, bouts: int) -> None:
    events = plan(1, duration_s, faults=list(Fault), bouts=bouts, apis=ROLES[:2])
    assert len(events) == bouts
    for event, following in pairwise(events):
        assert FAULT_S_MIN <= event.for_s <= FAULT_S_MAX
        assert event.at_s + event.for_s < following.at_s


def test_a_disk_is_full_for_no_longer_than_is_wished() -> None:
    for duration_s, lasts_s in ((120.0, 20.0), (20.0, 8.0)):
        fill, free = plan(3, duration_s, with_full_disk=True, full_s_max=20.0)
        assert (fill.what, free.what) == (What.FILL_DISK, What.FREE_DISK)
        assert free.at_s - fill.at_s == pytest.approx(lasts_s)
