"""The verdict: a soak in which all went well holds, and each thing that goes wrong breaks its promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.lab.contest.books import Total, Totals
from engine.lab.soak.checks import Limits, all_checks
from engine.lab.soak.recording import Charged, Recording
from tests.lab.soak.seen import AUDIT, MB, TOTALS, behind, recorded, recording

LIMITS = Limits()


def broken(seen: Recording) -> list[str]:
    return [check.name for check in all_checks(seen, LIMITS) if not check.holds]


def use(seen: Recording, number: int, **changes: int) -> None:
    """Changes what the dispatcher held in a window."""
    window = seen.windows[number]
    processes = window.usage.processes
    changed = processes | {"dispatcher": replace(processes["dispatcher"], **changes)}
    seen.windows[number] = replace(window, usage=replace(window.usage, processes=changed))


def test_a_good_run_holds() -> None:
    assert broken(recording()) == []


def test_growth_before_it_was_warm_does_not_count() -> None:
    seen = recording()
    use(seen, 0, anonymous=1 * MB, own=11 * MB, fds=3)
    assert broken(seen) == []


def _lose_one(seen: Recording) -> None:
    seen.settled = Totals(default=Total(899, 899_000), fallback=TOTALS["fallback"])


def _wrong_cents(seen: Recording) -> None:
    seen.settled = Totals(default=Total(900, 900_001), fallback=TOTALS["fallback"])


def _never_settled(seen: Recording) -> None:
    seen.drain_s = None


def _gone_for_a_while(seen: Recording) -> None:
    seen.windows[4] = replace(seen.windows[4], pending=2)


def _one_twice_and_one_lost(seen: Recording) -> None:
    seen.charged = Charged(1000, 12346)


def _one_too_many(seen: Recording) -> None:
    seen.charged = Charged(1001, 12345)


def _refused(seen: Recording) -> None:
    seen.refused = Counter({500: 1})


def _unanswered(seen: Recording) -> None:
    seen.unanswered = Counter({"closed": 1})


def _audit(seen: Recording) -> None:
    seen.audits = [AUDIT, replace(AUDIT, outcome="differed", payments=1)]


def _died(seen: Recording) -> None:
    seen.engine_log = "12:00 engine.up WARNING api 0 ended with -11; starts again in 50 ms\n"


def _leak(seen: Recording) -> None:
    use(seen, 8, anonymous=26 * MB)


def _too_large(seen: Recording) -> None:
    use(seen, 1, own=160 * MB)


def _descriptors_creep(seen: Recording) -> None:
    for number in range(len(seen.windows)):
        use(seen, number, fds=40 + 4 * number)


def _too_many_descriptors(seen: Recording) -> None:
    use(seen, 5, fds=1000)


def _threads(seen: Recording) -> None:
    use(seen, 9, threads=2)


@pytest.mark.parametrize(
    ("spoil", "promise"),
    [
        (_lose_one, "accepted = settled + pending + failed"),
        (_wrong_cents, "accepted = settled + pending + failed"),
        (_never_settled, "accepted = settled + pending + failed"),
        (_gone_for_a_while, "no accepted payment is missing at any time"),
        (_one_twice_and_one_lost, "each payment is charged once, and nothing else"),
        (_one_too_many, "each payment is charged once, and nothing else"),
        (_refused, "every payment is accepted, every request answered"),
        (_unanswered, "every payment is accepted, every request answered"),
        (_audit, "the summary is the processors' own in every window"),
        (_died, "no process ended by itself"),
        (_leak, "memory grows by less than 5 MB after 3 s"),
        (_too_large, "memory is under 200 MB in all"),
        (_descriptors_creep, "descriptors are bounded and do not creep"),
        (_too_many_descriptors, "descriptors are bounded and do not creep"),
        (_threads, "threads stay as many as after 3 s"),
    ],
)
def test_what_goes_wrong_breaks_its_promise(spoil: Callable[[Recording], None], promise: str) -> None:
    seen = recording()
    spoil(seen)
    assert broken(seen) == [promise]


def test_payments_that_were_refused_for_want_of_room_and_then_accepted_are_all_right() -> None:
    seen = recording()
    seen.refused = Counter({503: 10})
    assert broken(seen) == []


def test_descriptors_may_come_and_go_with_what_is_in_flight() -> None:
    seen = recording()
    use(seen, 5, fds=250)
    use(seen, 9, fds=250)
    assert broken(seen) == []


def test_a_run_that_ended_before_it_was_warm_proves_nothing() -> None:
    seen = recording()
    del seen.windows[2:]
    assert "memory grows by less than 5 MB after 3 s" in broken(seen)


BEHIND = "the ledger is at most 5 s behind in the last minute"
LATE = "the ledger has caught up 5 s after the last is settled"
NOT_ALL = "the ledger has every payment"


@pytest.mark.parametrize(
    ("changes", "promises"),
    [
        ({}, []),
        ({"payments": 999, "missing": {"ring 0": 1}}, [NOT_ALL]),
        ({"rejected": 1}, [NOT_ALL]),
        ({"lags": [behind(9.0, 5001)]}, [BEHIND]),
        ({"lags": []}, [BEHIND]),
        ({"caught_up_s": 5.1}, [LATE]),
        ({"caught_up_s": None}, [LATE]),
    ],
)
def test_a_ledger_that_lacks_something_or_is_late_is_told(changes: dict[str, Any], promises: list[str]) -> None:
    seen = recording()
    seen.ledger = replace(recorded(), **changes)
    assert broken(seen) == promises


def test_only_the_last_minute_of_paying_is_judged() -> None:
    seen = recording()
    seen.paid_s = 100.0
    seen.ledger = replace(recorded(), lags=[behind(39.9, 60_000), behind(41.0, 1000), behind(100.1, 60_000)])
    assert BEHIND not in broken(seen)
