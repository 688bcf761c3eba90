"""What the end of a request or of a lookup does to its payment. Pure; part of a transaction of the books.

The rules are in :mod:`engine.dispatch.life`; this module carries them out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.books import parked
from engine.connectors.answers import Outcome, Verdict
from engine.dispatch import life
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.delayed import Delayed
from engine.dispatch.life import Decision, Step
from engine.dispatch.starting import ASKING_MAX
from engine.dispatch.unresolved import Unresolved
from engine.dispatch.work import Work
from engine.memory import layout
from engine.memory.layout import ALREADY, QUEUED
from engine.payment import Payment

_CHARGED = Verdict.CHARGED  # an enumeration takes long to look up
_OVER = (Step.SETTLE, Step.CHARGED_BEFORE, Step.UNCONFIRMED)


def finish_all(work: Work, now: Now, ended: Iterable[tuple[Attempt, Outcome]]) -> None:
    """Takes the outcomes of attempts."""
    in_flight, observed, complete = work.in_flight, work.router.observed, work.settlement.complete
    mono_ms, charged = now.mono_ms, None if work.meter is None else work.meter.charged
    for attempt, outcome in ended:
        # Nearly all attempts are charged, which is SETTLE in the table, whatever else is known. So this is spelled out.
        if outcome.verdict is not _CHARGED:
            finish(work, now, attempt, outcome)
            continue
        ticket, processor = attempt.ticket, attempt.processor
        if in_flight.pop(ticket, None) is None:
            continue  # it was dropped, but its end came anyway
        observed[processor].ended(mono_ms, ticket, True)
        if attempt.tries or attempt.is_delayed:
            _forget(work, attempt)
        work.settled += 1
        complete(
            now, attempt.ring, attempt.position, processor, attempt.attempts, attempt.requested_ms, attempt.cents
        )  # fmt: skip
        if charged is not None:
            charged[processor].append(attempt)


def finish(work: Work, now: Now, attempt: Attempt, outcome: Outcome) -> None:
    """Takes the outcome of an attempt that was not CHARGED."""
    if work.in_flight.pop(attempt.ticket, None) is None:
        return  # it was dropped, but its end came anyway
    if work.meter is not None:
        work.meter.other(attempt, outcome.verdict)
    if attempt.lookup:
        work.asking -= 1
        delayed = work.delayed.get(attempt.key)
        if delayed is not None and not attempt.is_beside:
            _finish_first_lookup(work, now, attempt, delayed, outcome)
        else:
            _finish_lookup(work, now, attempt, outcome)
    else:
        _finish_request(work, now, attempt, outcome.verdict)


# --- requests --------------------------------------------------------------------------------------------------------


def _finish_request(work: Work, now: Now, attempt: Attempt, verdict: Verdict) -> None:
    delayed = work.delayed.get(attempt.key) if attempt.is_delayed else None
    _tell_router(work, now, attempt, verdict, delayed)
    step = work.decided(attempt, lambda: life.after_request(verdict, attempt.tries > 0), Step.DEAD_LETTER)
    if step is Step.PUT_BACK:
        _put_back(work, now, attempt, verdict, delayed)
    elif step is Step.TURN_ELSEWHERE:
        _turn_elsewhere(work, now, attempt, delayed)
    else:
        if delayed is not None:
            work.delayed.remove(delayed)
        _keep(work, now, attempt, verdict, step)


def _tell_router(work: Work, now: Now, attempt: Attempt, verdict: Verdict, delayed: Delayed | None) -> None:
    """What the end of a request says of its processor."""
    processor, ticket = attempt.processor, attempt.ticket
    observed = work.router.observed[processor]
    if verdict is Verdict.REJECTED:
        observed.rejected(now.mono_ms, ticket)
    elif verdict is Verdict.REFUSED:
        run, charged = work.refusing[processor]
        now_charged = work.charged(processor)
        run = run + 1 if charged == now_charged else 1
        work.refusing[processor] = run, now_charged
        if run >= life.REFUSING_RUN:
            observed.refused(now.mono_ms, ticket, attempt.key)
        else:
            observed.set_apart(now.mono_ms, ticket)
    elif verdict is Verdict.FAILED and delayed is not None and delayed.fail(processor, work.charged(processor)):
        observed.set_apart(now.mono_ms, ticket)  # others were charged since its last failure: this payment is the cause
    else:
        observed.ended(now.mono_ms, ticket, verdict is Verdict.ALREADY, attempt.key)


def _put_back(work: Work, now: Now, attempt: Attempt, verdict: Verdict, delayed: Delayed | None) -> None:
    """The payment is certainly not charged, and the answer says nothing of the payment itself."""
    observed = work.router.observed[attempt.processor]
    _store_state(work, attempt, QUEUED)
    if delayed is None:
        if verdict is not Verdict.FAILED or attempt.attempts < life.FAILURES_FEW or observed.is_open:
            work.backlog.put_back(attempt.ring, attempt.position)
            return
        delayed = work.new_delayed(attempt.ring, work.settlement.payment(attempt.ring, attempt.position))
        delayed.failures[attempt.processor] = attempt.attempts
        delayed.charged[attempt.processor] = work.charged(attempt.processor)
    if verdict is Verdict.FAILED:
        delayed.rounds += 1
        failures = delayed.failures[attempt.processor]
        delayed.is_own = delayed.is_own or not (observed.is_open or life.is_explained(failures, observed.failure_ppm))
    work.give_slot_back(now, delayed)
    work.delayed.wait(delayed, now.mono_ms + life.delay_ms(delayed.rounds))


def _turn_elsewhere(work: Work, now: Now, attempt: Attempt, delayed: Delayed | None) -> None:
    """The payment was refused: a processor that has refused it less often gets it at once, if it is usable."""
    processor = attempt.processor
    _store_state(work, attempt, QUEUED)
    payment = work.settlement.payment(attempt.ring, attempt.position)
    is_new = delayed is None
    delayed = delayed or work.new_delayed(attempt.ring, payment)
    delayed.refuse(processor, work.charged(processor))
    if life.is_refused_for_good(delayed.refusals, delayed.counted, work.limits.refusals_max):
        if not is_new:
            work.delayed.remove(delayed)
        work.settlement.fail(now, delayed.ring, payment, layout.REASON_REFUSED)
        return
    if delayed.ring == parked.RING:
        work.settlement.change(delayed.position, payment, delayed.refused)
    work.give_slot_back(now, delayed)
    wait_ms = 0
    if not delayed.is_turned(processor):
        delayed.rounds += 1
        wait_ms = life.delay_ms(delayed.rounds)
    work.delayed.wait(delayed, now.mono_ms + wait_ms)


def _keep(work: Work, now: Now, attempt: Attempt, verdict: Verdict, step: Step) -> None:
    """The payment belongs to its processor."""
    unresolved = work.unresolved[attempt.processor]
    one = unresolved.get(attempt.key)
    if one is None:
        clock_ms = work.settlement.payment(attempt.ring, attempt.position).clock_ms
        place = attempt.key, attempt.ring, attempt.position, attempt.processor
        one = Unresolved(*place, clock_ms, 0, attempt.cents, is_doubted=False)
        unresolved.add(one)
    if step is Step.DEAD_LETTER:
        work.bury(now, one, layout.REASON_ERROR)
        return
    if step is Step.LOOK_UP:
        one.is_told = True
        if not one.is_doubted:
            # A dispatcher that starts after a crash must not count the crash as a request that may have charged.
            _store_state(work, attempt, ALREADY)
        unresolved.wait(one, now.mono_ms)
        return
    one.is_doubted = True
    one.tries += 1
    if verdict is Verdict.UNKNOWN and work.asking + len(work.ask_at_once) < ASKING_MAX:
        # A lookup takes less time than sending again, which would wait for a slow processor once more.
        work.ask_at_once.append(attempt)
    unresolved.wait(one, now.mono_ms + one.wait_ms(now.mono_ms))


# --- lookups ---------------------------------------------------------------------------------------------------------


def _finish_first_lookup(work: Work, now: Now, attempt: Attempt, delayed: Delayed, outcome: Outcome) -> None:
    """A lookup that must come before any request has ended. No request of ours has charged the payment."""
    delayed.asked -= 1
    step = life.after_first_lookup(outcome.verdict)
    if step is Step.CHARGED_BEFORE:
        payment = work.settlement.payment(delayed.ring, delayed.position)
        work.delayed.remove(delayed)
        work.settlement.charged_before(now, delayed.ring, payment, attempt.processor, outcome.requested_ms)
        return
    if step is Step.NOT_THERE:
        delayed.ask.discard(attempt.processor)
    if delayed.asked:
        return
    wait_ms = 0
    if delayed.ask:
        delayed.rounds += 1
        wait_ms = life.delay_ms(delayed.rounds)
    work.delayed.wait(delayed, now.mono_ms + wait_ms)


def _finish_lookup(work: Work, now: Now, attempt: Attempt, outcome: Outcome) -> None:
    """A lookup has ended. Its payment may be in flight, may wait for its next step, or may be over by now."""
    unresolved = work.unresolved[attempt.processor]
    one = unresolved.get(attempt.key)
    request = work.request_of(attempt) if outcome.verdict is Verdict.FOUND else None
    if one is None and request is None:
        return
    is_own = one is not None and one.out == attempt.ticket
    if one is None:
        assert request is not None
        place = attempt.key, request.ring, request.position, request.processor
        one = Unresolved(*place, 0, request.tries, request.cents)
    if is_own and one.is_told:
        one.absent += outcome.verdict is Verdict.ABSENT
        one.silent += outcome.verdict not in (Verdict.ABSENT, Verdict.FOUND)
    payment, course = work.settlement.payment(one.ring, one.position), one.course
    decision = work.decided(
        attempt,
        lambda: life.after_lookup(course, outcome, payment, work.clocks.spans),
        Decision(Step.DEAD_LETTER, layout.REASON_ERROR),
    )
    is_dead = decision.step is Step.DEAD_LETTER and not one.is_dead
    if is_dead and request is None:
        request = work.request_of(attempt)  # at its end the payment would be kept elsewhere
    if request is not None and (decision.step in _OVER or is_dead):
        work.drop(request)
        _forget_delayed(work, attempt.key)
        if unresolved.get(one.key) is None:
            one = replace(one, clock_ms=payment.clock_ms)
            unresolved.add(one)
    if decision.step in _OVER:
        if unresolved.get(one.key) is not None:
            unresolved.remove(one)
        _end(work, now, one.ring, payment, outcome, decision)
    elif is_dead:
        work.bury(now, one, decision.reason)
    elif is_own:
        unresolved.wait(one, now.mono_ms + one.wait_ms(now.mono_ms))


def _end(work: Work, now: Now, ring: int, payment: Payment, outcome: Outcome, decision: Decision) -> None:
    """Ends a payment with the values of its processor's record or, if unconfirmed, with the values that were sent."""
    if decision.step is Step.CHARGED_BEFORE:
        work.settlement.charged_before(now, ring, payment, payment.processor, outcome.requested_ms)
        return
    work.settled += 1
    requested_ms, cents = outcome.requested_ms, outcome.cents
    if decision.step is Step.UNCONFIRMED:
        requested_ms, cents = payment.requested_ms, payment.cents
    work.settlement.complete_with(now, ring, payment, requested_ms, cents, decision.reason)
    if work.meter is not None:
        work.meter.settled(now, payment.processor, payment.clock_ms)


# --- both ------------------------------------------------------------------------------------------------------------


def _forget(work: Work, attempt: Attempt) -> None:
    """A payment that was unresolved or delayed is charged: it is in no collection any more."""
    one = work.unresolved[attempt.processor].get(attempt.key)
    if one is not None:
        work.unresolved[attempt.processor].remove(one)
    _forget_delayed(work, attempt.key)


def _forget_delayed(work: Work, key: int) -> None:
    delayed = work.delayed.get(key)
    if delayed is not None:
        work.delayed.remove(delayed)


def _store_state(work: Work, attempt: Attempt, state: int) -> None:
    work.settlement.store_state(attempt.ring, attempt.position, state, attempt.processor, attempt.attempts)
