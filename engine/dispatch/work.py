"""Everything that is under way: which payments are open, where each is kept, and what is in flight. Pure.

Three collections hold the open payments that are not in flight for the first time: :class:`Backlog` (may go anywhere),
:class:`UnresolvedPayments` (belong to a processor) and :class:`DelayedPayments` (certainly not charged, with a back-off
of their own). :mod:`engine.dispatch.starting` and :mod:`engine.dispatch.ending` work on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from engine.books import parked
from engine.books.levels import Shape
from engine.books.writer import SETTLEMENTS_MAX, BooksWriter
from engine.correlation import format_id
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.backlog import Backlog
from engine.dispatch.delayed import Delayed, DelayedPayments
from engine.dispatch.due import Due
from engine.dispatch.history import History
from engine.dispatch.meter import Meter
from engine.dispatch.scan import Scan
from engine.dispatch.settlement import Settlement
from engine.dispatch.unresolved import Unresolved, UnresolvedPayments
from engine.dispatch.watch import ClockWatch
from engine.logs.logger import Logger
from engine.memory import layout
from engine.memory.layout import ALREADY, QUEUED
from engine.memory.status import StatusBlock
from engine.payment import Payment
from engine.ring.ring import RingReader
from engine.routing.router import Router

log = Logger("engine.dispatch")
T = TypeVar("T")

NEVER_MS = 1 << 60
LOOK_AT_ONCE = 1 << 17  # 10 ms if nearly all of them are done, 60 ms if all of them wait


class Limits(NamedTuple):
    """The settings.

    ``give_up_ms``: the age at which a payment that was not charged is given up. ``park_ms``: the age at which an
    unresolved or delayed payment is parked. ``batch``: most attempts that one pass begins; lookups of overdue or
    unknown payments do not count. ``refusals_max``: see :func:`engine.dispatch.life.is_refused_for_good`. ``look``:
    most positions at which one pass looks for what an earlier dispatcher has left. ``dead_letter_ms``: how long an
    outcome may be unknown before a person decides. ``waits_for_ledger``: whether parked places and purges wait until
    SQL has what became of their payments.
    """

    give_up_ms: int
    park_ms: int
    batch: int
    refusals_max: int
    look: int = LOOK_AT_ONCE
    dead_letter_ms: int = NEVER_MS
    waits_for_ledger: bool = False


class Work:
    """See the module.

    Parameters:
      rings: the ring of every API process. They are read, and the dispatcher's words of their slots are written.
      books: the one writer of the books; shape: the books' shape; status: the status block in them.
      router: where payments go.
      history: what is told to the journal; None: there is none.
      meter: what is counted; None: nothing is.
      settlement: how payments end; None: in the books, and that is all.
    """

    def __init__(
        self,
        rings: Sequence[RingReader],
        books: BooksWriter,
        shape: Shape,
        status: StatusBlock,
        router: Router,
        limits: Limits,
        history: History | None = None,
        meter: Meter | None = None,
        settlement: Settlement | None = None,
    ) -> None:
        self.history = history
        self.meter = meter
        self.rings = rings
        self.books = books
        self.router = router
        self.limits = limits
        self.processors = range(len(router.observed))
        self.settlement = settlement or Settlement(rings, books, shape, history, limits.waits_for_ledger)
        self.backlog = Backlog(rings)
        self.scan = Scan(rings, limits.look)
        self.unresolved = tuple(UnresolvedPayments() for _ in self.processors)
        self.delayed = DelayedPayments()
        self.clocks = ClockWatch(books, status)
        # For each processor: refusals in a row, and how many payments it had charged at the last refusal.
        self.refusing = [(0, 0) for _ in self.processors]
        self.in_flight: dict[int, Attempt] = {}
        # What an earlier dispatcher had sent, and its processor has not been asked for often enough.
        self.left = Due[Unresolved]()
        self.asking = 0  # lookups in flight
        self.ask_at_once: list[Attempt] = []  # requests that have ended unknown, to be looked up in this pass
        self.dropped: list[Attempt] = []
        self.settled = 0
        self.errors = 0  # how often a decision has raised
        self.last_ticket = 0
        self.shape = shape

    # --- what there is -----------------------------------------------------------------------------------------------

    def open_payments(self) -> int:
        """The number of all payments that are not done, wherever they are. It takes long until the scan is over."""
        first = sum(not (attempt.lookup or attempt.tries or attempt.is_delayed) for attempt in self.in_flight.values())
        known = self.backlog.waiting + first + sum(map(len, self.unresolved)) + len(self.delayed)
        return known + self.scan.count()

    def charged(self, processor: int) -> int:
        """How many payments ``processor`` has charged, without those of the present transaction."""
        return self.books.value(layout.BOOKS_TOTALS_AT + 2 * processor)

    def recover(self, now: Now) -> None:
        """Takes up what the parking table holds, and of the rings what the first look of the scan finds."""
        self.recover_books()
        self.settled = sum(map(self.charged, self.processors))
        for index in range(len(self.rings)):
            self.scan.begin(index, self.backlog.recover(index))
        for payment in parked.open_payments(self.books.value, self.shape):
            if payment.state == QUEUED:
                refused = parked.refusals(self.books.value, self.shape, payment.position)
                self.delayed.wait(self.new_delayed(parked.RING, payment, refused), now.mono_ms)
            else:
                self._take_up(now, parked.RING, payment)
        self.look_through(now)

    def recover_books(self) -> None:
        """Finishes what the last dispatcher had committed."""
        self.books.recover()
        self.clocks.recover()

    def look_through(self, now: Now) -> None:
        """Takes up what the next look of the scan finds."""
        for found in self.scan.look():
            for waiting in reversed(found.waiting):
                self.backlog.add(found.ring, waiting, found.is_joined)
            for position in found.sent:
                self._take_up(now, found.ring, self.settlement.payment(found.ring, position))
        if self.history is not None:
            self.history.flush()  # before their slots show another request
        if self.scan.is_over:
            log.info("rings_seen", payments=self.open_payments())

    def take_over(self, now: Now, payment: Payment) -> None:
        """Takes up a payment that was handed over, and has a parking place: as after a crash, if it was sent."""
        if payment.state == QUEUED:
            self.delayed.wait(self.new_delayed(parked.RING, payment), now.mono_ms)
        else:
            self._take_up(now, parked.RING, payment)

    def clear(self) -> None:
        """Forgets everything that is under way, but not the backlog's payments."""
        for unresolved in self.unresolved:
            unresolved.clear()
        self.delayed.clear()
        self.scan.clear()
        self.left.clear()
        self.in_flight.clear()
        self.dropped.clear()
        self.ask_at_once.clear()
        self.asking = self.settled = 0
        self.refusing = [(0, 0) for _ in self.processors]

    # --- requests ----------------------------------------------------------------------------------------------------

    def request(self, now: Now, ring: int, payment: Payment, tries: int) -> Attempt:
        """The request of a payment whose words already say where it goes."""
        attempt = self._attempt(now, ring, payment, payment.processor, tries)
        self.router.observed[payment.processor].began(now.mono_ms, attempt.ticket)
        return attempt

    def lookup(self, now: Now, ring: int, payment: Payment, processor: int, tries: int) -> Attempt:
        """A lookup: asks what ``processor`` has stored of a payment."""
        self.asking += 1
        attempt = self._attempt(now, ring, payment, processor, tries)
        attempt.lookup = True
        return attempt

    def lookup_beside(self, now: Now, attempt: Attempt) -> Attempt:
        """A lookup beside a request that is under way or has just ended."""
        self.asking += 1
        self.last_ticket += 1
        lookup = replace(
            attempt, ticket=self.last_ticket, lookup=True, is_beside=True, is_delayed=False, began_ms=now.mono_ms
        )
        self.in_flight[lookup.ticket] = lookup
        return lookup

    def drop(self, request: Attempt) -> None:
        """The answer to a request is not waited for any more."""
        del self.in_flight[request.ticket]
        self.dropped.append(request)
        self.router.observed[request.processor].dropped(request.ticket)

    def request_of(self, attempt: Attempt) -> Attempt | None:
        """The request in flight for the same payment at the same processor as ``attempt``, if any."""
        for other in self.in_flight.values():
            if other.id_low == attempt.id_low and other.id_high == attempt.id_high and not other.lookup:
                return other if other.processor == attempt.processor else None
        return None

    def decided(self, attempt: Attempt, decide: Callable[[], T], otherwise: T) -> T:
        """The result of ``decide``, or ``otherwise`` if it raises: one unforeseen payment must not stop the others."""
        try:
            return decide()
        except Exception:
            self.errors += 1
            log.exception("dead_letter", correlation_id=format_id(attempt.id_high, attempt.id_low))
            return otherwise

    # --- where a payment is kept -------------------------------------------------------------------------------------

    def new_delayed(self, ring: int, payment: Payment, refused: int = 0) -> Delayed:
        """A payment with a back-off of its own; ``refused``: its word PARKED_REFUSALS."""
        key = payment.id_high << 64 | payment.id_low
        delayed = Delayed.make(key, ring, payment.position, payment.clock_ms, refused, len(self.processors))
        # Charges from before a crash do not show that a processor charges other payments and refuses this one.
        delayed.charged = list(map(self.charged, self.processors))
        if payment.is_seen and not payment.attempts:
            delayed.ask.update(self.processors)
        return delayed

    def fail(self, now: Now, ring: int, payment: Payment, reason: int) -> None:
        """Gives a payment up, in a transaction of its own."""
        self.books.begin(now.wall_ms)
        self.settlement.fail(now, ring, payment, reason)
        self.books.commit()

    def bury(self, now: Now, one: Unresolved, reason: int) -> None:
        """Makes a payment a dead letter: it gives its slot back, and is looked up now and then."""
        unresolved = self.unresolved[one.processor]
        unresolved.bury(one, reason)
        payment = self.settlement.payment(one.ring, one.position)._replace(reason=reason, settled_ms=now.wall_ms)
        if one.ring == parked.RING:
            self.settlement.change(one.position, payment)
        else:
            self._park(now, one, payment)
        one.asked = 0
        unresolved.wait(one, now.mono_ms + one.wait_ms(now.mono_ms))

    def bury_old(self, now: Now) -> None:
        """Makes dead letters of what has been unknown for too long and waits just now."""
        for unresolved in self.unresolved:
            old = [one for one in unresolved if self._is_unknown_for_long(now, one)]
            for begin in range(0, len(old), SETTLEMENTS_MAX):
                self.books.begin(now.wall_ms)
                for one in old[begin : begin + SETTLEMENTS_MAX]:
                    self.bury(now, unresolved.renew(one), layout.REASON_UNKNOWN)
                self.books.commit()

    def _is_unknown_for_long(self, now: Now, one: Unresolved) -> bool:
        """Both clocks must say so: the engine's does not know when it was sent, and the wall clock may be set."""
        if one.out or one.is_dead or now.mono_ms - one.clock_ms < self.limits.dead_letter_ms:
            return False
        first_ms = self.settlement.payment(one.ring, one.position).first_ms
        return now.wall_ms - first_ms >= self.limits.dead_letter_ms

    def give_slot_back(self, now: Now, delayed: Delayed) -> None:
        """Parks a delayed payment if it is itself the cause, or old. Part of the books' transaction."""
        is_old = now.mono_ms - delayed.clock_ms >= self.limits.park_ms
        if delayed.ring != parked.RING and (delayed.is_own or is_old):
            self._park(now, delayed, self._plain(now, delayed), delayed.refused)

    def park_old(self, now: Now) -> None:
        """Parks payments that have been open for long and wait just now, so that they give their slots back."""
        before_ms = now.mono_ms - self.limits.park_ms
        old = [one for one in self._waiting() if one.ring != parked.RING and one.clock_ms <= before_ms]
        for begin in range(0, len(old), SETTLEMENTS_MAX):
            self.books.begin(now.wall_ms)
            for one in old[begin : begin + SETTLEMENTS_MAX]:
                self._park(now, one, self._plain(now, one), one.refused if isinstance(one, Delayed) else 0)
            self.books.commit()

    def _waiting(self) -> Iterator[Unresolved | Delayed]:
        for unresolved in self.unresolved:
            yield from (one for one in unresolved if not one.out)
        yield from (one for one in self.delayed if not one.is_out)

    def _plain(self, now: Now, one: Unresolved | Delayed) -> Payment:
        """The open payment of a slot, without the values that an older payment has left in its words. A dead letter
        that found no place before is one since now, as far as memory tells.
        """
        payment = self.settlement.payment(one.ring, one.position)
        reason = one.reason if isinstance(one, Unresolved) else layout.REASON_NONE
        return payment._replace(settled_ms=now.wall_ms if reason else 0, reason=reason)

    def _park(self, now: Now, one: Unresolved | Delayed, payment: Payment, refused: int = 0) -> None:
        """Parks a payment, as part of the books' transaction. If there is no room, it keeps its slot."""
        place = self.settlement.park(now, one.ring, payment, refused)
        if place is not None:
            one.ring, one.position = parked.RING, place

    def _take_up(self, now: Now, ring: int, payment: Payment) -> None:
        """Takes up a payment that an earlier dispatcher had sent. After a crash its outcome counts as unknown, if
        nothing else is known.
        """
        if self.history is not None and ring != parked.RING:  # each request of a parked payment has a record
            self.history.left(now, ring, payment)
        is_told = payment.state == ALREADY
        one = Unresolved(
            payment.id_high << 64 | payment.id_low,
            ring,
            payment.position,
            payment.processor,
            payment.clock_ms,
            tries=0 if is_told else 1,
            cents=payment.cents,
            is_told=is_told,
            is_doubted=not is_told,
            reason=payment.reason if ring == parked.RING else layout.REASON_NONE,
        )
        unresolved = self.unresolved[payment.processor]
        unresolved.add(one)
        unresolved.wait(one, now.mono_ms)
        if not is_told and ring != parked.RING:
            self.left.wait(one, now.mono_ms)

    def _attempt(self, now: Now, ring: int, payment: Payment, processor: int, tries: int) -> Attempt:
        self.last_ticket += 1
        attempt = Attempt(
            self.last_ticket,
            ring,
            payment.position,
            processor,
            payment.id_high,
            payment.id_low,
            payment.cents,
            payment.requested_ms,
            payment.attempts,
            False,
            tries,
            began_ms=now.mono_ms,
            accepted_ms=payment.clock_ms,
        )
        self.in_flight[attempt.ticket] = attempt
        return attempt
