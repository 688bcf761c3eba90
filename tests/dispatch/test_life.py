"""The complete tables of a payment's life, and the rules beside them."""

from __future__ import annotations

import pytest

from engine.connectors import answers as outcome
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch import life
from engine.dispatch.life import Course, Decision, Step
from engine.memory import layout
from engine.payment import Payment

NO_REASON = layout.REASON_NONE


@pytest.mark.parametrize(
    ("verdict", "first", "doubted"),
    [
        (Verdict.CHARGED, Step.SETTLE, Step.SETTLE),
        (Verdict.ALREADY, Step.LOOK_UP, Step.LOOK_UP),
        (Verdict.REJECTED, Step.PUT_BACK, Step.SEND_AGAIN),
        (Verdict.FAILED, Step.PUT_BACK, Step.SEND_AGAIN),
        (Verdict.REFUSED, Step.TURN_ELSEWHERE, Step.SEND_AGAIN),
        (Verdict.UNKNOWN, Step.SEND_AGAIN, Step.SEND_AGAIN),
    ],
)
def test_what_follows_from_the_end_of_a_request(verdict: Verdict, first: Step, doubted: Step) -> None:
    assert (life.after_request(verdict, False), life.after_request(verdict, True)) == (first, doubted)


def test_only_a_payment_without_a_doubt_ever_leaves_its_processor() -> None:
    leaving = (Step.PUT_BACK, Step.TURN_ELSEWHERE)
    assert not any(life.after_request(verdict, True) in leaving for verdict in Verdict if verdict <= Verdict.UNKNOWN)


def payment(requested_ms: int = 2000, attempts: int = 1, first_ms: int = 2000) -> Payment:
    return Payment(0, 1, 1, 1990, 1000, layout.PROCESSING, 0, attempts, requested_ms, 0, first_ms=first_ms)


@pytest.mark.parametrize(
    ("record_ms", "of", "expected"),
    [
        (2000, payment(), Step.SETTLE),
        (1999, payment(), Step.CHARGED_BEFORE),
        (2001, payment(), Step.CHARGED_BEFORE),
        (2000, payment(attempts=0), Step.CHARGED_BEFORE),  # never sent: the words are an older payment's
        (1500, payment(attempts=3, first_ms=1500), Step.SETTLE),
        (1700, payment(attempts=3, first_ms=1500), Step.SETTLE),
        (1499, payment(attempts=3, first_ms=1500), Step.CHARGED_BEFORE),
        (2001, payment(attempts=3, first_ms=1500), Step.CHARGED_BEFORE),
    ],
)
def test_a_record_is_ours_only_by_the_time_of_one_of_our_requests(record_ms: int, of: Payment, expected: Step) -> None:
    assert life.whose(record_ms, of, []).step is expected


@pytest.mark.parametrize("record_ms", [1500, 1600, 2100])
def test_where_the_clock_went_twice_nobody_can_tell_whose_a_record_is(record_ms: int) -> None:
    several = payment(attempts=3, first_ms=1500)
    assert life.whose(1400, several, [(1300, 2200)]).step is Step.CHARGED_BEFORE  # earlier than each of ours
    doubtful = Decision(Step.DEAD_LETTER, layout.REASON_CLOCK)
    assert life.whose(record_ms, several, [(10, 20), (1300, 2200)]) == doubtful
    assert life.whose(2000, several, [(1300, 2200)]).step is Step.SETTLE  # the very time of our request
    assert life.whose(record_ms, payment(), [(1300, 2200)]).step is Step.CHARGED_BEFORE  # there was only one
    assert life.whose(several.first_ms - 1, several, [(10, 2200)]).step is Step.CHARGED_BEFORE  # none was so early


def course(*, told: bool = True, doubted: bool = True, absent: int = 0, silent: int = 0, reason: int = 0) -> Course:
    return Course(told, doubted, absent, silent, reason)


