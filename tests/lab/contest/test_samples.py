"""What k6 says about its requests is read right, and so is what it counts itself."""

from __future__ import annotations

import pytest

from engine.lab.contest.samples import LoadError, Samples, load_totals, percentile, percentiles


def fed(*lines: str) -> Samples:
    samples = Samples()
    for line in lines:
        samples.feed(line)
    return samples


def test_accepted_refused_and_unanswered_are_told_apart() -> None:
    samples = fed(
        "begin 1000",
        "s 1100 202 1.5 0 id", "s 1200 200 2.5 0 id",
        "s 2300 503 9.9 1503 id", "s 2300 422 9.9 1422 id", "s 2301 503 9.9 1503 id",
        "s 3999 0 1500.1 1050 id",
        "end 4500",
    )  # fmt: skip
    assert (samples.begin_ms, samples.end_ms) == (1000, 4500)
    assert (samples.requested, samples.accepted) == (6, 2)
    assert samples.refused == {503: 2, 422: 1}
    assert samples.unanswered == {1050: 1}
    assert {number: (len(s.durations_ms), s.others) for number, s in samples.seconds.items()} == {
        0: (2, 0), 1: (0, 3), 2: (0, 1),
    }  # fmt: skip


def test_only_accepted_requests_count_for_the_latency() -> None:
    samples = fed("begin 0", "s 1 202 3 0 id", "s 1 500 900 1500 id", "s 2 202 1 0 id")
    assert list(samples.ordered_ms()) == [1.0, 3.0]
    assert samples.p99_ms() == pytest.approx(2.98)
    samples.feed("s 3 202 2 0 id")
    assert list(samples.ordered_ms()) == [1.0, 2.0, 3.0]


def test_nothing_accepted_has_no_latency() -> None:
    assert fed("begin 0").p99_ms() is None
    assert percentiles([]) is None


def test_what_k6_complains_about_is_kept() -> None:
    samples = fed("begin 0", "Request Failed", "", "ReferenceError: x is not defined", "s x y z w v")
    assert samples.notes == ["ReferenceError: x is not defined", "s x y z w v"]
    assert samples.requested == 0


def test_complaints_are_bounded() -> None:
    assert len(fed(*["oh no " * 100] * 1000).notes) == 20


def test_percentiles_are_interpolated_as_k6_does() -> None:
    ordered = [1.0, 2.0, 3.0, 4.0]
    assert percentile(ordered, 0.5) == 2.5
    assert percentile(ordered, 1.0) == 4.0
    assert percentile([7.0], 0.99) == 7.0
    found = percentiles(ordered)
    assert found is not None
    assert found["p90"] == pytest.approx(3.7)


def test_k6s_own_totals_are_read() -> None:
    durations = {"med": 1, "p(90)": 2, "p(95)": 3, "p(99)": 4, "p(99.9)": 5, "max": 6, "avg": 1}
    totals = load_totals(
        {"requested": {"count": 10}, "failed": {"rate": 0.2, "passes": 2, "fails": 8}, "duration": durations}
    )
    assert (totals.requested, totals.accepted) == (10, 8)
    assert totals.durations_ms == {"p50": 1, "p90": 2, "p95": 3, "p99": 4, "p99.9": 5, "max": 6}


def test_a_load_that_sent_nothing_has_totals_too() -> None:
    totals = load_totals({"requested": None, "failed": None, "duration": None})
    assert (totals.requested, totals.accepted, totals.durations_ms) == (0, 0, None)


def test_k6s_totals_of_another_form_are_an_error() -> None:
    with pytest.raises(LoadError, match="cannot be read"):
        load_totals({"requested": 3})
