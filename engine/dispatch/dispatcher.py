"""What happens to a payment between the ring and the books. Pure: time and outcomes in, attempts to send out.

A payment waits in the backlog until the router has a place for it. Its slot then goes through these states, each step
one store or one transaction of the books::

    QUEUED -> PROCESSING at p -> COMPLETED         charged at p, and counted in the books by the same transaction
                    |  |  \\-> CHARGED_BEFORE        p had the id before we sent it: counted beside the books
                    |   \\-> QUEUED                 certainly not charged
                    |           \\-> FAILED         too old to try again, or every processor refuses the payment itself
                    |-> PROCESSING at p            unknown: the same body again, to the same processor
                    |-> ALREADY at p               p says that it has the id: a lookup must confirm that
                    \\-> PARKED                      in the books' parking table, in the same states, until it is over

PROCESSING is stored before the request is sent, so that a dispatcher that starts after a crash knows which processor to
ask. :mod:`engine.dispatch.life` says what follows from each answer; :mod:`engine.dispatch.work` has everything that is
under way.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.acts.ring import CommandReader
from engine.books.writer import SETTLEMENTS_MAX
from engine.connectors.answers import Outcome
from engine.dispatch import ending, starting
from engine.dispatch.acting import Acting
from engine.dispatch.asked import LOOK_MS, Asked
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.work import Work
from engine.memory import layout
from engine.routing.plan import Queue

OVERDUE_SWEEP_MS = 100  # time between two searches for overdue answers
SWEEP_MS = 500  # time between two searches for payments to park


class Dispatcher:
    """Decides; see the module.

    Parameters:
      work: what is under way, with the rings and the books that it serves.
      commands: what operators ask for; None: nobody can.
    """

    def __init__(self, work: Work, commands: CommandReader | None = None) -> None:
        self.work = work
        self._acting = Acting(work, commands)
        self._books = work.books
        self._router = work.router
        self._batch = work.limits.batch
        self._asked = Asked(work.rings, work.limits.waits_for_ledger)
        self._is_purge_waiting = False
        self._overdue_ms = 0
        self._sweep_ms = 0

    @property
    def in_flight(self) -> int:
        """Attempts begun and not finished."""
        return len(self.work.in_flight)

    @property
    def asking(self) -> int:
        """How many of the attempts in flight are lookups."""
        return self.work.asking

    @property
    def errors(self) -> int:
        """How often a decision has raised. Each time, a payment has become a dead letter."""
        return self.work.errors

    @property
    def waiting(self) -> int:
        """Payments that may be sent anywhere and are not in flight."""
        return self.work.backlog.waiting

    @property
    def has_work(self) -> bool:
        """Whether any payment is neither done nor a dead letter."""
        work = self.work
        if work.in_flight or work.delayed or work.backlog.waiting or not work.scan.is_over:
            return True
        return any(unresolved.open for unresolved in work.unresolved)

    def unresolved(self, processor: int) -> int:
        """Payments whose outcome at ``processor`` is unknown, dead letters included."""
        return len(self.work.unresolved[processor])

    def open_payments(self) -> int:
        """The number of all payments that are not done, wherever they are; see :meth:`Work.open_payments`."""
        return self.work.open_payments()

    def recover(self, now: Now) -> None:
        """Begins to take up what the rings hold: first what was in flight, then the rest in passes.

        Called once, before anything else, whether a stop or a crash came before. See :mod:`engine.dispatch.scan`.
        """
        self.work.recover(now)
        self._acting.recover(now)

    def recover_books(self, now: Now) -> None:
        """As :meth:`recover`, of the books alone: what the rings hold is forgotten next."""
        self.work.recover_books()
        self._acting.recover(now)

    def start(self, now: Now) -> list[Attempt]:
        """Begins the attempts that are due now; the caller sends every attempt that is returned."""
        work = self.work
        work.clocks.look(now)
        if not work.scan.is_over:
            work.look_through(now)
        at_once = [work.lookup_beside(now, attempt) for attempt in work.ask_at_once]
        work.ask_at_once.clear()
        if now.mono_ms >= self._sweep_ms:
            self._sweep_ms = now.mono_ms + SWEEP_MS
            work.bury_old(now)
            work.park_old(now)
        attempts: list[Attempt] = starting.begin_left(work, now)
        if self._acting.is_asked:
            attempts += self._acting.carry_out(now)
        for processor in work.processors:
            if work.unresolved[processor]:
                attempts += starting.begin_unresolved(work, now, processor, self._batch - len(attempts))
        if work.delayed:
            attempts += starting.begin_delayed(work, now, self._batch - len(attempts))
        if now.mono_ms >= self._overdue_ms:
            self._overdue_ms = now.mono_ms + OVERDUE_SWEEP_MS
            attempts += starting.overdue(work, now)
        attempts += at_once
        self._asked.look_for_audits(now, self._router)
        queue = self._queue(now, work.backlog.waiting)
        while queue.waiting and queue.oldest_ms >= work.limits.give_up_ms:
            ring, position = work.backlog.take()
            work.fail(now, ring, work.settlement.payment(ring, position), layout.REASON_TOO_OLD)
            queue = self._queue(now, queue.waiting - 1)
        plan = self._router.plan(now.mono_ms, queue)
        if any(plan):
            # A payment that is sent now must find its bucket open when it is settled, even if the clock is set back.
            self._books.begin(now.wall_ms)
        for processor in work.processors:
            count = min(plan[processor], self._batch - len(attempts))
            if count > 0:
                places = [work.backlog.take_newest()] if plan.is_probe(processor) else work.backlog.take_many(count)
                attempts += starting.begin(work, now, processor, places)
        return attempts

    def finish(self, now: Now, ended: Sequence[tuple[Attempt, Outcome]]) -> None:
        """Takes the outcomes of attempts. Each payment is settled, put back, or kept as unknown."""
        work = self.work
        work.clocks.look(now)
        history = work.history
        if ended and history is not None:
            history.answered(now, ended)
        for begin in range(0, len(ended), SETTLEMENTS_MAX):
            part, dropped = ended[begin : begin + SETTLEMENTS_MAX], len(work.dropped)
            self._books.begin(now.wall_ms)
            ending.finish_all(work, now, part)
            if history is not None:
                history.dropped(now, work.dropped[dropped:], ended)
            self._books.commit()

    def take_dropped(self) -> list[Attempt]:
        """Attempts whose answer is not waited for any more: the caller drops their requests."""
        dropped, self.work.dropped = self.work.dropped, []
        return dropped

    def wake_ms(self, now_ms: int) -> int | None:
        """When :meth:`start` should be called again even if nothing happens (engine's clock); None: no need."""
        if not self.work.scan.is_over:
            return now_ms
        times = [self._overdue_ms] if self.work.in_flight else []
        if self._is_purge_waiting:  # for the ledger, which rings no bell
            times.append(now_ms + LOOK_MS)
        for wake_ms in (starting.wake_ms(self.work, now_ms), self._router.wake_ms(now_ms, self.waiting)):
            if wake_ms is not None:
                times.append(wake_ms)
        return min(times, default=None)

    def purge_if_asked(self, now: Now) -> bool:
        """Forgets every payment if an API process asked for it. True: the caller must abandon all requests.

        Where the ledger is waited for, the purge may be carried out in a later pass, or be refused.
        """
        asked = self._asked
        if not asked.is_purge_asked():
            return False
        if self.work.history is not None and not self.work.scan.is_over:
            return False  # the journal must have the requests that an earlier dispatcher had sent, before they go
        purges = asked.purges()
        if not asked.may_purge(purges):
            refused = asked.refused(now, purges)
            if refused:
                self._books.begin(now.wall_ms)
                asked.put_refused(self._books, purges, refused)
                self._books.commit()
            self._is_purge_waiting = asked.is_purge_asked()
            return False
        self._is_purge_waiting = False
        self._books.begin(now.wall_ms)
        self._books.forget()
        self._books.hold()  # or the ledger takes what is accepted from here on for a payment of before the purge
        below = self.work.backlog.forget()
        asked.put_purged(self._books, purges, below)
        if self.work.history is not None:
            self.work.history.abandon(now, self.work.in_flight.values())
        self._books.commit()
        if self.work.history is not None:
            self.work.history.purged(now, enumerate(below), self._books.value(layout.BOOKS_PARKED_ERA_AT))
        self.work.clear()
        self._router.forget_requests()
        return True

    @property
    def is_purge_asked(self) -> bool:
        """Whether an API process asks for a purge that was not decided yet."""
        return self._asked.is_purge_asked()

    def begin_anew(self, now: Now, *, is_emptied: bool, is_purged: bool) -> None:
        """On a cell: forgets every payment, for the store has them all. The caller abandons all requests.

        Parameters:
          is_emptied: whether the books are emptied too.
          is_purged: whether everything was purged in the store: whoever has asked for it is told so.
        """
        work = self.work
        self._books.begin(now.wall_ms)
        if is_emptied:
            self._books.forget()
        else:
            self._books.forget_parked()
        below = work.backlog.forget()
        self._asked.put_forgotten(self._books, below)
        if is_purged:
            self._asked.put_purged(self._books, self._asked.purges(), below)
        self._books.commit()
        work.clear()
        work.settled = sum(map(work.charged, work.processors))
        self._router.forget_requests()

    def _queue(self, now: Now, waiting: int) -> Queue:
        """What the router is told of the ``waiting`` payments."""
        if not waiting:
            return Queue(0, 0, self.work.settled)
        oldest_ms = now.mono_ms - self.work.backlog.oldest_ms()
        # The newest one matters for probes only.
        newest_ms = oldest_ms if self._router.are_healthy else now.mono_ms - self.work.backlog.newest_ms()
        return Queue(waiting, oldest_ms, self.work.settled, newest_ms)
