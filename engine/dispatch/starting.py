"""What the dispatcher begins: first requests, the same ones again, and lookups. Pure.

The words of each payment say where it goes before its request leaves. The caller sends the attempts that this module
returns, after it has brought memory to disk if that is promised.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.books import parked
from engine.dispatch import life
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.delayed import Delayed
from engine.dispatch.work import Work
from engine.memory import layout
from engine.memory.layout import (
    ORIGIN_CLOCK_MASK,
    ORIGIN_SEEN,
    PROCESSING,
    QUEUED,
    SLOT_CENTS,
    SLOT_FIRST_MS,
    SLOT_ID_HIGH,
    SLOT_ID_LOW,
    SLOT_ORIGIN,
    SLOT_PROGRESS,
    SLOT_REQUESTED_MS,
    SLOT_SEQUENCE,
    pack_progress,
    unpack_progress,
)
from engine.payment import Payment

OVERDUE_MS = 500  # when an answer is this much later than usual, the payment is looked up ...
OVERDUE_AGAIN_MS = 500  # ... and again after this, doubled each time
LEFT_FIRST_MS = 50  # what an earlier dispatcher had sent is looked up at once, again after this, doubled each time ...
LEFT_LAST_MS = 800  # ... up to this, so that what its processor charges meanwhile is seen before an audit sees it
ASKING_MAX = 32  # most lookups at once
TURNED_AWAY_MS = 100  # a delayed payment that finds no room at any processor tries again after this


def begin(work: Work, now: Now, processor: int, places: Iterable[tuple[int, int]]) -> list[Attempt]:
    """Begins payments that were taken from the backlog, each by its ring and position.

    It is done straight from the words of their slots, because it is done for every payment. A payment that cannot be
    sent yet is delayed.
    """
    rings, in_flight, observed = work.rings, work.in_flight, work.router.observed[processor]
    mono_ms, wall_ms = now
    begun: list[Attempt] = []  # in this spelling, for `list[Attempt]()` takes twenty times as long
    for ring, position in places:
        reader = rings[ring]
        words, at = reader.words, reader.offset(position)
        state, _, attempts = unpack_progress(position, words[at + SLOT_PROGRESS])
        assert state == QUEUED and words[at + SLOT_SEQUENCE] == position + 1
        origin = words[at + SLOT_ORIGIN]
        if attempts:
            first_at = at + (SLOT_FIRST_MS if attempts > 1 else SLOT_REQUESTED_MS)
            words[at + SLOT_FIRST_MS] = min(words[first_at], wall_ms)
        elif origin & ORIGIN_SEEN:
            work.delayed.wait(work.new_delayed(ring, work.settlement.payment(ring, position)), mono_ms)
            continue
        # The times first: the state must never refer to a time that was not sent.
        words[at + SLOT_REQUESTED_MS] = wall_ms
        words[at + SLOT_PROGRESS] = pack_progress(position, PROCESSING, processor, attempts + 1)
        work.last_ticket = ticket = work.last_ticket + 1
        in_flight[ticket] = attempt = Attempt(
            ticket,
            ring,
            position,
            processor,
            words[at + SLOT_ID_HIGH],
            words[at + SLOT_ID_LOW],
            words[at + SLOT_CENTS],
            wall_ms,
            attempts + 1,
            False,
            0,
            False,
            mono_ms,
            origin & ORIGIN_CLOCK_MASK,
        )
        observed.began(mono_ms, ticket)
        begun.append(attempt)
    return begun


def begin_unresolved(work: Work, now: Now, processor: int, room: int) -> list[Attempt]:
    """Begins what is due for payments that belong to ``processor``: lookups, and at most ``room`` repeated requests."""
    unresolved = work.unresolved[processor]
    attempts: list[Attempt] = []
    while _is_due(unresolved.lookups.next_ms(), now) and work.asking < ASKING_MAX:
        one = unresolved.lookups.take()
        one.asked += 1
        payment = work.settlement.payment(one.ring, one.position)
        attempts.append(work.lookup(now, one.ring, payment, processor, one.tries))
        one.out = attempts[-1].ticket
    while _is_due(unresolved.requests.next_ms(), now) and len(attempts) < room:
        if not work.router.allows(now.mono_ms, processor):
            break
        one = unresolved.requests.take()
        payment = work.settlement.payment(one.ring, one.position)
        assert payment.state == PROCESSING and payment.processor == processor
        if one.ring != parked.RING:
            payment = payment._replace(attempts=payment.attempts + 1)
            work.settlement.store_request(one.ring, payment)
        attempts.append(work.request(now, one.ring, payment, one.tries))
        one.out = attempts[-1].ticket
    return attempts


def begin_left(work: Work, now: Now) -> list[Attempt]:
    """Lookups of what an earlier dispatcher had sent, beside the same requests that are sent again.

    They may be charged at any moment, though nobody waits for the answers any more.
    """
    attempts: list[Attempt] = []
    while _is_due(work.left.next_ms(), now) and work.asking < ASKING_MAX:
        one = work.left.take()
        if one.looks_up:  # it is asked for anyway
            continue
        payment = work.settlement.payment(one.ring, one.position)
        attempts.append(work.lookup(now, one.ring, payment, one.processor, one.tries))
        attempts[-1].is_beside = True
        wait_ms = LEFT_FIRST_MS << one.asked
        if wait_ms <= LEFT_LAST_MS:
            one.asked += 1
            work.left.wait(one, now.mono_ms + wait_ms)
    return attempts


def begin_delayed(work: Work, now: Now, room: int) -> list[Attempt]:
    """Begins what is due for payments with a back-off of their own: lookups, and at most ``room`` requests."""
    attempts: list[Attempt] = []
    while _is_due(work.delayed.due.next_ms(), now) and len(attempts) < room:
        one = work.delayed.due.take()
        payment = work.settlement.payment(one.ring, one.position)
        if now.mono_ms - one.clock_ms >= work.limits.give_up_ms:
            work.delayed.remove(one)
            work.fail(now, one.ring, payment, layout.REASON_TOO_OLD)
        elif one.ask:
            if work.asking + len(one.ask) > ASKING_MAX:
                work.delayed.wait(one, now.mono_ms + TURNED_AWAY_MS)
                break
            one.asked = len(one.ask)
            attempts += [work.lookup(now, one.ring, payment, processor, 0) for processor in sorted(one.ask)]
        else:
            processor = _choose(work, now, one)
            if processor is None:
                work.delayed.wait(one, now.mono_ms + TURNED_AWAY_MS)
            else:
                attempts.append(_begin_delayed(work, now, one, payment, processor))
    return attempts


def overdue(work: Work, now: Now) -> list[Attempt]:
    """Begins lookups of payments whose answer is overdue.

    If a processor charges and then does not answer, it has the payment in its books all the time, and an audit would
    find it there. So the payment is looked up on another connection, long before the request times out.
    """
    late: list[Attempt] = []
    for attempt in work.in_flight.values():  # in the order of their age
        age_ms = now.mono_ms - attempt.began_ms
        if age_ms < OVERDUE_MS or work.asking + len(late) >= ASKING_MAX:
            break
        is_overdue = age_ms >= work.router.observed[attempt.processor].usual_ms + OVERDUE_MS
        if is_overdue and now.mono_ms >= attempt.ask_ms and not attempt.lookup:
            attempt.ask_ms = now.mono_ms + max(OVERDUE_AGAIN_MS, age_ms)
            late.append(attempt)
    return [work.lookup_beside(now, attempt) for attempt in late]


def wake_ms(work: Work, now_ms: int) -> int | None:
    """When the next of these attempts is due if nothing happens before (engine's clock); None: none."""
    times = []
    for observed, unresolved in zip(work.router.observed, work.unresolved, strict=True):
        due_ms = unresolved.requests.next_ms()
        if due_ms is not None and not observed.is_paused:
            times.append(max(due_ms, observed.wake_ms(now_ms) or 0))
        due_ms = unresolved.lookups.next_ms()
        if due_ms is not None and work.asking < ASKING_MAX:  # else an answer must come first
            times.append(due_ms)
    due_ms = work.left.next_ms()
    if due_ms is not None and work.asking < ASKING_MAX:
        times.append(due_ms)
    due_ms = work.delayed.due.next_ms()
    if due_ms is not None:
        times.append(due_ms)
    return min(times, default=None)


def _choose(work: Work, now: Now, one: Delayed) -> int | None:
    """Where a delayed payment goes now; None if no processor has room for it."""
    costs_ppm = [work.router.cost_ppm(processor) for processor in work.processors]
    order = one.choose(costs_ppm, [observed.failure_ppm for observed in work.router.observed])
    return next((processor for processor in order if _may_go(work, now, processor)), None)


def _may_go(work: Work, now: Now, processor: int) -> bool:
    """Whether a delayed payment may be sent. A processor that refuses everything answers at once, at no cost to it."""
    if work.refusing[processor][0] >= life.REFUSING_RUN:
        return work.router.observed[processor].room(now.mono_ms) > 0
    return work.router.allows(now.mono_ms, processor)


def _begin_delayed(work: Work, now: Now, one: Delayed, payment: Payment, processor: int) -> Attempt:
    payment = payment._replace(
        state=PROCESSING,
        processor=processor,
        attempts=payment.attempts + 1,
        requested_ms=now.wall_ms,
        first_ms=min(payment.first_ms, now.wall_ms) if payment.attempts else now.wall_ms,
    )
    work.books.begin(now.wall_ms)  # so that its bucket is open when it is settled
    if one.ring == parked.RING:
        work.settlement.change(one.position, payment)
    work.books.commit()
    if one.ring != parked.RING:
        work.settlement.store_request(one.ring, payment)
    attempt = work.request(now, one.ring, payment, 0)
    attempt.is_delayed = one.is_out = True
    return attempt


def _is_due(due_ms: int | None, now: Now) -> bool:
    return due_ms is not None and due_ms <= now.mono_ms
