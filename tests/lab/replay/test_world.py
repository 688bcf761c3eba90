"""The world of the replay: nothing is lost, nothing is drawn, and what it says of a run is so."""

from __future__ import annotations

import dataclasses

import pytest

from engine import settings as settings_module
from engine.lab.contest import scenario as scenarios
from engine.lab.contest.scenario import AuditPlan
from engine.lab.replay.model import Model, Spread
from engine.lab.replay.pace import Pace
from engine.lab.replay.play import play as play_policies
from engine.lab.replay.policies import OURS, POLICIES
from engine.lab.replay.result import BIN_MS, Result
from engine.processors import DEFAULT, FALLBACK
from engine.routing.plan import Plan, Queue
from engine.routing.router import NOTHING, Router
from tests.lab.replay.scenes import WELL, failing, flaky, parameters, play, scenario, slow

SETTINGS = settings_module.read({})


class Fixed(Router):
    """Sends everything to one processor from a moment on (ms of the load), knowing nothing."""

    def __init__(self, processor: int, from_ms: int = 0, until_ms: int = 1 << 40) -> None:
        super().__init__(*parameters())
        self._processor = processor
        self._from_ms = from_ms + 1_000_000  # where the world's clock begins
        self._until_ms = until_ms + 1_000_000

    def plan(self, now_ms: int, queue: Queue) -> Plan:
        if not self._from_ms <= now_ms < self._until_ms:
            return NOTHING
        return Plan(0, queue.waiting) if self._processor else Plan(queue.waiting, 0)


