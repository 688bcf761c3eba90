"""The contest in virtual time: the router of the dispatcher, in a dispatcher, between modelled load and processors.

Nothing here looks at a clock or draws a number: the same scenario, settings and policy give the same result. The passes
of the dispatcher (:class:`engine.dispatch.command.Loop`) are the grain of it: it wakes, takes what has ended, plans,
begins, and rests. A payment is a number, its place in the order of acceptance.

What is left out, because nothing of it happens among these processors: requests that hang, lost answers, crashes.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from engine.dispatch.life import RESEND_FIRST_MS, RESEND_LAST_MS
from engine.dispatch.pacing import AWAKE_MS, IDLE_WAIT_MS, Pass, rest_ms
from engine.dispatch.starting import OVERDUE_AGAIN_MS
from engine.intake import window
from engine.lab.contest.scenario import Scenario
from engine.lab.replay.load import Arrivals
from engine.lab.replay.model import Model, Spread, share_of
from engine.lab.replay.processor import CHARGED, FAILED, REJECTED, TIMED_OUT, Course, ModelledProcessor
from engine.lab.replay.result import BIN_MS, AuditSeen, Result, Series
from engine.lab.simulate.changes import SOON_MS, Onset, Recovery
from engine.memory.layout import PROCESSORS
from engine.routing.plan import Queue
from engine.routing.router import Router
from engine.settings import Settings

# The router's clock at the begin of the load: an engine has been up for a while when a contest begins.
EPOCH_MS = 1_000_000
SLOW_MS = 1500  # a processor that takes so long is not one that a payment should have been sent to: audits see it
BIN_US = BIN_MS * 1000
NEVER_US = 1 << 62
UNHEARD_US = 100_000  # more than lies between any two readings of an audit, or between an insertion and our books

# What differs from audit to audit was measured with 576 of them: 24 of :class:`engine.lab.contest.timetable.Auditor`,
# each asking every 10 s, as in a contest, of `python -m engine up` and `simulate` with 250 payments/s of k6. Copies of
# both noted the time in `engine/intake/server.py` (around BooksReader.window), `engine/lab/simulate/routes.py` (before
# PaymentStore.totals), `engine/lab/simulate/behaviour.py` (before PaymentStore.insert) and
# `engine/dispatch/dispatcher.py` (after BooksWriter.commit), each as time.monotonic_ns(). In 120 s with both well, and
# 130 s with a default that takes 2 s and a fallback that fails, so that every answer must be heard at once; of the
# second's 300 audits 27 differed. The same scenario replayed (`python -m engine replay FILE`, audit.every_s = 0.4167):
# 28 of 305, mean of eight.
ASKED_LATER = Spread(
    (
        (0.0, -4456), (0.01, -2002), (0.05, -1221), (0.1, -867), (0.25, -488), (0.5, 389),
        (0.75, 890), (0.9, 1459), (0.95, 1676), (0.99, 2393), (1.0, 3939),
    )
)  # fmt: skip
# What the measured times from an insertion to our books (0.53, 0.88, 1.75, 3.3 ms are the quantiles 10, 50, 90, 99 of
# 32,942 payments) are longer than the pace alone makes them (0.46 to 0.83 ms).
BOOKED_LATER = Spread(
    (
        (0.0, 0), (0.1, 20), (0.25, 80), (0.5, 300), (0.75, 640), (0.9, 1150),
        (0.95, 1500), (0.99, 2500), (0.999, 4700), (1.0, 13000),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Pace:
    """What the dispatcher takes, in µs, on the 2-core development machine that it shares with the processors and k6.

    Parameters:
      pass_us: of its CPU for a pass in which nothing happens.
      begin_us, end_us: for each attempt that is begun, that ends. With ``pass_us`` they give what was measured when the
        rest between two passes was always 4 ms: 180 µs a payment in the preview (one in each pass), and 7,000/s in a
        burst of 10,000 (64 in each).
      wake_us: from what it sleeps for to its being awake.
      asked_later: at an audit's "same moment", how much later than the engine's books a processor's are read, or how
        much earlier (a third of them); each processor has a value of its own at each audit.
      booked_later: how much later than by all of this what a pass has settled is in the books; at each audit another.
      held_us: how much later the engine's books are read while it must hear; its timers are up to a millisecond late.
    """

    pass_us: int = 90
    begin_us: int = 45
    end_us: int = 35
    wake_us: int = 100
    asked_later: Spread = ASKED_LATER
    booked_later: Spread = BOOKED_LATER
    held_us: int = window.HELD_MS * 1000 + 500


@dataclass(slots=True)
class _Unresolved:
    """A payment whose request timed out: it belongs to its processor until that has answered.

    ``inserted_us`` is when the processor has it, as far as that is certain by now; ``ticket`` of the request that is in
    flight for it.
    """

    processor: int
    requested_us: int
    inserted_us: int | None
    tries: int = 0
    ticket: int | None = None


class _Booked(NamedTuple):
    """A payment that an audit may see in one of the books only: it was settled just now, and took long.

    ``booked_us``: when it is in ours, by the pace.
    """

    processor: int
    requested_us: int
    inserted_us: int
    booked_us: int


class _WaitClock:
    """Runs only while payments wait for no good reason: some processor is in truth well and not kept busy.

    The time is kept as the spans in which it ran: the voluntary wait of a payment is what lies of them between its
    acceptance and its being sent.
    """

    def __init__(self) -> None:
        self.end_us = 0  # of the last span
        self._from_us: list[int] = []
        self._to_us: list[int] = []
        self._before_us: list[int] = []  # what the clock showed at its begin

    def run(self, from_us: int, to_us: int) -> None:
        """It ran between two moments, the first no earlier than the last one's second."""
        if self._to_us and self._to_us[-1] == from_us:
            self._to_us[-1] = to_us
        else:
            self._before_us.append(self.at(from_us))
            self._from_us.append(from_us)
            self._to_us.append(to_us)
        self.end_us = to_us

    def at(self, time_us: int) -> int:
        """What it showed at a moment (µs)."""
        index = bisect_right(self._from_us, time_us) - 1
        if index < 0:
            return 0
        return self._before_us[index] + min(time_us, self._to_us[index]) - self._from_us[index]


