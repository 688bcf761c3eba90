"""When audits are expected."""

from __future__ import annotations

from engine.routing.audits import Audits


def test_none_is_expected_before_anybody_has_asked() -> None:
    assert not Audits(10_000).may_hit(0, 1000)


def test_after_the_first_the_usual_interval_is_assumed_and_then_the_one_seen() -> None:
    audits = Audits(10_000)
    audits.asked(5000)
    assert audits.may_hit(14_900, 15_100)
    assert not audits.may_hit(15_001, 16_000)
    audits.asked(9000)
    assert audits.may_hit(12_900, 13_100)
    assert audits.may_hit(16_900, 17_100)
    assert not audits.may_hit(14_900, 15_100)


def test_both_ends_count() -> None:
    audits = Audits(10_000)
    audits.asked(0)
    assert audits.may_hit(10_000, 10_500)
    assert audits.may_hit(9500, 10_000)


def test_who_has_stopped_asking_is_not_expected() -> None:
    audits = Audits(10_000)
    audits.asked(0)
    assert audits.may_hit(29_900, 30_000)
    assert not audits.may_hit(39_900, 40_100)


def test_audits_that_come_all_the_time_cannot_be_avoided() -> None:
    audits = Audits(10_000)
    audits.asked(0)
    audits.asked(500)
    assert not audits.may_hit(900, 1200)
    assert audits.may_hit(950, 1050)