def check_books(result: Result) -> None:
    """All that was accepted is settled or left, in the totals as in the series."""
    series = result.series
    assert result.accepted == sum(result.settled) + result.left == sum(series.accepted)
    for processor in (DEFAULT, FALLBACK):
        assert sum(series.settled[processor]) == result.settled[processor]
        assert sum(series.begun[processor]) >= result.settled[processor]
        assert min(series.in_flight[processor], default=0) >= 0
    begun = sum(map(sum, series.begun))
    assert begun <= result.accepted + result.wasted + result.rejected
    lengths = {len(one) for one in (series.accepted, *series.settled, *series.begun)}
    assert lengths == {int(result.end_s * 1000) // BIN_MS + 1}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["preview", "short", "spikes"])
def test_accepted_is_settled_and_left_and_no_policy_beats_the_oracle(name: str, policy: str) -> None:
    played = play_policies(scenarios.load(name), [policy], SETTINGS)
    check_books(played.results[policy])
    assert 0.5 < played.accounts[policy].ratio <= 1


def test_the_same_twice_is_the_same() -> None:
    first, second = (play_policies(scenarios.load("spikes"), [OURS], SETTINGS).results[OURS] for _ in range(2))
    assert first == second


def test_with_both_healthy_all_is_settled_at_once() -> None:
    result = play(scenario(), Fixed(DEFAULT))
    check_books(result)
    assert result.settled == (result.accepted, 0)
    assert result.waited_ms < SETTINGS.dispatch.pause_ms + 10  # it avoids the audits
    assert result.wasted == result.audits_missed == result.voluntary_ms == 0
    assert [audit.at_s for audit in result.audits] == [5, 10, 15, 20]


def test_what_fails_is_sent_again_first_and_counted() -> None:
    result = play(scenario((5.0, failing(), WELL), (6.0, WELL, WELL)), Fixed(DEFAULT))
    check_books(result)
    assert result.left == 0
    (onset,) = result.onsets
    assert (onset.processor, onset.at_s) == (DEFAULT, 5.0)
    assert result.wasted == onset.caught + onset.sent_soon + onset.sent_later > 1000  # in every pass of that second
    (recovery,) = result.recoveries
    assert (recovery.processor, recovery.at_s) == (DEFAULT, 6.0)
    assert recovery.first_ms is not None
    assert 0 < recovery.first_ms < 10


def test_attempts_that_were_there_when_it_began_to_fail_were_caught() -> None:
    result = play(scenario((1.0, slow(1000), WELL), (10.0, failing(1000), WELL)), Fixed(DEFAULT))
    (onset,) = result.onsets
    assert onset.caught == pytest.approx(100, abs=5)  # one second's payments
    assert result.recoveries == []


def test_a_recovery_after_which_nothing_was_settled_has_no_first() -> None:
    scene = scenario((5.0, WELL, failing()), (6.0, WELL, WELL), (7.0, WELL, failing()), (8.0, WELL, WELL))
    result = play(scene, Fixed(FALLBACK, from_ms=7500))
    first, second = (recovery.first_ms for recovery in result.recoveries)
    assert first is None
    assert second is not None


@pytest.mark.parametrize(("delay_ms", "is_missed"), [(1000, False), (1400, False), (1800, True), (4000, True)])
def test_an_audit_misses_what_is_inserted_just_then_after_more_than_it_looks_back(
    delay_ms: int, is_missed: bool
) -> None:
    scene = scenario((1.0, slow(delay_ms), WELL), users=1000)  # one payment each ms
    result = play(scene, Fixed(DEFAULT), Model(handled_max=5000), ENGINE_DISPATCH_PAUSE_MS="0")
    assert (result.audits_missed > 0) == (result.fine > 0) == is_missed
    assert result.worth == result.net - result.fine


@pytest.mark.parametrize(
    ("asked_later_us", "booked_later_us", "least", "most"),
    [
        (0, 0, 0, 2),  # what lies between an insertion and the engine's learning of it: 0.5 to 0.8 ms
        (8000, 0, 8, 10),  # and what is inserted until a processor is asked
        (0, 8000, 8, 10),  # and what the engine knows of, but does not have in its books
        (8000, 8000, 16, 18),
        (-8000, 0, 6, 9),  # a processor is asked first: what is inserted after that is in the engine's books only
        (-8000, 7400, 0, 2),
    ],
)
def test_an_audit_sees_what_lies_between_the_readings_of_two_books_and_no_more(
    asked_later_us: int, booked_later_us: int, least: int, most: int
) -> None:
    pace = Pace(asked_later=Spread.always(asked_later_us), booked_later=Spread.always(booked_later_us), held_us=0)
    scene = scenario((1.0, slow(1800), WELL), users=1000, seconds=12.5)  # one payment each ms
    scene = dataclasses.replace(scene, audit=AuditPlan(3.0, 15.0, 1.5))
    result = play(scene, Fixed(DEFAULT), Model(handled_max=4000), pace, ENGINE_DISPATCH_PAUSE_MS="0")
    assert len(result.audits) >= 4
    assert all(least <= audit.missed <= most for audit in result.audits), result.audits


def test_each_audit_has_moments_of_its_own_and_the_same_again() -> None:
    scene = scenario((1.0, slow(1800), WELL), users=1000, seconds=10.0)
    scene = dataclasses.replace(scene, audit=AuditPlan(0.5, 15.0, 1.5))
    first, second = (play(scene, Fixed(DEFAULT), Model(handled_max=4000)).audits for _ in range(2))
    assert first == second
    assert len({audit.missed for audit in first}) > 3


def test_audits_of_the_measured_scenario_differ_as_often_as_they_did_for_real() -> None:
    scene = scenario((0.0, slow(2000), failing()), users=250, seconds=130.0)
    # 27 of 300 differed for real, by 117 payments, when no summary was held back and no audit avoided. See ASKED_LATER.

    class AsMeasured(Router):
        def audit_delay_ms(self, now_ms: int) -> int:
            return 0

    scene = dataclasses.replace(scene, audit=AuditPlan(10 / 24, 15.0, 1.5))
    result = play(scene, AsMeasured(*parameters()), pace=Pace(held_us=0))
    share = result.audits_missed / len(result.audits)
    assert 0.06 < share < 0.13
    held = play(scene, AsMeasured(*parameters()))
    assert held.audits_missed < result.audits_missed


def test_a_dispatcher_that_must_listen_does_not_sleep_through_an_answer() -> None:
    class Deaf(Fixed):
        def must_listen(self, now_ms: int) -> bool:
            return False

    scene = dataclasses.replace(scenario((1.0, slow(1800), WELL), users=400), audit=AuditPlan(0.11, 15.0, 1.5))
    hearing, deaf = play(scene, Fixed(DEFAULT)), play(scene, Deaf(DEFAULT))
    # Payments are sent every 20 ms. Their answers are taken at once, or at the end of a pause.
    assert 0 < 2 * hearing.audits_missed < deaf.audits_missed


def test_a_wait_is_voluntary_while_a_processor_is_healthy() -> None:
    held = play(scenario(), Fixed(DEFAULT, from_ms=3000))
    assert held.waited_ms == pytest.approx(3000, abs=10)
    assert held.voluntary_ms == pytest.approx(3000, abs=10)


def test_a_wait_is_not_voluntary_while_none_is_healthy() -> None:
    scene = scenario((1.0, failing(), slow(2000)), (4.0, WELL, failing()))
    held = play(scene, Fixed(DEFAULT, from_ms=4500, until_ms=10_000))
    # From 0 to 1 s and from 4 to 4.5 s it was.
    assert held.waited_ms == pytest.approx(4500, abs=10)
    assert held.voluntary_ms == pytest.approx(1500, abs=10)


def test_a_wait_is_not_voluntary_while_all_healthy_ones_are_kept_busy() -> None:
    class Full(Fixed):
        def plan(self, now_ms: int, queue: Queue) -> Plan:
            return Plan(min(queue.waiting, 200 - self.observed[DEFAULT].in_flight), 0)

    scene = scenario((1.0, slow(1000), failing()), users=600)
    enough, too_few = (play(scene, Full(DEFAULT), Model(handled_max=handled_max)) for handled_max in (200, 201))
    check_books(enough)
    assert enough.left > 7000  # 200 a second are settled, 600 come
    assert enough.waited_ms > 10_000
    assert enough.voluntary_ms < 500  # what a pass has not refilled yet
    assert too_few.voluntary_ms > 10_000


def test_what_fails_at_random_is_sent_again_and_is_no_outage() -> None:
    scene = scenario((1.0, flaky(40), WELL), (15.0, flaky(40, 200), WELL), (18.0, WELL, WELL))
    result = play(scene, Fixed(DEFAULT))
    check_books(result)
    assert result.left == 0
    assert 900 < result.wasted < 1400  # two thirds of a try more for each of 1,700
    assert (result.onsets, result.recoveries) == ([], [])


def test_after_an_outage_what_fails_at_random_is_not_counted_in_it() -> None:
    scene = scenario((5.0, failing(), WELL), (6.0, flaky(40, 30), WELL))
    result = play(scene, Fixed(DEFAULT))
    (onset,) = result.onsets
    outage = play(scenario((5.0, failing(), WELL), (6.0, slow(30), WELL)), Fixed(DEFAULT)).onsets[0]
    assert onset == outage


def test_what_times_out_stays_with_its_processor_until_that_has_it() -> None:
    scene = scenario((1.0, slow(3000), WELL), (10.0, WELL, WELL))
    result = play(scene, Fixed(DEFAULT), ENGINE_REQUEST_TIMEOUT_MS="1000")
    check_books(result)
    assert result.timed_out > 500
    assert result.settled == (result.accepted, 0)


def test_what_times_out_and_fails_is_sent_there_again() -> None:
    scene = scenario((1.0, failing(3000), WELL), (10.0, WELL, WELL))
    result = play(scene, Fixed(DEFAULT), ENGINE_REQUEST_TIMEOUT_MS="1000")
    check_books(result)
    assert result.timed_out > 500
    assert result.settled == (result.accepted, 0)


def test_what_is_turned_away_is_sent_again() -> None:
    result = play(scenario((1.0, slow(100), WELL)), Fixed(DEFAULT), Model(handled_max=4, waiting_max=3))
    check_books(result)
    assert result.rejected > 0
    assert result.left == pytest.approx(100 * 19 - 40 * 20, abs=60)  # 4 per 100 ms


def test_what_is_settled_when_the_run_ends_counts_though_the_engine_does_not_know_it() -> None:
    scene = scenario((1.0, slow(1000), WELL), seconds=10)
    result = play(scene, Fixed(DEFAULT))
    check_books(result)
    # The run ends 1.03 s after the last payment, and each takes 1 s and the way.
    assert result.left == 0


def test_settings_of_the_dispatcher_are_obeyed() -> None:
    scene = scenario((1.0, failing(), failing()), (10.0, WELL, WELL), users=500)
    usual, slowed = (
        play(scene, Fixed(DEFAULT, from_ms=10_000), ENGINE_DISPATCH_PAUSE_MS="4", ENGINE_DISPATCH_BATCH=batch)
        for batch in ("64", "4")
    )
    assert usual.left == 0
    assert max(usual.series.settled[DEFAULT]) > 4 * max(slowed.series.settled[DEFAULT])


def test_the_router_is_told_of_audits() -> None:
    class Listening(Fixed):
        def __init__(self) -> None:
            super().__init__(DEFAULT)
            self.heard: list[int] = []

        def audited(self, now_ms: int) -> None:
            self.heard.append(now_ms - 1_000_000)

    router = Listening()
    play(scenario(), router)
    assert router.heard == [5_000, 10_000, 15_000, 20_000]


def test_a_result_is_json() -> None:
    result = play(scenario(), Fixed(DEFAULT))
    content = result.json()
    assert content["on_default"] == result.accepted
    assert content["net"] == pytest.approx(result.accepted * 19.90 * 0.95)
    assert {field.name for field in dataclasses.fields(result)} <= content.keys()
