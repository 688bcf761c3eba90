"""What a ledger's rows say of a processor is told exactly, and nothing more than they say."""

from __future__ import annotations

import pytest

from engine.connectors.answers import Verdict
from engine.lab.advice.behaviour import NEAR_MS, QUEUED_MS, SHARE_ANSWERS, TIMED_OUT, delays, failures, stages
from engine.lab.advice.record import Record, Request, Said
from engine.lab.contest.scenario import Condition, Flaky
from engine.lab.replay.model import Model
from engine.ledger.fees import Fees
from engine.ledger.rows import DROPPED

OVERHEAD_US = 700


def request(
    began_ms: int, took_ms: float, outcome: int = Verdict.CHARGED, processor: int = 0, error: str = ""
) -> Request:
    """A request whose answer was taken as soon as it was there."""
    ended_ms = began_ms + int(took_ms)
    return Request(processor, began_ms, ended_ms, outcome, not error, error or None, int(took_ms * 1000))


def passes(*requests: Request) -> list[int]:
    """The dispatcher has also looked just before each answer, so that their times are known to the millisecond."""
    ended = {one.ended_ms for one in requests if one.ended_ms is not None}
    return sorted(ended | {at_ms - 1 for at_ms in ended} | {one.began_ms for one in requests})


def taken(*requests: Request, said: tuple[Said, ...] = ()) -> list[tuple[int, int]]:
    return delays(requests, said, passes(*requests), OVERHEAD_US)


def test_the_time_changes_halfway_between_two_sendings() -> None:
    before = [request(at_ms, 5) for at_ms in (1000, 1100, 1200)]
    after = [request(at_ms, 800) for at_ms in (1300, 1400)]
    assert taken(*before, *after, request(1500, 5)) == [(1000, 5000), (1250, 800_000), (1450, 5000)]


def test_an_answer_that_lay_until_the_next_pass_makes_no_processor_slow() -> None:
    quick, late = request(1000, 3), request(1100, 58)
    looked = sorted({1000, 1003, 1100, 1158})  # nobody looked between 1100 and 1158
    assert delays([quick, late], [], looked, OVERHEAD_US) == [(1000, 3000)]
    seen = sorted([*looked, 1150])  # somebody looked, and it was not there
    assert delays([quick, late], [], seen, OVERHEAD_US) == [(1000, 3000), (1050, 58_000)]


def test_times_that_differ_by_a_moments_queue_are_one() -> None:
    assert taken(request(1000, 5), request(1100, 5 + QUEUED_MS), request(1200, 7)) == [(1000, 5000)]


def test_of_requests_that_were_begun_together_the_quickest_counts_and_charged_ones_before_others() -> None:
    assert taken(request(1000, 900), request(1000, 40), request(1000, 41)) == [(1000, 40_000)]
    assert taken(request(1000, 2, Verdict.FAILED), request(1000, 700)) == [(1000, 700_000)]


def test_a_request_that_was_not_answered_took_at_least_so_long() -> None:
    timed_out = request(1000, 10_000, Verdict.UNKNOWN, error=TIMED_OUT)
    assert taken(timed_out) == [(1000, 10_000_000)]
    assert taken(timed_out, request(1100, 12_000)) == [(1000, 12_000_000)]
    dropped = Request(0, 1000, 3000, DROPPED, False, None, None)
    assert taken(dropped, request(1500, 5)) == [(1000, 2_000_000), (1250, 5000)]


@pytest.mark.parametrize("outcome", [Verdict.REJECTED, Verdict.REFUSED])
def test_what_is_turned_away_says_nothing(outcome: int) -> None:
    assert taken(request(1000, 1, outcome)) == []
    assert failures([request(1000, 1, outcome)], []) == []


def test_a_request_whose_dispatcher_ended_says_nothing() -> None:
    lost = Request(0, 1000, 2000, None, False, "the dispatcher ended", None)
    assert delays([lost], [], [1000, 2000], OVERHEAD_US) == [] == failures([lost], [])


def test_where_nothing_was_sent_health_says_how_long_it_takes_and_whether_it_fails() -> None:
    sent = request(1000, 5)
    far = Said(0, sent.began_ms + 6000, True, 1200)
    near = Said(0, sent.began_ms + NEAR_MS, True, 1200)
    assert taken(sent, said=(near,)) == [(1000, 5000)]
    assert taken(sent, said=(far,)) == [(1000, 5000), (4000, 1_200_000 + OVERHEAD_US)]
    assert failures([sent], [near]) == [(1005, 0)]
    assert failures([sent], [far]) == [(1005, 0), (4003, 1_000_000)]


def test_an_outage_lasts_from_halfway_after_a_success_to_halfway_before_one() -> None:
    outcomes = [(1000, 0), (1100, 0), (1200, 3), (1400, 3), (1600, 3), (1700, 0)]
    seen = [request(at_ms, 0, outcome) for at_ms, outcome in outcomes]
    assert failures(seen, []) == [(1000, 0), (1150, 1_000_000), (1650, 0)]


@pytest.mark.parametrize("times_ms", [(1200, 1299, 1499), (1200, 1600)])
def test_a_row_that_is_short_is_chance(times_ms: tuple[int, ...]) -> None:
    seen = [request(1000, 0), *(request(at_ms, 0, Verdict.FAILED) for at_ms in times_ms), request(1700, 0)]
    assert failures(seen, []) == [(1000, len(times_ms) * 1_000_000 // len(seen))]


def test_failures_by_chance_are_a_share_of_the_answers_near_them() -> None:
    well = [request(at_ms, 0) for at_ms in range(SHARE_ANSWERS)]
    half = [request(SHARE_ANSWERS + at_ms, 0, (0, 3)[at_ms % 2]) for at_ms in range(SHARE_ANSWERS)]
    assert failures([*well, *half], []) == [(0, 0), (SHARE_ANSWERS, 500_000)]


def test_a_reset_is_a_failure_and_a_time_out_is_none() -> None:
    rows = [request(at_ms, 0, Verdict.UNKNOWN, error="connection was reset") for at_ms in (1000, 1200, 1400)]
    assert failures(rows, []) == [(1000, 1_000_000)]
    assert failures([request(1000, 10_000, Verdict.UNKNOWN, error=TIMED_OUT)], []) == []


def test_both_processors_together_are_the_stages_of_a_scenario() -> None:
    requests = (
        *(request(at_ms, 20.7) for at_ms in (1000, 1100)), *(request(at_ms, 500.7) for at_ms in (1200, 1300)),
        *(request(at_ms, 1.0, outcome, 1) for at_ms, outcome in ((1000, 0), (1100, 3), (1200, 0), (1300, 0))),
    )  # fmt: skip
    record = Record(1000, 2000, 500, ("default", "fallback"), (), 0, requests, (), (), Fees(), ())
    found = stages(record, Model(transit_us=300, service_us=100))
    (quarter,) = {stage.fallback for stage in found}
    assert isinstance(quarter, Flaky) and (quarter.delay_ms, float(quarter.failing_share)) == (0, 0.25)
    assert [(stage.at_s, stage.default) for stage in found] == [
        (0.0, Condition(20, False)),
        (0.65, Condition(500, False)),
    ]
