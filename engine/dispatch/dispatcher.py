"""What happens to a payment between the ring and the books. Pure: time and outcomes in, attempts to send out.

The rings are the only queue: a payment that waits is a position between a cursor and the ring's head, and costs nothing
more. Payments leave it from the cursor on, the oldest first. Only a trial takes the newest: it may fail late, and the
payment has time to wait again then; so a few positions between cursor and head are noted as taken. Beside it there are
two short lists: payments to send again (certainly not charged), and payments whose outcome at a processor is unknown,
which belong to that processor until it has answered.

A slot goes through these states, each step one store::

    QUEUED -> PROCESSING at p -> COMPLETED        charged at p, and counted in the books by the same transaction
                    |        \\-> QUEUED           certainly not charged
                    |                \\-> FAILED   too old to try again
                    \\-> PROCESSING at p           unknown: the same body again, to the same processor
                            \\-> ASIDE             unknown for long: kept in the books' aside table until p answers

PROCESSING is stored before the request is sent, so that a dispatcher that starts after a crash knows which processor to
ask.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from engine.books import aside
from engine.books.levels import Shape
from engine.books.writer import SETTLEMENTS_MAX, BooksWriter
from engine.dispatch.outcome import Outcome, Verdict
from engine.memory import layout
from engine.memory.layout import ASIDE, COMPLETED, FAILED, PROCESSING, QUEUED
from engine.ring.ring import Payment, RingReader
from engine.routing.router import Queue, Router

RESEND_FIRST_MS = 20  # wait before an unknown payment is sent again, doubled each time ...
RESEND_LAST_MS = 2000  # ... up to this
OVERDUE_MS = 500  # an answer is this much later than usual: the processor is asked whether the payment is there ...
OVERDUE_AGAIN_MS = 500  # ... and again after this, doubled each time
OVERDUE_SWEEP_MS = 100  # time between two looks for what is overdue
ASKING_MAX = 32  # most questions for what is overdue at once
SWEEP_MS = 500  # time between two looks for what is to be put aside
TAKEN_MAX = 256  # so many payments that do not wait may be among those that do when a dispatcher starts
NONE_NEW = (1 << 63, -1, 0)  # later than any payment
LOOKUPS_MAX = 8  # questions for what an ALREADY charged payment was stored with, before our own word is taken


class Now(NamedTuple):
    """A moment: ``mono_ms`` never goes back and is for waiting, ``wall_ms`` is UTC and is for people and books."""

    mono_ms: int
    wall_ms: int


@dataclass(slots=True)
class Attempt:
    """One request to send.

    ``lookup``: ask what is stored instead of paying. ``tries``: unknown outcomes so far. ``is_question``: it is
    asked for a payment whose answer is overdue. Monotonic are ``began_ms`` and ``ask_ms``, when the next question for
    it is due.
    """

    ticket: int
    ring: int
    position: int
    processor: int
    id_high: int
    id_low: int
    cents: int
    requested_ms: int
    attempts: int
    lookup: bool
    tries: int
    is_question: bool = False
    began_ms: int = 0
    ask_ms: int = 0


class Unresolved(NamedTuple):
    """A payment whose outcome is unknown, in the order in which they are due; ``ring`` may be the aside table's."""

    due_ms: int
    ring: int
    position: int
    lookup: bool
    tries: int


