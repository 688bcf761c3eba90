"""What is done next with a payment, by what is known of it and by the last outcome. Pure: two tables and a few rules.

A payment belongs to a processor from the moment that its request is sent until the processor has said that it did not
charge. A payment is *doubted* if a request with the same body ended unknown (time-out, reset, a gateway's answer, a
crash). Whatever the answer to a later request is, the first one may have been charged.

====================  ===================  =============================================================
end of a request      not doubted          doubted
====================  ===================  =============================================================
CHARGED               SETTLE               SETTLE
ALREADY               LOOK_UP              LOOK_UP
REJECTED, FAILED      PUT_BACK             SEND_AGAIN: it says nothing of the first one
REFUSED               TURN_ELSEWHERE       SEND_AGAIN
UNKNOWN               SEND_AGAIN           SEND_AGAIN
====================  ===================  =============================================================

A lookup asks what the processor has stored. A payment is *told* if its processor has said "already there": a lookup
must show it. A lookup is *first* if it comes before any request, because the id may have been charged before.

====================  ===================  ===================  ===================  ====================
end of a lookup       not told             told                 dead letter          first
====================  ===================  ===================  ===================  ====================
FOUND                 by the record        by the record        by the record        CHARGED_BEFORE
ABSENT                NOTHING              by the count         NOTHING              NOT_THERE
anything else         NOTHING              by the count         NOTHING              NOTHING
====================  ===================  ===================  ===================  ====================

*By the record* (:func:`whose`): the record ends the payment, as ours or as charged before, or it shows that nothing can
tell. *By the count*: lookups without an answer become rarer. After enough of them, or after enough answers that
contradict "already there", the payment becomes a dead letter: it is looked up now and then, and waits for a person. But
if an earlier request explains "already there", the payment is settled unconfirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from engine.connectors.answers import Outcome, Verdict
from engine.memory import layout
from engine.payment import Payment

CONTRADICTIONS_MAX = 10  # lookups with "not there" after "already there": then it is a dead letter
LOOKUPS_MAX = 10  # lookups without an answer after "already there": then it is settled unconfirmed, or a dead letter
RESEND_FIRST_MS = 20  # wait before an unknown payment is sent, or looked up, again; doubled each time ...
RESEND_LAST_MS = 2000  # ... up to this ...
RESEND_OLD_SHIFT = 5  # ... or a 32nd of its age, if that is more ...
RESEND_RARELY_MS = 60_000  # ... but never more than this
DEAD_FIRST_MS = 10_000  # wait before a dead letter is looked up again; doubled each time ...
DEAD_LAST_MS = 900_000  # ... up to this
DELAY_FIRST_MS = 100  # wait before a payment with a back-off of its own is sent again; doubled each time ...
DELAY_LAST_MS = 60_000  # ... up to this
FAILURES_FEW = 3  # this many failures of one payment in a row always count as explained
FAILURES_MANY = 64  # more failures in a row are treated as this many
EXPLAINED_PPM = 1000  # if a run of failures is less likely than this at the processor's failure rate, it is not chance
REFUSING_RUN = 50  # this many refusals in a row, with nothing charged in between, are the processor's state
PPM = 1_000_000
DOUBLED_MAX = 16  # a wait that was doubled this often has reached every limit


class Step(IntEnum):
    """What to do with a payment."""

    SETTLE = 0  # charged: into the books
    PUT_BACK = 1  # certainly not charged: into the queue again
    TURN_ELSEWHERE = 2  # certainly not charged and not wanted: another processor, and a back-off of its own
    SEND_AGAIN = 3  # unknown: the same body to the same processor, and a lookup beside
    LOOK_UP = 4  # it must be there: ask what is stored
    CHARGED_BEFORE = 5  # the processor had the id before we sent it: over, and counted beside the books
    UNCONFIRMED = 6  # settled with the values that we sent: no lookup can show it
    DEAD_LETTER = 7  # only a person can find out
    NOTHING = 8  # the answer says nothing
    NOT_THERE = 9  # the processor has no payment with this id: it need not be looked up there again


class Decision(NamedTuple):
    """A step, and the reason that goes with it (``layout.REASON_...``)."""

    step: Step
    reason: int = layout.REASON_NONE


_AFTER_REQUEST: dict[Verdict, tuple[Step, Step]] = {  # not doubted, doubted
    Verdict.CHARGED: (Step.SETTLE, Step.SETTLE),
    Verdict.ALREADY: (Step.LOOK_UP, Step.LOOK_UP),
    Verdict.REJECTED: (Step.PUT_BACK, Step.SEND_AGAIN),
    Verdict.FAILED: (Step.PUT_BACK, Step.SEND_AGAIN),
    Verdict.REFUSED: (Step.TURN_ELSEWHERE, Step.SEND_AGAIN),
    Verdict.UNKNOWN: (Step.SEND_AGAIN, Step.SEND_AGAIN),
}


def after_request(verdict: Verdict, is_doubted: bool) -> Step:
    """The first table in the module's docstring."""
    return _AFTER_REQUEST[verdict][is_doubted]


class Course(NamedTuple):
    """What has happened so far to a payment whose outcome is unknown.

    ``is_told``: its processor has said "already there". ``is_doubted``: see the module. ``absent``, ``silent``: lookups
    since then that did not find it, and that got no answer. ``reason``: REASON_NONE, or why it is a dead letter.
    """

    is_told: bool
    is_doubted: bool
    absent: int
    silent: int
    reason: int