class World:
    """One contest.

    Parameters:
      scenario, arrivals: what is done to the engine; see :func:`engine.lab.replay.load.arrivals`.
      router: decides; it must be new.
      settings: the dispatcher's own: pause, batch, time-out.
    """

    def __init__(
        self,
        scenario: Scenario,
        arrivals: Arrivals,
        router: Router,
        settings: Settings,
        model: Model,
        pace: Pace,
    ) -> None:
        self._scenario = scenario
        self._router = router
        self._model = model
        self._pace = pace
        self._pause_ms = settings.dispatch.pause_ms
        self._gather = settings.dispatch.target_batch
        self._batch = settings.dispatch.batch
        self._timeout_us = settings.dispatch.request_timeout_ms * 1000
        self._end_us = arrivals.end_us
        self._accepted_us = [*arrivals.accepted_us, NEVER_US]
        self._processors = [ModelledProcessor(Course(scenario, processor), model) for processor in PROCESSORS]

        # The queue: payments from ``_cursor`` to ``_head`` that no probe has taken; before them those to send again.
        self._head = 0
        self._cursor = 0
        self._taken: set[int] = set()
        self._again: list[int] = []  # heap
        # heap: (answer µs, ticket, payment, processor, requested µs, how it ends, inserted µs or None)
        self._flight: list[tuple[int, int, int, int, int, int, int | None]] = []
        self._ticket = 0
        self._unresolved: dict[int, _Unresolved] = {}
        # heap of what is due for them: (µs, payment, True: its processor says that it is there, False: send it again)
        self._due: list[tuple[int, int, bool]] = []
        self._healths: list[tuple[int, int, tuple[bool, int] | None]] = []  # (answer µs, processor, what it says)

        self._next_us = 0
        self._worked_us = -NEVER_US
        self._ends = 0  # attempts that ended in this pass
        self._begins = 0  # attempts that were begun in this pass
        self._pass_ms = 0  # when the last one was

        self._settled = [0, 0]
        self._wasted = self._rejected = self._timed_out = 0
        self._waits = _WaitClock()
        self._voluntary_us = self._waited_us = self._backlog_max = 0
        self._audits: list[AuditSeen] = []
        self._looks_back_us = round(scenario.audit.to_s * 1_000_000)
        self._settled_late: list[tuple[int, int, int]] = []  # in this pass: (processor, requested µs, inserted µs)
        self._booked: deque[_Booked] = deque()  # lately
        bins = self._end_us // BIN_US + 1
        self._begun_in = ([0] * bins, [0] * bins)
        self._settled_in = ([0] * bins, [0] * bins)
        self._waiting_at: list[int] = []
        self._in_flight_at: tuple[list[int], list[int]] = ([], [])
        self._sample_us = BIN_US
        courses = [processor.course for processor in self._processors]
        self._onsets_us = [course.turns(to_failing=True) for course in courses]
        self._failures = [[[0, 0, 0] for _ in onsets] for onsets in self._onsets_us]  # caught, sent soon, sent later
        self._recoveries_us = [course.turns(to_failing=False) for course in courses]
        self._firsts_us: tuple[list[int | None], list[int | None]] = ([], [])
        self._recovery_us = [recoveries[0] if recoveries else NEVER_US for recoveries in self._recoveries_us]

    def run(self, policy: str) -> Result:
        """Plays it to the end; ``policy`` is the router's name in the result."""
        for at_s in self._scenario.audit_times_s():
            at_us = round(at_s * 1_000_000)
            self._run_until(at_us)
            self._router.audited(EPOCH_MS + at_us // 1000)
            held_us = self._pace.held_us if self._router.must_listen(EPOCH_MS + at_us // 1000) else 0
            self._run_until(at_us + held_us)
            self._audits.append(AuditSeen(at_us / 1_000_000, self._missed(at_us, held_us)))
        self._run_until(self._end_us)
        self._sample(self._end_us)
        return self._result(policy)

    @property
    def waiting(self) -> int:
        """Payments that may be sent anywhere and are not in flight."""
        return self._head - self._cursor - len(self._taken) + len(self._again)

    def _run_until(self, until_us: int) -> None:
        while self._next_us < until_us:
            self._pass(self._next_us)

    def _pass(self, now_us: int) -> None:
        """One round of the dispatcher: what ended, then what begins, and when the next one is."""
        if now_us >= self._sample_us:
            self._sample(now_us)
        now_ms = EPOCH_MS + now_us // 1000
        self._ends = self._begins = 0
        flight, accepted_us, router = self._flight, self._accepted_us, self._router
        while self._healths and self._healths[0][0] <= now_us:
            _, processor, said = self._healths.pop(0)
            router.observed[processor].health_ended(now_ms)
            if said is not None:
                router.observed[processor].health(now_ms, *said)
        while flight and flight[0][0] <= now_us:
            self._finish(now_us, now_ms)
        head = self._head
        while accepted_us[head] <= now_us:
            head += 1
        self._head = head
        for processor, observed in enumerate(router.observed):
            if observed.wants_health(now_ms):
                observed.health_asked(now_ms)
                self._ask_health(now_us, processor)
        while self._due and self._due[0][0] <= now_us:
            self._act_on_unresolved(now_us, now_ms)
        if self._settled_late:
            self._book(now_us)

        waiting = self.waiting
        oldest_ms = (now_us - accepted_us[self._front()]) // 1000 if waiting else 0
        newest_ms = (now_us - accepted_us[self._newest()]) // 1000 if waiting else 0
        plan = router.plan(now_ms, Queue(waiting, oldest_ms, self._settled[0] + self._settled[1], newest_ms))
        if plan[0] or plan[1]:
            for processor in PROCESSORS:
                for _ in range(min(plan[processor], self._batch - self._begins)):
                    self._begin(now_us, now_ms, processor, plan.is_probe(processor))
            waiting = self.waiting
        if waiting > self._backlog_max:
            self._backlog_max = waiting
        self._rest(now_us, now_ms, waiting)

    def _front(self) -> int:
        """The payment to send next: those to send again first, then the oldest; at least one waits."""
        if self._again:
            return self._again[0]
        while self._cursor in self._taken:
            self._taken.remove(self._cursor)
            self._cursor += 1
        return self._cursor

    def _take(self) -> int:
        payment = self._front()
        if self._again:
            return heapq.heappop(self._again)
        self._cursor += 1
        return payment

    def _newest(self) -> int:
        """The payment for a probe: the newest that has not been taken; at least one waits."""
        payment = self._head - 1
        while payment in self._taken:
            payment -= 1
        return payment if payment >= self._cursor else self._front()

    def _take_newest(self) -> int:
        payment = self._newest()
        if payment < self._cursor:
            return self._take()
        self._taken.add(payment)
        return payment

    def _begin(self, now_us: int, now_ms: int, processor: int, is_probe: bool) -> None:
        """Sends the next payment to ``processor``; as a probe the newest one."""
        payment = self._take_newest() if is_probe else self._take()
        accepted_us = self._accepted_us[payment]
        if now_us - accepted_us > self._waited_us:
            self._waited_us = now_us - accepted_us
        waits = self._waits
        if waits.end_us > accepted_us:
            self._voluntary_us = max(self._voluntary_us, waits.at(now_us) - waits.at(accepted_us))
        self._begun_in[processor][now_us // BIN_US] += 1
        answer_us, verdict, inserted_us = self._send(now_us, now_ms, processor)
        heapq.heappush(self._flight, (answer_us, self._ticket, payment, processor, now_us, verdict, inserted_us))

    def _send(self, now_us: int, now_ms: int, processor: int) -> tuple[int, int, int | None]:
        """Sends a request under a new ticket: when the dispatcher hears of its end, what it hears, and when the payment
        is inserted, if it is.
        """
        self._ticket += 1
        self._begins += 1
        self._router.observed[processor].began(now_ms, self._ticket)
        sent_us = now_us + self._begins * self._pace.begin_us
        transit_us = self._model.transit_us
        end_us, verdict = self._processors[processor].pay(sent_us + transit_us)
        answer_us = end_us + transit_us
        inserted_us = end_us if verdict == CHARGED else None
        if answer_us > sent_us + self._timeout_us:
            return sent_us + self._timeout_us, TIMED_OUT, inserted_us
        return answer_us, verdict, inserted_us

    def _finish(self, now_us: int, now_ms: int) -> None:
        """Takes the end of the request that has ended first."""
        answer_us, ticket, payment, processor, requested_us, verdict, inserted_us = heapq.heappop(self._flight)
        self._ends += 1
        if verdict == CHARGED and payment not in self._unresolved:
            assert inserted_us is not None
            self._router.observed[processor].ended(now_ms, ticket, True)
            self._settle(processor, inserted_us)
            if now_us - requested_us > self._looks_back_us - UNHEARD_US:
                self._settled_late.append((processor, requested_us, inserted_us))
            return
        observed = self._router.observed[processor]
        if verdict == REJECTED:
            observed.rejected(now_ms, ticket)
            self._rejected += 1
        else:
            observed.ended(now_ms, ticket, verdict == CHARGED, payment)
        entry = self._unresolved.get(payment)
        if verdict == FAILED:
            self._note_failure(processor, requested_us, answer_us, now_us)
        elif verdict == TIMED_OUT:
            self._timed_out += 1
            if entry is None:
                entry = self._unresolved[payment] = _Unresolved(processor, requested_us, None)
            if inserted_us is not None and (entry.inserted_us is None or inserted_us < entry.inserted_us):
                entry.inserted_us = inserted_us
                # Questions for what is overdue find it so much later at most.
                heapq.heappush(self._due, (max(inserted_us, now_us) + OVERDUE_AGAIN_MS * 1000, payment, True))
        if entry is None:
            if payment >= self._cursor:  # a probe: it still has its place in the queue
                self._taken.remove(payment)
            else:
                heapq.heappush(self._again, payment)
        elif verdict == CHARGED:
            self._resolve(payment, entry)
        else:
            wait_ms = min(RESEND_FIRST_MS << min(entry.tries, 16), RESEND_LAST_MS)
            entry.tries, entry.ticket = entry.tries + 1, None
            heapq.heappush(self._due, (now_us + wait_ms * 1000, payment, False))

    def _act_on_unresolved(self, now_us: int, now_ms: int) -> None:
        """The same body again to the same processor, or the news that it is there."""
        _, payment, found = heapq.heappop(self._due)
        entry = self._unresolved.get(payment)
        if entry is None:
            return
        if found:
            if entry.ticket is not None:
                self._router.observed[entry.processor].dropped(entry.ticket)
                self._flight = [request for request in self._flight if request[1] != entry.ticket]
                heapq.heapify(self._flight)
            self._resolve(payment, entry)
        elif not self._router.allows(now_ms, entry.processor):
            heapq.heappush(self._due, (now_us + RESEND_FIRST_MS * 1000, payment, False))
        else:
            answer_us, verdict, inserted_us = self._send(now_us, now_ms, entry.processor)
            entry.ticket = self._ticket
            if inserted_us is not None and entry.inserted_us is not None:
                inserted_us = min(inserted_us, entry.inserted_us)  # the later one finds it there: 422
            if verdict == CHARGED:
                entry.inserted_us = inserted_us
            request = (answer_us, self._ticket, payment, entry.processor, entry.requested_us, verdict, inserted_us)
            heapq.heappush(self._flight, request)

    def _resolve(self, payment: int, entry: _Unresolved) -> None:
        assert entry.inserted_us is not None
        del self._unresolved[payment]
        self._settle(entry.processor, entry.inserted_us)
        self._settled_late.append((entry.processor, entry.requested_us, entry.inserted_us))

    def _book(self, now_us: int) -> None:
        """What took long and was settled in this pass is in the books at the pass's end: it is one transaction."""
        pace, booked = self._pace, self._booked
        booked_us = now_us + pace.pass_us + self._ends * pace.end_us
        booked.extend(_Booked(*late, booked_us) for late in self._settled_late)
        self._settled_late.clear()
        while booked[0].booked_us < now_us - UNHEARD_US:
            booked.popleft()

    def _settle(self, processor: int, inserted_us: int) -> None:
        self._settled[processor] += 1
        self._settled_in[processor][inserted_us // BIN_US] += 1
        if inserted_us >= self._recovery_us[processor]:
            self._note_recovery(processor, inserted_us)

    def _note_failure(self, processor: int, requested_us: int, answer_us: int, now_us: int) -> None:
        self._wasted += 1
        course = self._processors[processor].course
        if not course.failing[course.index(answer_us - self._model.transit_us)]:
            return  # at random
        onsets_us = self._onsets_us[processor]
        onset = bisect_right(onsets_us, now_us - self._model.transit_us) - 1
        age_us = requested_us - onsets_us[onset]
        self._failures[processor][onset][0 if age_us < 0 else 1 if age_us < SOON_MS * 1000 else 2] += 1

    def _note_recovery(self, processor: int, inserted_us: int) -> None:
        recoveries_us, firsts_us = self._recoveries_us[processor], self._firsts_us[processor]
        newest = bisect_right(recoveries_us, inserted_us)
        firsts_us.extend([None] * (newest - 1 - len(firsts_us)))
        firsts_us.append(inserted_us)
        self._recovery_us[processor] = recoveries_us[newest] if newest < len(recoveries_us) else NEVER_US

    def _ask_health(self, now_us: int, processor: int) -> None:
        there_us = now_us + self._model.transit_us
        answer_us = there_us + self._model.transit_us
        self._healths.append((answer_us, processor, self._processors[processor].health(there_us)))

    def _rest(self, now_us: int, now_ms: int, waiting: int) -> None:
        """When the next pass is. The loop rests a while after work; when there was none for long, it sleeps until
        something happens.
        """
        pace = self._pace
        done = Pass(
            self._begins, self._ends, now_ms - self._pass_ms, self._router.are_healthy, self._router.is_calm(now_ms)
        )
        self._pass_ms = now_ms
        if self._begins or self._ends:
            self._worked_us = now_us
        free_us = now_us + pace.pass_us + self._begins * pace.begin_us + self._ends * pace.end_us
        pause_us = self._rest_us(free_us, done)
        awake_until_us = self._worked_us + AWAKE_MS * 1000
        if self._router.must_listen(now_ms):
            due_us = self._flight[0][0] + pace.wake_us if self._flight else NEVER_US
            next_us = max(free_us, min(due_us, free_us + pause_us))
        elif waiting and now_us < awake_until_us:
            next_us = free_us + pause_us  # it plans in every pass
        else:
            due_us = self._due_us(now_us, now_ms, waiting)
            if due_us < awake_until_us:
                next_us = free_us + pause_us
                idle = done._replace(begun=0, ended=0, after_ms=self._pause_ms)
                while next_us < due_us:  # passes in which there is nothing to do
                    next_us += pace.pass_us
                    next_us += self._rest_us(next_us, idle)
            else:
                next_us = max(free_us + (pause_us if self._flight else 0), due_us + pace.wake_us)
        self._next_us = next_us
        if waiting:
            self._run_wait_clock(now_us, next_us)

    def _rest_us(self, from_us: int, done: Pass) -> int:
        """How long the rest is that begins then."""
        from_ms = EPOCH_MS + from_us // 1000
        return 1000 * rest_ms(
            self._pause_ms,
            self._gather,
            self._batch,
            done,
            lambda for_ms: self._router.audit_delay_ms(from_ms + for_ms),
        )

    def _due_us(self, now_us: int, now_ms: int, waiting: int) -> int:
        """When the next thing happens that the dispatcher wakes for."""
        due_us = min(now_us + int(IDLE_WAIT_MS) * 1000, self._accepted_us[self._head])
        if self._flight and self._flight[0][0] < due_us:
            due_us = self._flight[0][0]
        if self._healths:
            due_us = min(due_us, self._healths[0][0])
        if self._due:
            due_us = min(due_us, self._due[0][0])
        wake_ms = self._router.wake_ms(now_ms, waiting)
        if wake_ms is not None:
            due_us = min(due_us, (wake_ms - EPOCH_MS) * 1000)
        for observed in self._router.observed:
            health_ms = observed.health_due_ms()
            if health_ms > now_ms:
                due_us = min(due_us, (health_ms - EPOCH_MS) * 1000)
        return due_us

    def _run_wait_clock(self, from_us: int, to_us: int) -> None:
        """Payments wait between two passes: lets the clock run while some processor could have had them."""
        begin_us = from_us
        while begin_us < to_us:
            end_us, is_voluntary = to_us, False
            for processor, observed in zip(self._processors, self._router.observed, strict=True):
                course = processor.course
                index = course.index(begin_us)
                if index + 1 < len(course.changes_us):
                    end_us = min(end_us, course.changes_us[index + 1])
                is_well = not course.failing[index] and course.delays_us[index] < SLOW_MS * 1000
                if is_well and not processor.is_saturated(begin_us, observed.in_flight, to_us - from_us):
                    is_voluntary = True
            if is_voluntary:
                self._waits.run(begin_us, end_us)
            begin_us = end_us

    def _missed(self, at_us: int, held_us: int) -> int:
        """How many payments an audit at ``at_us`` finds in a processor's books or in the engine's, and not in both.

        It is ``held_us`` later now, when the engine's are read; a processor's are a little later or earlier than at_us.
        """
        plan, pace = self._scenario.audit, self._pace
        from_us, to_us = at_us - round(plan.from_s * 1_000_000), at_us - self._looks_back_us
        names = (self._scenario.name, at_us)
        booked_by_us = at_us + held_us - pace.booked_later.at(share_of(*names))
        counted_us = [at_us + pace.asked_later.at(share_of(*names, processor)) for processor in PROCESSORS]
        missed = {
            payment
            for _, _, payment, processor, requested_us, _, inserted_us in self._flight
            if inserted_us is not None and inserted_us <= counted_us[processor] and from_us <= requested_us <= to_us
        }
        for payment, entry in self._unresolved.items():
            is_inserted = entry.inserted_us is not None and entry.inserted_us <= counted_us[entry.processor]
            if is_inserted and from_us <= entry.requested_us <= to_us:
                missed.add(payment)
        booked = sum(
            (one.inserted_us <= counted_us[one.processor]) != (one.booked_us <= booked_by_us)
            for one in self._booked
            if from_us <= one.requested_us <= to_us
        )
        return len(missed) + booked

    def _sample(self, now_us: int) -> None:
        """Notes the state for every step of the series that is over."""
        while self._sample_us <= now_us:
            self._waiting_at.append(self.waiting)
            for processor, observed in enumerate(self._router.observed):
                self._in_flight_at[processor].append(observed.in_flight)
            self._sample_us += BIN_US

    def _result(self, policy: str) -> Result:
        """What is settled at the processors by now counts, whether the dispatcher has heard of it or not."""
        end_us, accepted = self._end_us, len(self._accepted_us) - 1
        inserted: dict[int, tuple[int, int]] = {}
        for _, _, payment, processor, _, _, inserted_us in self._flight:
            if inserted_us is not None and inserted_us <= end_us:
                inserted[payment] = (processor, inserted_us)
        for payment, entry in self._unresolved.items():
            if entry.inserted_us is not None and entry.inserted_us <= end_us:
                inserted[payment] = (entry.processor, entry.inserted_us)
        open_payments = {request[2] for request in self._flight} | self._unresolved.keys()
        for processor, inserted_us in inserted.values():
            self._settle(processor, inserted_us)
        not_sent = accepted - self._head + self.waiting
        left = not_sent + len(open_payments) - len(inserted)
        assert accepted == sum(self._settled) + left, "a payment was lost or doubled"
        accepted_in = [0] * len(self._settled_in[0])
        for accepted_us in self._accepted_us[:-1]:
            accepted_in[accepted_us // BIN_US] += 1
        onsets = [
            Onset(processor, at_us / 1_000_000, *counts)
            for processor in PROCESSORS
            for at_us, counts in zip(self._onsets_us[processor], self._failures[processor], strict=True)
        ]
        recoveries = []
        for processor in PROCESSORS:
            firsts_us = self._firsts_us[processor]
            for number, at_us in enumerate(self._recoveries_us[processor]):
                first_us = firsts_us[number] if number < len(firsts_us) else None
                first_ms = None if first_us is None else (first_us - at_us) / 1000
                recoveries.append(Recovery(processor, at_us / 1_000_000, first_ms))
        return Result(
            scenario=self._scenario.name,
            policy=policy,
            accepted=accepted,
            amount_cents=self._scenario.load.amount_cents,
            fees=self._scenario.fees,
            settled=(self._settled[0], self._settled[1]),
            left=left,
            end_s=end_us / 1_000_000,
            wasted=self._wasted,
            rejected=self._rejected,
            timed_out=self._timed_out,
            voluntary_ms=self._voluntary_us / 1000,
            waited_ms=self._waited_us / 1000,
            backlog_max=self._backlog_max,
            onsets=onsets,
            recoveries=recoveries,
            audits=self._audits,
            series=Series(accepted_in, self._begun_in, self._settled_in, self._waiting_at, self._in_flight_at),
        )