class Dispatcher:
    """Decides; see the module.

    Parameters:
      rings: every API process's ring, read; the dispatcher's words of their slots are written.
      books: the one writer of the books; shape: theirs.
      router: where payments go.
      give_up_ms: age at which a payment that was not charged is given up.
      aside_ms: age at which a payment with an unknown outcome is put aside.
      batch: most attempts that one call of :meth:`start` begins.
    """

    def __init__(
        self,
        rings: Sequence[RingReader],
        books: BooksWriter,
        shape: Shape,
        router: Router,
        *,
        give_up_ms: int,
        aside_ms: int,
        batch: int,
    ) -> None:
        self._rings = rings
        self._books = books
        self._router = router
        self._shape = shape
        self._give_up_ms = give_up_ms
        self._aside_ms = aside_ms
        self._sweep_ms = 0
        self._batch = batch
        self._cursors = [0] * len(rings)
        self._taken: list[set[int]] = [set() for _ in rings]  # positions that were taken before the cursor came to them
        self._settled = 0
        self._summary_ms = [0] * len(rings)
        self._again: list[tuple[int, int, int]] = []  # heap of (accepted_ms, ring, position): certainly not charged
        self._unresolved: tuple[list[Unresolved], list[Unresolved]] = ([], [])
        self._in_flight: dict[int, Attempt] = {}
        self._next_ticket = 0
        self._overdue_ms = 0
        self._asking = 0
        self._dropped: list[Attempt] = []
        self._ask_at_once: list[Attempt] = []

    @property
    def in_flight(self) -> int:
        """Attempts begun and not finished."""
        return len(self._in_flight)

    @property
    def asking(self) -> int:
        """How many of those are questions for another one that is overdue."""
        return self._asking

    @property
    def waiting(self) -> int:
        """Payments that may be sent anywhere and are not in flight."""
        waiting = len(self._again)
        for index, ring in enumerate(self._rings):
            waiting += ring.words[layout.RING_READY_AT] - self._cursors[index] - len(self._taken[index])
        return waiting

    @property
    def has_work(self) -> bool:
        """Whether any payment is not settled."""
        return bool(self._in_flight or any(self._unresolved) or self.waiting)

    def unresolved(self, processor: int) -> int:
        """Payments whose outcome at ``processor`` is unknown and that are not being asked about just now."""
        return len(self._unresolved[processor])

    def recover(self, now: Now) -> None:
        """Takes up what the rings hold: called once, before anything else, after a stop or a crash alike."""
        self._books.recover()
        self._settled = sum(self._books.value(layout.BOOKS_TOTALS_AT + 2 * one) for one in layout.PROCESSORS)
        for index, ring in enumerate(self._rings):
            # The newest payments that only wait stay behind the cursor, where they cost nothing. Trials are among them.
            cursor, taken = ring.ready, self._taken[index]
            oldest = max(0, cursor - ring.slots, ring.forgotten_below)
            while cursor > oldest:
                if not self._is_queued(ring, cursor - 1):
                    if len(taken) == TAKEN_MAX:
                        break
                    taken.add(cursor - 1)
                cursor -= 1
            for position in chain(range(oldest, cursor), taken):
                payment = ring.read(position)
                if payment is None:  # overwritten just now, so it was done
                    continue
                if payment.state == QUEUED:
                    heapq.heappush(self._again, (payment.accepted_ms, index, position))
                elif payment.state == PROCESSING:
                    # The crash itself is the first unknown outcome.
                    entry = Unresolved(now.mono_ms, index, position, False, 1)
                    heapq.heappush(self._unresolved[payment.processor], entry)
            self._cursors[index] = cursor
            self._pass_taken(index, taken)

        for payment in aside.open_payments(self._books.value, self._shape):
            entry = Unresolved(now.mono_ms, aside.RING, payment.position, False, 1)
            heapq.heappush(self._unresolved[payment.processor], entry)

    def start(self, now: Now) -> list[Attempt]:
        """Begins what is to be sent now; the caller sends every attempt that is returned."""
        if now.mono_ms >= self._sweep_ms and any(self._unresolved):
            self._sweep_ms = now.mono_ms + SWEEP_MS
            self._put_aside(now)
        attempts: list[Attempt] = []
        for processor in layout.PROCESSORS:
            heap = self._unresolved[processor]
            while heap and heap[0].due_ms <= now.mono_ms and len(attempts) < self._batch:
                if not self._router.allows(now.mono_ms, processor):
                    break
                entry = heapq.heappop(heap)
                attempts.append(self._begin_again(now, entry))
        if now.mono_ms >= self._overdue_ms:
            self._overdue_ms = now.mono_ms + OVERDUE_SWEEP_MS
            attempts += self._questions(now)
        attempts += self._ask_at_once
        self._ask_at_once.clear()
        self._look_for_audits(now)
        queue = self._queue(now, self.waiting)
        while queue.waiting and queue.oldest_ms >= self._give_up_ms:
            ring, position = self._take()
            self._give_up(now, ring, self._payment(ring, position))
            queue = self._queue(now, queue.waiting - 1)
        plan = self._router.plan(now.mono_ms, queue)
        if plan.default or plan.fallback:
            # What is sent now must find its bucket open when it is settled, though the clock be set back before.
            self._books.begin(now.wall_ms)
        for processor in layout.PROCESSORS:
            for _ in range(min(plan[processor], self._batch - len(attempts))):
                attempts.append(self._begin(now, processor, plan.is_trial(processor)))
        return attempts

    def finish(self, now: Now, ended: Sequence[tuple[Attempt, Outcome]]) -> None:
        """Takes what attempts ended with: settles, puts back, or keeps as unknown."""
        for begin in range(0, len(ended), SETTLEMENTS_MAX):
            self._books.begin(now.wall_ms)
            for attempt, outcome in ended[begin : begin + SETTLEMENTS_MAX]:
                self._finish(now, attempt, outcome)
            self._books.commit()

    def take_dropped(self) -> list[Attempt]:
        """Attempts whose answer is not waited for any more: the caller drops their requests."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def wake_ms(self, now_ms: int) -> int | None:
        """When :meth:`start` should be called again though nothing has happened; None: no need (monotonic ms)."""
        times = []
        if self._in_flight:
            times.append(self._overdue_ms)
        for processor in layout.PROCESSORS:
            heap = self._unresolved[processor]
            if heap:
                lane_ms = self._router.lanes[processor].wake_ms(now_ms)
                times.append(max(heap[0].due_ms, lane_ms or 0))
        wake_ms = self._router.wake_ms(now_ms, self.waiting)
        if wake_ms is not None:
            times.append(wake_ms)
        return min(times, default=None)

    def purge_if_asked(self, now: Now) -> bool:
        """Forgets every payment if an API process asked for it; True tells the caller to abandon all requests."""
        for ring in self._rings:
            if ring.words[layout.RING_PURGE_ASKED_AT] != ring.words[layout.RING_PURGE_DONE_AT]:
                break
        else:
            return False
        asked = [ring.words[layout.RING_PURGE_ASKED_AT] for ring in self._rings]
        self._books.begin(now.wall_ms)
        self._books.forget()
        for index, ring in enumerate(self._rings):
            self._cursors[index] = ring.ready
            self._books.put(index + 1, layout.RING_FORGOTTEN_AT, self._cursors[index])
            self._books.put(index + 1, layout.RING_PURGE_DONE_AT, asked[index])
            self._taken[index].clear()
        self._books.commit()
        self._again.clear()
        for heap in self._unresolved:
            heap.clear()
        self._in_flight.clear()
        self._dropped.clear()
        self._ask_at_once.clear()
        self._asking = 0
        self._settled = 0
        self._router.forget_requests()
        return True

    def _look_for_audits(self, now: Now) -> None:
        for index, ring in enumerate(self._rings):
            asked_ms = ring.words[layout.RING_SUMMARY_MS_AT]
            if asked_ms != self._summary_ms[index]:
                self._summary_ms[index] = asked_ms
                # On the clock of waiting, and not in the future, though the clock be set back.
                self._router.audited(now.mono_ms - max(0, now.wall_ms - asked_ms))

    def _front(self) -> tuple[int, int, int]:
        """The payment to send next, the oldest: when it was accepted, its ring and position; one waits."""
        new = self._oldest_new()
        return min(self._again[0], new) if self._again else new

    def _oldest_new(self) -> tuple[int, int, int]:
        """The same of those that no cursor has passed; ``NONE_NEW`` when none is there."""
        front, oldest_ms = -1, 0
        for index, ring in enumerate(self._rings):
            taken = self._taken[index]
            if taken:
                self._pass_taken(index, taken)
            position, words = self._cursors[index], ring.words
            if position < words[layout.RING_READY_AT]:
                accepted_ms = words[ring.offset(position) + layout.SLOT_ACCEPTED_MS]
                if front < 0 or accepted_ms < oldest_ms:
                    front, oldest_ms = index, accepted_ms
        return (oldest_ms, front, self._cursors[front]) if front >= 0 else NONE_NEW

    def _newest(self) -> tuple[int, int, int]:
        """The newest that no cursor has passed and no trial has taken: when it was accepted, its ring and position;
        ``NONE_NEW`` when none is there.
        """
        newest, at, newest_ms = -1, 0, 0
        for index, ring in enumerate(self._rings):
            position, taken = ring.words[layout.RING_READY_AT] - 1, self._taken[index]
            while position in taken:
                position -= 1
            if position >= self._cursors[index]:
                accepted_ms = ring.words[ring.offset(position) + layout.SLOT_ACCEPTED_MS]
                if newest < 0 or accepted_ms > newest_ms:
                    newest, at, newest_ms = index, position, accepted_ms
        return (newest_ms, newest, at) if newest >= 0 else NONE_NEW

    def _pass_taken(self, index: int, taken: set[int]) -> None:
        """Moves a cursor past what was taken before it came there."""
        while self._cursors[index] in taken:
            taken.remove(self._cursors[index])
            self._cursors[index] += 1

    def _queue(self, now: Now, waiting: int) -> Queue:
        """What the router is told of the ``waiting`` payments."""
        if not waiting:
            return Queue(0, 0, self._settled)
        oldest_ms = now.wall_ms - self._front()[0]
        # The newest one matters for trials only.
        newest = NONE_NEW if self._router.are_well else self._newest()
        return Queue(waiting, oldest_ms, self._settled, oldest_ms if newest == NONE_NEW else now.wall_ms - newest[0])

    def _take(self) -> tuple[int, int]:
        """Takes the payment to send next: its ring and position; one waits."""
        front = self._front()
        _, ring, position = front
        if self._again and self._again[0] == front:
            heapq.heappop(self._again)
        else:
            self._cursors[ring] = position + 1
        return ring, position

    def _take_newest(self) -> tuple[int, int]:
        """Takes the newest payment, for a trial: its ring and position; one waits."""
        newest = self._newest()
        if newest == NONE_NEW:
            return self._take()
        _, ring, position = newest
        self._taken[ring].add(position)
        return ring, position

    @staticmethod
    def _is_queued(ring: RingReader, position: int) -> bool:
        payment = ring.read(position)
        return payment is not None and payment.state == QUEUED

    def _payment(self, ring: int, position: int) -> Payment:
        if ring == aside.RING:
            payment = aside.read(self._books.value, self._shape, position)
        else:
            payment = self._rings[ring].read(position)
        assert payment is not None, "a slot was given away before its payment was done"
        return payment

    def _begin(self, now: Now, processor: int, is_trial: bool) -> Attempt:
        """Sends the next payment, straight from the words of its slot: this is done for every one of them."""
        ring, position = self._take_newest() if is_trial else self._take()
        reader = self._rings[ring]
        words, at = reader.words, reader.offset(position)
        state, _, attempts = layout.unpack_progress(position, words[at + layout.SLOT_PROGRESS])
        assert state == QUEUED and words[at + layout.SLOT_SEQUENCE] == position + 1
        # The time first: the state must never point at a time that was not sent.
        words[at + layout.SLOT_REQUESTED_MS] = now.wall_ms
        words[at + layout.SLOT_PROGRESS] = layout.pack_progress(position, PROCESSING, processor, attempts + 1)
        self._next_ticket = ticket = self._next_ticket + 1
        attempt = Attempt(
            ticket,
            ring,
            position,
            processor,
            words[at + layout.SLOT_ID_HIGH],
            words[at + layout.SLOT_ID_LOW],
            words[at + layout.SLOT_CENTS],
            now.wall_ms,
            attempts + 1,
            False,
            0,
            False,
            now.mono_ms,
        )
        self._in_flight[ticket] = attempt
        self._router.lanes[processor].began(now.mono_ms, ticket)
        return attempt

    def _begin_again(self, now: Now, entry: Unresolved) -> Attempt:
        """The same body to the same processor, or the question what it has stored."""
        payment = self._payment(entry.ring, entry.position)
        assert payment.state == PROCESSING
        attempts = payment.attempts
        if not entry.lookup and entry.ring != aside.RING:
            attempts += 1
            reader = self._rings[entry.ring]
            word = layout.pack_progress(entry.position, PROCESSING, payment.processor, attempts)
            reader.words[reader.offset(entry.position) + layout.SLOT_PROGRESS] = word
        self._next_ticket += 1
        attempt = Attempt(
            self._next_ticket,
            entry.ring,
            payment.position,
            payment.processor,
            payment.id_high,
            payment.id_low,
            payment.cents,
            payment.requested_ms,
            attempts,
            entry.lookup,
            entry.tries,
            began_ms=now.mono_ms,
        )
        self._in_flight[attempt.ticket] = attempt
        self._router.lanes[payment.processor].began(now.mono_ms, attempt.ticket)
        return attempt

    def _questions(self, now: Now) -> list[Attempt]:
        """Questions for payments whose answer is overdue.

        A processor that charges and then does not answer has the payment in its books all the while, and an audit would
        find it there. So it is asked on another connection, long before the request times out.
        """
        questions: list[Attempt] = []
        for attempt in self._in_flight.values():  # in the order of their age
            age_ms = now.mono_ms - attempt.began_ms
            if age_ms < OVERDUE_MS or self._asking == ASKING_MAX:
                break
            is_overdue = age_ms >= self._router.lanes[attempt.processor].usual_ms + OVERDUE_MS
            if is_overdue and now.mono_ms >= attempt.ask_ms and not attempt.lookup:
                attempt.ask_ms = now.mono_ms + max(OVERDUE_AGAIN_MS, age_ms)
                questions.append(self._question(now, attempt))
        self._in_flight.update((question.ticket, question) for question in questions)
        return questions

    def _question(self, now: Now, attempt: Attempt) -> Attempt:
        self._asking += 1
        self._next_ticket += 1
        return replace(attempt, ticket=self._next_ticket, lookup=True, is_question=True, began_ms=now.mono_ms)

    def _finish(self, now: Now, attempt: Attempt, outcome: Outcome) -> None:
        if self._in_flight.pop(attempt.ticket, None) is None:
            return  # dropped, and its end came all the same
        verdict, lane = outcome.verdict, self._router.lanes[attempt.processor]
        if verdict is Verdict.CHARGED:  # nearly all
            lane.ended(now.mono_ms, attempt.ticket, True)
            self._settle(now, attempt, attempt.requested_ms, attempt.cents)
            return
        if attempt.is_question:
            self._asking -= 1
            if verdict is Verdict.FOUND:
                self._settle_overdue(now, attempt, outcome)
            return
        if verdict is Verdict.REJECTED:
            lane.rejected(now.mono_ms, attempt.ticket)
        else:
            answered = verdict not in (Verdict.FAILED, Verdict.UNKNOWN)
            lane.ended(now.mono_ms, attempt.ticket, answered)
        if verdict is Verdict.FOUND:
            self._settle(now, attempt, outcome.requested_ms, outcome.cents)
        elif attempt.lookup:
            # It is charged for certain (an ALREADY brought us here); the question is only with what.
            if verdict is not Verdict.ABSENT:
                self._keep(now, attempt, lookup=True, tries=attempt.tries)
            elif attempt.tries < LOOKUPS_MAX:
                self._keep(now, attempt, lookup=True, tries=attempt.tries + 1)
            else:
                self._settle(now, attempt, attempt.requested_ms, attempt.cents)
        elif verdict is Verdict.ALREADY:
            self._keep(now, attempt, lookup=True, tries=1)
        elif verdict is Verdict.UNKNOWN or attempt.tries:
            # A resend that was certainly refused says nothing of the first one, which may be charged yet.
            if verdict is Verdict.UNKNOWN and self._asking < ASKING_MAX:
                # To ask takes less time than to send again: that would wait for a slow processor once more.
                question = self._question(now, attempt)
                self._in_flight[question.ticket] = question
                self._ask_at_once.append(question)
            self._keep(now, attempt, lookup=False, tries=attempt.tries + 1)
        else:
            self._put_back(attempt)

    def _settle_overdue(self, now: Now, question: Attempt, outcome: Outcome) -> None:
        """Settles a payment that its processor has, wherever it is by now: in flight still, or again, or unresolved."""

        def is_it(other: Attempt | Payment) -> bool:
            same_id = other.id_low == question.id_low and other.id_high == question.id_high
            return same_id and other.processor == question.processor

        for attempt in self._in_flight.values():
            if is_it(attempt) and not attempt.is_question:
                del self._in_flight[attempt.ticket]
                self._dropped.append(attempt)
                self._router.lanes[attempt.processor].dropped(attempt.ticket)
                self._settle(now, attempt, outcome.requested_ms, outcome.cents)
                return
        heap = self._unresolved[question.processor]
        for entry in heap:
            if is_it(self._payment(entry.ring, entry.position)):
                heap.remove(entry)
                heapq.heapify(heap)
                attempt = replace(question, ring=entry.ring, position=entry.position)
                self._settle(now, attempt, outcome.requested_ms, outcome.cents)
                return

    def _settle(self, now: Now, attempt: Attempt, requested_ms: int, cents: int) -> None:
        books, ring, position = self._books, attempt.ring, attempt.position
        self._settled += 1
        books.settle(attempt.processor, requested_ms, cents)
        if ring == aside.RING:
            payment = self._payment(ring, position)
            done = payment._replace(state=COMPLETED, requested_ms=requested_ms, settled_ms=now.wall_ms)
            aside.change(books, self._shape, position, done)
            return
        word = layout.pack_progress(position, COMPLETED, attempt.processor, attempt.attempts)
        books.put_done(ring + 1, self._rings[ring].offset(position), requested_ms, now.wall_ms, word)

    def _keep(self, now: Now, attempt: Attempt, *, lookup: bool, tries: int) -> None:
        wait_ms = min(RESEND_FIRST_MS << min(tries - 1, 16), RESEND_LAST_MS)
        entry = Unresolved(now.mono_ms + wait_ms, attempt.ring, attempt.position, lookup, tries)
        heapq.heappush(self._unresolved[attempt.processor], entry)

    def _put_aside(self, now: Now) -> None:
        """Gives the slots of payments back whose processor has not answered for long."""
        for heap in self._unresolved:
            old = [entry for entry in heap if entry.ring != aside.RING and self._is_for_aside(now, entry)]
            for begin in range(0, len(old), SETTLEMENTS_MAX):
                self._books.begin(now.wall_ms)
                for entry in old[begin : begin + SETTLEMENTS_MAX]:
                    payment = self._payment(entry.ring, entry.position)
                    place = aside.put(
                        self._books, self._shape, payment._replace(settled_ms=0, reason=layout.REASON_NONE)
                    )
                    if place is None:  # no room: it keeps its slot
                        continue
                    at = self._rings[entry.ring].offset(entry.position) + layout.SLOT_PROGRESS
                    word = layout.pack_progress(entry.position, ASIDE, payment.processor, payment.attempts)
                    self._books.put(entry.ring + 1, at, word)
                    heap[heap.index(entry)] = entry._replace(ring=aside.RING, position=place)
                self._books.commit()
            heapq.heapify(heap)

    def _is_for_aside(self, now: Now, entry: Unresolved) -> bool:
        return now.wall_ms - self._payment(entry.ring, entry.position).accepted_ms >= self._aside_ms

    def _put_back(self, attempt: Attempt) -> None:
        reader, position = self._rings[attempt.ring], attempt.position
        words, at = reader.words, reader.offset(position)
        words[at + layout.SLOT_PROGRESS] = layout.pack_progress(position, QUEUED, attempt.processor, attempt.attempts)
        if position >= self._cursors[attempt.ring]:  # a trial that failed: it still has its place in the queue
            self._taken[attempt.ring].remove(position)
            return
        # In the order of their age: what failed late is older than what failed soon.
        heapq.heappush(self._again, (words[at + layout.SLOT_ACCEPTED_MS], attempt.ring, position))

    def _give_up(self, now: Now, ring: int, payment: Payment) -> None:
        books, at = self._books, self._rings[ring].offset(payment.position)
        books.begin(now.wall_ms)
        books.fail(payment.cents)
        books.put(ring + 1, at + layout.SLOT_SETTLED, layout.pack_settled(now.wall_ms, layout.REASON_TOO_OLD))
        word = layout.pack_progress(payment.position, FAILED, payment.processor, payment.attempts)
        books.put(ring + 1, at + layout.SLOT_PROGRESS, word)
        books.commit()