Spans = Iterable[tuple[int, int]]  # of wall-clock time that have occurred twice, as (from, to) in ms
_Rule = Callable[[Course, Outcome, Payment, Spans], Decision]


def _by_nothing(_course: Course, _outcome: Outcome, _payment: Payment, _set_back: Spans) -> Decision:
    return Decision(Step.NOTHING)


def _by_record(_course: Course, outcome: Outcome, payment: Payment, set_back: Spans) -> Decision:
    decision = whose(outcome.requested_ms, payment, set_back)
    if decision.step is Step.SETTLE and outcome.cents != payment.cents:
        return Decision(Step.SETTLE, layout.REASON_AMOUNT)
    return decision


def _by_count(course: Course, _outcome: Outcome, _payment: Payment, _set_back: Spans) -> Decision:
    if course.absent >= CONTRADICTIONS_MAX:
        return Decision(Step.DEAD_LETTER, layout.REASON_CONTRADICTION)
    if course.silent >= LOOKUPS_MAX:
        if course.is_doubted:
            # The contest's processor says 422 only for an id that it has, and the first request may have stored the id.
            return Decision(Step.UNCONFIRMED, layout.REASON_UNCONFIRMED)
        return Decision(Step.DEAD_LETTER, layout.REASON_NO_LOOKUP)  # it may have been charged in an earlier life
    return Decision(Step.NOTHING)


_SAYS_NOTHING: tuple[_Rule, _Rule, _Rule, Step] = (_by_nothing, _by_count, _by_nothing, Step.NOTHING)
_AFTER_LOOKUP: dict[Verdict, tuple[_Rule, _Rule, _Rule, Step]] = {  # not told, told, dead letter, first
    **dict.fromkeys(Verdict, _SAYS_NOTHING),
    Verdict.FOUND: (_by_record, _by_record, _by_record, Step.CHARGED_BEFORE),
    Verdict.ABSENT: (_by_nothing, _by_count, _by_nothing, Step.NOT_THERE),
}


def after_lookup(course: Course, outcome: Outcome, payment: Payment, set_back: Spans) -> Decision:
    """The second table, for ``payment``. The caller has already counted this lookup in ``course``."""
    not_told, told, dead, _ = _AFTER_LOOKUP[outcome.verdict]
    is_dead = course.reason != layout.REASON_NONE
    rule = dead if is_dead else told if course.is_told else not_told
    return rule(course, outcome, payment, set_back)


def after_first_lookup(verdict: Verdict) -> Step:
    """The last column of the second table."""
    return _AFTER_LOOKUP[verdict][3]


def whose(record_ms: int, payment: Payment, set_back: Spans) -> Decision:
    """Whether a processor's record with the requestedAt ``record_ms`` is of one of this payment's own requests.

    It is if it has the time of the last request, or a time between the first and the last. Any other record was charged
    before this payment was accepted, or by another client. If the wall clock has shown that moment twice, the record
    proves nothing, unless it is earlier than every one of our requests.
    """
    if not payment.attempts:  # it was never sent; its words for times are an older payment's
        return Decision(Step.CHARGED_BEFORE)
    if record_ms == payment.requested_ms:
        return Decision(Step.SETTLE)
    if payment.attempts > 1 and record_ms >= payment.first_ms:
        if any(from_ms <= record_ms <= to_ms for from_ms, to_ms in set_back):
            return Decision(Step.DEAD_LETTER, layout.REASON_CLOCK)
        if record_ms <= payment.requested_ms:
            return Decision(Step.SETTLE)
    return Decision(Step.CHARGED_BEFORE)


def resend_wait_ms(tries: int, age_ms: int) -> int:
    """How long to wait after the ``tries``-th unknown outcome (1, 2, ...) of a payment of this age."""
    usual_ms = _doubled_ms(RESEND_FIRST_MS, tries, RESEND_LAST_MS)
    return usual_ms if usual_ms < RESEND_LAST_MS else min(max(usual_ms, age_ms >> RESEND_OLD_SHIFT), RESEND_RARELY_MS)


def dead_wait_ms(tries: int) -> int:
    """How long to wait until a dead letter is looked up for the ``tries``-th time (1, 2, ...)."""
    return _doubled_ms(DEAD_FIRST_MS, tries, DEAD_LAST_MS)


def delay_ms(rounds: int) -> int:
    """How long a payment with a back-off of its own waits after ``rounds`` rounds."""
    return _doubled_ms(DELAY_FIRST_MS, rounds, DELAY_LAST_MS)


def _doubled_ms(first_ms: int, times: int, last_ms: int) -> int:
    """``first_ms`` the first time, then doubled each time, up to ``last_ms``."""
    return min(first_ms << min(max(times - 1, 0), DOUBLED_MAX), last_ms)


def is_explained(failures: int, failure_ppm: int) -> bool:
    """Whether the failure rate of the processor explains this many failures of one payment in a row."""
    if failures < FAILURES_FEW:
        return True
    likely_ppm = PPM
    for _ in range(min(failures, FAILURES_MANY)):
        likely_ppm = likely_ppm * failure_ppm // PPM
        if likely_ppm < EXPLAINED_PPM:
            return False
    return True


def is_refused_for_good(refusals: Sequence[int], counted: Sequence[int], refusals_max: int) -> bool:
    """Whether a payment has been refused often enough to fail: the cause is the payment itself.

    Parameters:
      refusals: by each processor, ever.
      counted: those of them that the state of the processor does not explain, because it had charged another payment
        since its last refusal of this one. The first always counts. The dearer processor often has only that one.
    """
    return min(refusals) >= refusals_max and max(counted) >= refusals_max