@pytest.mark.parametrize(
    ("how", "answer", "expected"),
    [
        (course(told=False, absent=99), outcome.ABSENT, Decision(Step.NOTHING)),
        (course(absent=life.CONTRADICTIONS_MAX - 1), outcome.ABSENT, Decision(Step.NOTHING)),
        (
            course(absent=life.CONTRADICTIONS_MAX),
            outcome.ABSENT,
            Decision(Step.DEAD_LETTER, layout.REASON_CONTRADICTION),
        ),
        (course(silent=life.LOOKUPS_MAX - 1), outcome.UNKNOWN, Decision(Step.NOTHING)),
        (course(silent=life.LOOKUPS_MAX), outcome.FAILED, Decision(Step.UNCONFIRMED, layout.REASON_UNCONFIRMED)),
        (
            course(doubted=False, silent=life.LOOKUPS_MAX),
            outcome.REFUSED,
            Decision(Step.DEAD_LETTER, layout.REASON_NO_LOOKUP),
        ),
        (course(silent=99, reason=layout.REASON_CLOCK), outcome.UNKNOWN, Decision(Step.NOTHING)),
        (course(), Outcome(Verdict.FOUND, 2000, 1990), Decision(Step.SETTLE)),
        (course(), Outcome(Verdict.FOUND, 2000, 1991), Decision(Step.SETTLE, layout.REASON_AMOUNT)),
        (course(told=False), Outcome(Verdict.FOUND, 2000, 1990), Decision(Step.SETTLE)),
        (course(), Outcome(Verdict.FOUND, 1000, 1990), Decision(Step.CHARGED_BEFORE)),
        (course(reason=layout.REASON_NO_LOOKUP), Outcome(Verdict.FOUND, 2000, 1990), Decision(Step.SETTLE)),
    ],
)
def test_what_follows_from_the_end_of_a_lookup(how: Course, answer: Outcome, expected: Decision) -> None:
    assert life.after_lookup(how, answer, payment(), []) == expected


RECORD = Outcome(Verdict.FOUND, 2000, 1990)
SAYS_NOTHING = (Step.NOTHING, Step.DEAD_LETTER, Step.NOTHING, Step.NOTHING)
LOOKUPS = dict.fromkeys(Verdict, SAYS_NOTHING) | {  # not told, told, dead letter, first
    Verdict.FOUND: (Step.SETTLE, Step.SETTLE, Step.SETTLE, Step.CHARGED_BEFORE),
    Verdict.ABSENT: (Step.NOTHING, Step.DEAD_LETTER, Step.NOTHING, Step.NOT_THERE),
}


@pytest.mark.parametrize("verdict", Verdict)
def test_the_table_of_lookups_is_whole(verdict: Verdict) -> None:
    answer = RECORD if verdict is Verdict.FOUND else Outcome(verdict)
    enough = course(doubted=False, absent=life.CONTRADICTIONS_MAX)
    states = (enough._replace(is_told=False), enough, enough._replace(reason=layout.REASON_CLOCK))
    steps = [life.after_lookup(state, answer, payment(), []).step for state in states]
    assert (*steps, life.after_first_lookup(verdict)) == LOOKUPS[verdict]


def test_asking_becomes_rarer_and_never_ends() -> None:
    waits = [life.resend_wait_ms(tries, 0) for tries in range(1, 100)]
    assert waits == sorted(waits) and waits[0] == life.RESEND_FIRST_MS and waits[-1] == life.RESEND_LAST_MS
    assert life.resend_wait_ms(99, 3_600_000) == life.RESEND_RARELY_MS
    assert life.resend_wait_ms(1, 3_600_000) == life.RESEND_FIRST_MS
    assert life.dead_wait_ms(1) == life.DEAD_FIRST_MS and life.dead_wait_ms(10**6) == life.DEAD_LAST_MS
    assert life.delay_ms(0) == life.delay_ms(1) == life.DELAY_FIRST_MS and life.delay_ms(10**6) == life.DELAY_LAST_MS


@pytest.mark.parametrize(
    ("failures", "failure_ppm", "expected"),
    [
        (2, 0, True),  # nothing special
        (3, 0, False),
        (3, 50_000, False),
        (3, 400_000, True),
        (7, 400_000, True),
        (8, 400_000, False),
        (64, 950_000, True),
        (10**9, 1_000_000, True),
    ],
)
def test_a_run_of_failures_is_explained_by_the_processors_rate_or_is_the_payments_own(
    failures: int, failure_ppm: int, expected: bool
) -> None:
    assert life.is_explained(failures, failure_ppm) is expected


def test_refused_for_good_is_only_what_every_processor_refuses_while_one_of_them_charges_others() -> None:
    assert life.is_refused_for_good([3, 3], [3, 1], 3)
    assert not life.is_refused_for_good([3, 2], [3, 2], 3)
    assert not life.is_refused_for_good([9, 9], [1, 2], 3)
