"""The verdict on a run: what cannot be explained fails it, and what is not known is never taken for good."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from engine.lab.contest import report, scenario
from engine.lab.contest.audit import Answers, compare
from engine.lab.contest.books import NOTHING, Total, Totals
from engine.lab.contest.changes import JudgedRecovery
from engine.lab.contest.recording import Recording, Twice
from engine.lab.simulate.changes import Onset


def totals(count: int) -> Totals:
    return Totals(default=Total(count, count * 1990), fallback=NOTHING)


def run(settled: int = 100, timed_out: int = 0, unreachable: int = 0, refused: int = 0, status: int = 503) -> Recording:
    """A run in which 100 requests were accepted."""
    plan = scenario.load("short")
    recording = Recording(plan, plan.fees.by_name, settled_at_end=totals(settled), settled_after_drain=totals(settled))
    lines = ["begin 0", *["s 1 202 1.0 0 id"] * 100]
    lines += ["s 1 0 1500 1050 id"] * timed_out + ["s 1 0 0 1212 id"] * unreachable + [f"s 1 {status} 1 1 id"] * refused
    for line in [*lines, "end 9"]:
        recording.samples.feed(line)
    books = totals(settled)
    recording.audits.append(compare(3.0, "periodic", None, Answers(books, books)))
    recording.twice = Twice(0, "totals")
    return recording


def broken(recording: Recording, p99_ms_max: float | None = None) -> list[str]:
    found: list[str] = report.result(recording, p99_ms_max)["broken"]
    return found


def test_a_run_without_a_fault_passes() -> None:
    assert broken(run(), p99_ms_max=1.0) == []


@pytest.mark.parametrize("settled", [100, 101, 102])
def test_a_request_that_timed_out_may_have_been_accepted(settled: int) -> None:
    assert broken(run(settled, timed_out=2)) == []


def test_a_5xx_may_stand_for_a_payment_that_was_accepted_and_a_4xx_does_not() -> None:
    assert broken(run(102, refused=2)) == []
    assert broken(run(102, refused=2, status=400)) == ["2 more settled than accepted"]


def test_more_than_those_cannot_be_explained() -> None:
    assert broken(run(103, timed_out=2)) == ["3 more settled than accepted"]


def test_a_request_that_found_no_server_was_not_accepted() -> None:
    assert broken(run(101, unreachable=5)) == ["1 more settled than accepted"]


def test_a_payment_that_is_not_settled_fails_the_run() -> None:
    assert broken(run(99)) == ["1 accepted payments are not settled"]


def test_what_is_not_known_fails_the_run() -> None:
    blind = run()
    blind.twice = blind.settled_after_drain = None
    blind.samples.end_ms = None
    blind.audits.append(compare(6.0, "periodic", None, Answers(totals(1), {"default": "refused", "fallback": NOTHING})))
    assert broken(blind) == [
        "k6 ended before its time",
        "what is settled after the drain is not known",
        "1 audits had no answer of a processor",
        "whether anything was charged twice is not known",
    ]


def test_the_final_audits_fail_a_run_but_are_not_what_the_contest_fines() -> None:
    late = run()
    late.audits.append(compare(20.0, "everything", None, Answers(totals(99), totals(100))))
    seen = report.result(late)
    assert (seen["fine"], seen["inconsistency"], seen["passed"]) == (0.0, 1, False)


def test_the_processors_own_fees_are_scored_and_a_difference_is_noted() -> None:
    recording = run()
    recording.fees = {**recording.fees, "default": recording.fees["default"] * 2}
    recording.note_fees()
    assert report.result(recording)["net"] == pytest.approx(100 * 19.90 * 0.9)
    assert len(recording.notes) == 1


def printed(outcome: report.Json) -> str:
    out = io.StringIO()
    report.print_table(outcome, Console(file=out, width=120))
    return out.getvalue()


def test_changes_of_the_processors_are_told_with_their_medians() -> None:
    recording = run()
    recording.changes = [
        Onset("default", 10.0, caught=7, sent_soon=3, sent_later=2),
        JudgedRecovery("default", 20.0, 123.4567, due=True),
        JudgedRecovery("fallback", 30.0, None, due=False),
    ]
    outcome = json.loads(json.dumps(report.result(recording)))
    assert [change["kind"] for change in outcome["changes"]] == ["onset", "recovery", "recovery"]
    assert (outcome["changes"][0]["wasted"], outcome["changes"][1]["first_ms"]) == (12, 123.457)
    assert outcome["changes_medians"]["not_due"] == 1
    text = printed(outcome)
    assert "123.46 ms" in text
    assert "median of 1, 1 left out: the cheaper processor was well" in text
    assert "median of 1: 7 caught there, 3 sent within 1 s, 2 later (probes)" in text


def test_processors_that_do_not_tell_their_changes_leave_that_part_out() -> None:
    outcome = report.result(run())
    assert outcome["changes"] is outcome["changes_medians"] is None
    assert "recovery" not in printed(outcome)


@pytest.mark.parametrize(
    "recording", [run(), run(99), Recording(scenario.load("short"), scenario.load("short").fees.by_name)]
)
def test_every_run_can_be_told(recording: Recording) -> None:
    outcome = json.loads(json.dumps(report.result(recording)))
    assert ("PASSED" if outcome["passed"] else "FAILED") in printed(outcome)
