"""The contest in virtual time: the router, backlog and pacing of the dispatcher between modelled load and processors.

Nothing here looks at a clock or draws a number: the same scenario, settings and policy give the same result. The passes
of the dispatcher (:class:`engine.dispatch.loop.Loop`) are its smallest steps: the dispatcher wakes, takes what has
ended, plans, begins, and pauses. A payment is a number, its place in the order of acceptance.

Requests that hang, lost answers and crashes are left out, because these processors have none of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from engine.dispatch import pacing
from engine.dispatch.life import RESEND_FIRST_MS, RESEND_LAST_MS
from engine.dispatch.pacing import AWAKE_MS, IDLE_WAIT_MS, Listen, Pass, Pause, Rhythm
from engine.dispatch.starting import OVERDUE_AGAIN_MS
from engine.lab.contest.scenario import Scenario
from engine.lab.replay.audits import Audits, Inserted
from engine.lab.replay.load import Arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.notes import Notes
from engine.lab.replay.pace import Pace
from engine.lab.replay.processor import CHARGED, FAILED, REJECTED, TIMED_OUT, Course, ModelledProcessor
from engine.lab.replay.result import AuditSeen, Result
from engine.lab.replay.waiting import NEVER_US, Waiting
from engine.lab.replay.waits import WaitClock
from engine.processors import CONTEST_NAMES
from engine.routing.plan import Queue
from engine.routing.router import Router
from engine.settings import Settings

# The router's clock at the beginning of the load: an engine has been up for a while when a contest begins.
EPOCH_MS = 1_000_000
PROCESSORS = range(len(CONTEST_NAMES))


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
        self._arrivals = arrivals
        self._router = router
        self._model = model
        self._pace = pace
        dispatch = settings.dispatch
        self._rhythm = Rhythm(dispatch.pause_ms, dispatch.target_batch, dispatch.batch)
        self._timeout_us = dispatch.request_timeout_ms * 1000
        self._processors = [ModelledProcessor(Course(scenario, processor), model) for processor in PROCESSORS]
        self._waiting = Waiting(arrivals.accepted_us)
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

        self._wasted = self._rejected = self._timed_out = 0
        self._waits = WaitClock()
        self._voluntary_us = self._waited_us = self._backlog_max = 0
        self._audits = Audits(scenario, pace)
        self._seen: list[AuditSeen] = []
        self._notes = Notes(self._processors, arrivals.end_us, model.transit_us)

    def run(self, policy: str) -> Result:
        """Plays it to the end; ``policy`` is the router's name in the result."""
        for at_s in self._scenario.audit_times_s():
            at_us = round(at_s * 1_000_000)
            self._run_until(at_us)
            self._router.audited(_ms(at_us))
            held_us = self._pace.held_us if self._router.must_listen(_ms(at_us)) else 0
            self._run_until(at_us + held_us)
            self._seen.append(AuditSeen(at_us / 1_000_000, self._audits.missed(at_us, held_us, self._unheard())))
        self._run_until(self._arrivals.end_us)
        self._notes.sample(self._arrivals.end_us, self._waiting.count, self._router.observed)
        return self._result(policy)

    def _run_until(self, until_us: int) -> None:
        while self._next_us < until_us:
            self._pass(self._next_us)

    def _pass(self, now_us: int) -> None:
        """One round of the dispatcher: what ended, then what begins, and when the next one is."""
        queue, router = self._waiting, self._router
        if self._notes.is_sample_due(now_us):
            self._notes.sample(now_us, queue.count, router.observed)
        now_ms = _ms(now_us)
        self._ends = self._begins = 0
        while self._healths and self._healths[0][0] <= now_us:
            _, processor, said = self._healths.pop(0)
            router.observed[processor].health_ended(now_ms)
            if said is not None:
                router.observed[processor].health(now_ms, *said)
        while self._flight and self._flight[0][0] <= now_us:
            self._finish(now_us, now_ms)
        queue.accept(now_us)
        for processor, observed in enumerate(router.observed):
            if observed.wants_health(now_ms):
                observed.health_asked(now_ms)
                self._ask_health(now_us, processor)
        while self._due and self._due[0][0] <= now_us:
            self._act_on_unresolved(now_us, now_ms)
        self._audits.book(now_us, self._ends)

        waiting = queue.count
        oldest_ms = (now_us - queue.oldest_us()) // 1000 if waiting else 0
        newest_ms = (now_us - queue.newest_us()) // 1000 if waiting else 0
        plan = router.plan(now_ms, Queue(waiting, oldest_ms, sum(self._notes.settled), newest_ms))
        for processor in PROCESSORS:
            for _ in range(min(plan[processor], self._rhythm.batch - self._begins)):
                self._begin(now_us, now_ms, processor, plan.is_probe(processor))
        waiting = queue.count
        if waiting > self._backlog_max:
            self._backlog_max = waiting
        self._rest(now_us, now_ms, waiting)

    def _begin(self, now_us: int, now_ms: int, processor: int, is_probe: bool) -> None:
        """Sends the next payment to ``processor``; as a probe the newest one."""
        payment = self._waiting.take(is_probe)
        accepted_us = self._waiting.accepted_us(payment)
        if now_us - accepted_us > self._waited_us:
            self._waited_us = now_us - accepted_us
        waits = self._waits
        if waits.end_us > accepted_us:
            self._voluntary_us = max(self._voluntary_us, waits.at(now_us) - waits.at(accepted_us))
        self._notes.begun(now_us, processor)
        answer_us, verdict, inserted_us = self._send(now_us, now_ms, processor)
        heapq.heappush(self._flight, (answer_us, self._ticket, payment, processor, now_us, verdict, inserted_us))

    def _send(self, now_us: int, now_ms: int, processor: int) -> tuple[int, int, int | None]:
        """Sends a request under a new ticket: when the dispatcher learns of its end, how it ends, and when the payment
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
            self._settle(payment, processor, requested_us, inserted_us)
            self._audits.settled(now_us, processor, requested_us, inserted_us)
            return
        observed = self._router.observed[processor]
        if verdict == REJECTED:
            observed.rejected(now_ms, ticket)
            self._rejected += 1
        else:
            observed.ended(now_ms, ticket, verdict == CHARGED, payment)
        entry = self._unresolved.get(payment)
        if verdict == FAILED:
            self._wasted += 1
            self._notes.failed(processor, requested_us, answer_us, now_us)
        elif verdict == TIMED_OUT:
            self._timed_out += 1
            if entry is None:
                entry = self._unresolved[payment] = _Unresolved(processor, requested_us, None)
            if inserted_us is not None and (entry.inserted_us is None or inserted_us < entry.inserted_us):
                entry.inserted_us = inserted_us
                # Lookups for what is overdue find it so much later at most.
                heapq.heappush(self._due, (max(inserted_us, now_us) + OVERDUE_AGAIN_MS * 1000, payment, True))
        if entry is None:
            self._waiting.put_back(payment)
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
        self._settle(payment, entry.processor, entry.requested_us, entry.inserted_us)
        self._audits.resolved(entry.processor, entry.requested_us, entry.inserted_us)

    def _settle(self, payment: int, processor: int, requested_us: int, inserted_us: int) -> None:
        """``processor`` has the payment since ``inserted_us``; each payment once."""
        self._notes.settle(processor, inserted_us)

    def _ask_health(self, now_us: int, processor: int) -> None:
        there_us = now_us + self._model.transit_us
        answer_us = there_us + self._model.transit_us
        self._healths.append((answer_us, processor, self._processors[processor].health(there_us)))

    # --- between two passes ------------------------------------------------------------------------------------------

    def _rest(self, now_us: int, now_ms: int, waiting: int) -> None:
        """When the next pass is, by the dispatcher's own pacing."""
        pace, router = self._pace, self._router
        if self._begins or self._ends:
            self._worked_us = now_us
        done = Pass(
            self._begins,
            self._ends,
            now_ms - self._pass_ms,
            (now_us - self._worked_us) // 1000,
            len(self._flight),
            router.are_healthy,
            router.is_calm(now_ms),
            router.must_listen(now_ms),
        )
        self._pass_ms = now_ms
        free_us = now_us + pace.pass_us + self._begins * pace.begin_us + self._ends * pace.end_us

        def due() -> float:
            return EPOCH_MS + self._due_us(now_us, now_ms, waiting) / 1000

        decided = pacing.decide(self._rhythm, done, _ms(free_us), router.audit_delay_ms, due)
        if isinstance(decided, Listen):
            heard_us = self._flight[0][0] + pace.wake_us if self._flight else NEVER_US
            next_us = max(free_us, min(heard_us, free_us + decided.for_ms * 1000))
        elif isinstance(decided, Pause):
            next_us = free_us + decided.for_ms * 1000
            if not waiting:
                next_us = self._skip_idle(free_us, next_us, done, self._due_us(now_us, now_ms, waiting))
        else:
            due_us = round((decided.until_ms - EPOCH_MS) * 1000)
            next_us = max(free_us + decided.for_ms * 1000, due_us + pace.wake_us)
        self._next_us = next_us
        if waiting:
            self._waits.run_while_voluntary(now_us, next_us, self._processors, router.observed)

    def _skip_idle(self, free_us: int, next_us: int, done: Pass, due_us: int) -> int:
        """When the next pass is in which there is anything to do: nothing waits, and nothing is due before ``due_us``.

        ``free_us``: when the last one was over; ``next_us``: when the next one would be.
        """
        if due_us >= self._worked_us + AWAKE_MS * 1000:  # it sleeps meanwhile
            return max(next_us if self._flight else free_us, due_us + self._pace.wake_us)
        idle = done._replace(begun=0, ended=0, after_ms=self._rhythm.pause_ms)
        while next_us < due_us:
            next_us += self._pace.pass_us
            next_us += 1000 * pacing.pause_ms(self._rhythm, idle, _ms(next_us), self._router.audit_delay_ms)
        return next_us

    def _due_us(self, now_us: int, now_ms: int, waiting: int) -> int:
        """When the next thing happens that the dispatcher wakes for."""
        due_us = min(now_us + IDLE_WAIT_MS * 1000, self._waiting.next_us)
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

    # --- what came of it ---------------------------------------------------------------------------------------------

    def _unheard(self) -> Iterator[Inserted]:
        """What may be inserted without the engine's knowing it."""
        for _, _, payment, processor, requested_us, _, inserted_us in self._flight:
            yield Inserted(payment, processor, requested_us, inserted_us)
        for payment, entry in self._unresolved.items():
            yield Inserted(payment, entry.processor, entry.requested_us, entry.inserted_us)

    def _result(self, policy: str) -> Result:
        """What is settled at the processors by now counts, whether the dispatcher knows of it or not."""
        end_us, accepted, settled = self._arrivals.end_us, len(self._arrivals.accepted_us), self._notes.settled
        unheard = list(self._unheard())
        open_payments = {one.payment for one in unheard}
        inserted = {
            one.payment: (one.processor, one.requested_us, one.inserted_us)
            for one in unheard
            if one.inserted_us is not None and one.inserted_us <= end_us
        }
        for payment, (processor, requested_us, inserted_us) in inserted.items():
            self._settle(payment, processor, requested_us, inserted_us)
        not_sent = accepted - self._waiting.head + self._waiting.count
        left = not_sent + len(open_payments) - len(inserted)
        assert accepted == sum(settled) + left, "a payment was lost or doubled"
        return Result(
            scenario=self._scenario.name,
            policy=policy,
            accepted=accepted,
            amount_cents=self._scenario.load.amount_cents,
            fees=self._scenario.fees,
            settled=(settled[0], settled[1]),
            left=left,
            end_s=end_us / 1_000_000,
            wasted=self._wasted,
            rejected=self._rejected,
            timed_out=self._timed_out,
            voluntary_ms=self._voluntary_us / 1000,
            waited_ms=self._waited_us / 1000,
            backlog_max=self._backlog_max,
            onsets=self._notes.onsets(),
            recoveries=self._notes.recoveries(),
            audits=self._seen,
            series=self._notes.series(self._arrivals.accepted_us),
        )


def _ms(at_us: int) -> int:
    """The router's clock at a moment of the load."""
    return EPOCH_MS + at_us // 1000
