"""How soon an engine served after a fault is counted from the fault, or from its end where it cuts the engine off."""

from __future__ import annotations

import pytest

from engine.lab.chaos.faults import COSTLY, CUT_OFF, NEED_MEMORY, NEED_NAMES, Bout, Fault, Sample, served

SOCKET, SILENT = Fault.SOCKET_REMOVED, Fault.NAMES_SILENT_KILL


def seen(*bad: int, until: int = 40) -> list[Sample]:
    """A sample each second, which takes 0.25 s; those of ``bad`` seconds are."""
    return [Sample(at, at + 0.25, "away" if at in bad else "") for at in range(until)]


def after(bouts: list[Bout], samples: list[Sample]) -> list[float | None]:
    return [one.after_s for one in served(bouts, samples)]


def test_an_engine_that_serves_all_the_time_has_served_at_once() -> None:
    assert after([Bout(SOCKET, "api 0", 10.0, 11.0)], seen()) == [0.0]


def test_it_serves_from_the_first_good_sample_after_the_last_bad_one() -> None:
    (one,) = served([Bout(SOCKET, "api 0", 10.0, 11.0)], seen(11, 14))
    assert one.after_s == pytest.approx(5.25)
    assert one.complaints == ("away",)


def test_what_goes_wrong_belongs_to_the_fault_before_it() -> None:
    bouts = [Bout(SOCKET, "api 0", 10.0, 11.0), Bout(SOCKET, "api 1", 20.0, 21.0)]
    assert after(bouts, seen(5, 12, 22)) == [pytest.approx(3.25), pytest.approx(3.25)]
    assert after(bouts, seen(19)) == [None, 0.0]


def test_a_fault_that_cuts_the_engine_off_counts_from_its_end() -> None:
    samples = seen(*range(10, 17))
    assert after([Bout(SILENT, "", 10.0, 16.0)], samples) == [pytest.approx(1.25)]
    assert after([Bout(Fault.NAMES_SILENT, "", 10.0, 16.0)], samples) == [pytest.approx(7.25)]


def test_one_that_never_serves_again_or_was_never_looked_at_is_told() -> None:
    bouts = [Bout(SOCKET, "api 0", 10.0, 11.0)]
    assert after(bouts, seen(*range(30, 40))) == [None]
    assert after(bouts, []) == [None]


def test_without_faults_there_is_nothing_to_serve_after() -> None:
    assert served([], seen()) == []


def test_every_kind_of_fault_is_classified_once() -> None:
    assert CUT_OFF <= NEED_NAMES
    assert not COSTLY & (NEED_NAMES | NEED_MEMORY)
