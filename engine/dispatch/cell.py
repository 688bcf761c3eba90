"""The dispatcher's side of a cell: what may leave, what is taken over, and what is counted. Pure over shared memory.

A payment that is free is sent in two steps. The dispatcher decides and asks the agent (:meth:`Cell.hold`); when the
store has the pin, the request leaves (:meth:`Cell.hear`). It waits for nobody in between. A request that repeats
another one, or a lookup, leaves at once: it goes where the store says already that the payment is.

What the agent hands over has a parking place. If it is pinned, it is taken up as what an earlier dispatcher had sent:
its outcome is unknown, so no refusal ever frees it (*doubted* in :mod:`engine.dispatch.life`).
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

from engine.books import parked
from engine.books.writer import SETTLEMENTS_MAX
from engine.connectors.answers import Health
from engine.dispatch.attempt import Attempt, Now
from engine.dispatch.counted import CellBooks, CellSettlement
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.shared_health import SharedHealth
from engine.dispatch.starting import TURNED_AWAY_MS
from engine.dispatch.work import NEVER_MS
from engine.link import mail, messages
from engine.link.mail import Receiver, Sender
from engine.link.messages import ToAgent, ToDispatcher
from engine.memory import cell_layout, layout
from engine.memory.layout import PARKED, PROCESSING, QUEUED
from engine.memory.words import Words
from engine.payment import Payment

HEAR_MAX: Final = 1024  # messages of one pass
TAKE_MAX: Final = SETTLEMENTS_MAX // 2  # payments that one pass takes over
WAITING_MAX: Final = 2048  # messages that the agent has not read, before nothing is begun
REST_MS: Final = 50  # between two looks whether payments may be sent for the first time
PURGE_AGAIN_MS: Final = 500  # between two times that the agent is asked for a purge

Message = tuple[int, ...]


class Cell:
    """See the module.

    Parameters:
      words: the cell's memory.
      dispatcher: what decides; books: where the entries of all cells are counted; settlement: how payments end.
      network: what queries processors for their health.
    """

    def __init__(
        self,
        words: Words,
        dispatcher: Dispatcher,
        books: CellBooks,
        settlement: CellSettlement,
        network: SharedHealth,
    ) -> None:
        self._network = network
        self.leaving: list[Attempt] = []  # what may leave now
        self._words, self._dispatcher, self._work = words, dispatcher, dispatcher.work
        self._books, self._settlement = books, settlement
        self._receiver, self._sender = Receiver(*mail.to_dispatcher(words)), Sender(*mail.to_agent(words))
        self._life = secrets.randbits(63) | 1
        self._term = 0  # 0: none has begun
        self._held: dict[int, Attempt] = {}  # first requests that wait for their pin, by ticket
        self._untaken = deque[Message]()  # handed over, and without a parking place
        self._entries: list[Message] = []
        self._purge_ms = 0
        settlement.tell = self._tell
        settlement.refused = self._refused
        self._hear: dict[int, Callable[[Now, Message], None]] = {
            ToDispatcher.TAKE: lambda _now, message: self._untaken.append(message),
            ToDispatcher.SEND: self._send,
            ToDispatcher.UNSENT: self._unsent,
            ToDispatcher.ASK_HEALTH: self._ask_health,
            ToDispatcher.HEALTH: self._health,
        }

    def begin(self, now: Now) -> None:
        """A dispatcher begins, with nothing: what the cell holds comes from the store."""
        self._words[cell_layout.TAKEN_UP_AT] = 0
        self._words[cell_layout.COMPLETE_MS_AT] = 0
        self._receiver.skip()
        self._dispatcher.begin_anew(now, is_emptied=True, is_purged=False)
        self._words[cell_layout.LIFE_AT] = self._life  # the agent sees it, and begins a term
        self._rest(now)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come that was not heard."""
        return not self._receiver.has_some

    @property
    def has_work(self) -> bool:
        """Whether payments were handed over that have no place yet."""
        return bool(self._untaken)

    def hear(self, now: Now) -> bool:
        """Hears what the agent says. True: everything was forgotten, and the caller abandons all requests."""
        self._ask_for_purge(now)
        is_forgotten = False
        for message in self._receiver.take(HEAR_MAX):
            kind, term = messages.split(message[0])
            if kind == ToDispatcher.BEGIN:
                is_forgotten |= self._begin(now, term, message[1:])
            elif not self._term:
                continue  # it is for the dispatcher of before
            elif kind == ToDispatcher.COUNT:
                self._entries.append(message[1:])
            elif kind == ToDispatcher.COMPLETE:
                self._count(now)
                self._words[cell_layout.COMPLETE_MS_AT] = message[1]
            elif term == self._term:
                self._hear[kind](now, message[1:])
        self._count(now)
        if self._untaken:
            self._take_over(now)
        for granted_ms, answer in self._network.answers:
            self._say(ToAgent.HEALTH, answer.processor, granted_ms, int(answer.failing), answer.min_response_ms)
        self._network.answers.clear()
        self._sender.flush()
        self._rest(now)
        return is_forgotten

    def hold(self, now: Now, attempts: list[Attempt]) -> list[Attempt]:
        """Those of ``attempts`` that may leave now. The others wait for their pin, or do not leave."""
        leaving: list[Attempt] = []
        may_begin = self._may_begin(now)
        for attempt in attempts:
            if attempt.lookup or attempt.tries:
                leaving.append(attempt)
            elif not self._is_ours(attempt):
                self._drop(now, attempt)
            elif not may_begin:
                self._put_back(now, attempt)
            else:
                self._held[attempt.ticket] = attempt
                attempt.ask_ms = NEVER_MS  # nothing of it has left: nobody need look it up
                self._say(
                    ToAgent.PIN, attempt.ticket, attempt.id_high, attempt.id_low, attempt.processor,
                    attempt.requested_ms,
                )  # fmt: skip
        return leaving

    def end(self) -> None:
        """The dispatcher stops: what it has said is in the mail, as far as there is room."""
        self._sender.flush()

    # --- what the agent says -----------------------------------------------------------------------------------------

    def _begin(self, now: Now, term: int, message: Message) -> bool:
        life, is_emptied, is_purged = message[:3]
        if life != self._life:
            return False
        self._term = term
        self._held.clear()
        self._untaken.clear()
        self.leaving.clear()
        if is_emptied:
            self._entries.clear()
            self._words[cell_layout.COMPLETE_MS_AT] = 0
        self._count(now)
        self._dispatcher.begin_anew(now, is_emptied=bool(is_emptied), is_purged=bool(is_purged))
        self._words[cell_layout.TAKEN_UP_AT] = term
        return True

    def _send(self, now: Now, message: Message) -> None:
        ticket, requested_ms = message[:2]
        attempt = self._held.pop(ticket, None)
        if attempt is None or ticket not in self._work.in_flight:
            return  # a lookup has ended the payment meanwhile
        if requested_ms != attempt.requested_ms:
            self._move(now, attempt, requested_ms)
        observed = self._work.router.observed[attempt.processor]
        observed.dropped(ticket)  # its time begins now: what the store took says nothing of the processor
        observed.began(now.mono_ms, ticket)
        attempt.began_ms, attempt.ask_ms = now.mono_ms, 0
        self._work.in_flight[ticket] = self._work.in_flight.pop(ticket)  # they are in the order of their age
        self.leaving.append(attempt)

    def _move(self, now: Now, attempt: Attempt, requested_ms: int) -> None:
        """The pin has another requestedAt than was asked for: what cells had told allowed no earlier one."""
        attempt.requested_ms = requested_ms
        if attempt.ring == parked.RING:
            self._books.begin(now.wall_ms)
            payment = self._settlement.payment(attempt.ring, attempt.position)
            self._settlement.change(attempt.position, payment._replace(requested_ms=requested_ms))
            self._books.commit()
        else:
            reader = self._work.rings[attempt.ring]
            reader.words[reader.offset(attempt.position) + layout.SLOT_REQUESTED_MS] = requested_ms

    def _unsent(self, now: Now, message: Message) -> None:
        ticket, is_gone = message[:2]
        attempt = self._held.pop(ticket, None)
        if attempt is None or ticket not in self._work.in_flight:
            return
        if is_gone:
            self._drop(now, attempt)
        else:
            self._put_back(now, attempt)

    def _ask_health(self, now: Now, message: Message) -> None:
        processor, granted_ms, until_ms = message[:3]
        if now.mono_ms < until_ms and processor in self._work.processors:
            self._network.ask_granted(processor, granted_ms)

    def _health(self, _now: Now, message: Message) -> None:
        processor, is_failing, min_response_ms = message[:3]
        if processor in self._work.processors:
            self._network.told.append(Health(processor, bool(is_failing), min_response_ms))

    def _count(self, now: Now) -> None:
        """Counts what was settled by any cell."""
        entries, self._entries = self._entries, []
        for begin in range(0, len(entries), SETTLEMENTS_MAX):
            part = entries[begin : begin + SETTLEMENTS_MAX]
            # Another cell's clock may be ahead of this one: the bucket of its payment must be open.
            self._books.begin(max(now.wall_ms, *(requested_ms for _, _, requested_ms, *_ in part)))
            for kind, processor, requested_ms, payments, cents, *_ in part:
                self._books.count(kind, processor, requested_ms, payments, cents)
            self._books.commit()

    def _take_over(self, now: Now) -> None:
        """Parks what was handed over, as far as there is room; the rest goes on waiting."""
        part = [self._untaken.popleft() for _ in range(min(TAKE_MAX, len(self._untaken)))]
        places = list[tuple[Message, int | None]]()
        self._books.begin(now.wall_ms)
        for message in part:
            places.append((message, parked.put(self._books, self._work.shape, _handed_over(now, message))))
        self._books.commit()
        for message, place in places:
            if place is None:
                self._untaken.append(message)
            else:
                self._work.take_over(now, _handed_over(now, message)._replace(position=place))

    # --- what does not leave -----------------------------------------------------------------------------------------

    def _is_ours(self, attempt: Attempt) -> bool:
        """Whether the payment is this cell's to pay in this term. One in a parking place is."""
        if attempt.ring == parked.RING:
            return True
        at = cell_layout.verdict_at(self._words[cell_layout.SLOTS_AT], attempt.ring, attempt.position)
        verdict, _ = cell_layout.unpack_verdict(self._words[at], attempt.position, self._term)
        return verdict == cell_layout.HELD

    def _forget_request(self, attempt: Attempt) -> None:
        del self._work.in_flight[attempt.ticket]
        self._work.router.observed[attempt.processor].dropped(attempt.ticket)

    def _drop(self, now: Now, attempt: Attempt) -> None:
        """Another one pays it: it gives its slot or its place back."""
        self._forget_request(attempt)
        delayed = self._work.delayed.get(attempt.key)
        if delayed is not None:
            self._work.delayed.remove(delayed)
        if attempt.ring != parked.RING:
            self._settlement.store_progress(attempt.ring, attempt.position, PARKED, 0, 0)
            return
        self._books.begin(now.wall_ms)
        payment = self._settlement.payment(attempt.ring, attempt.position)
        self._settlement.change(attempt.position, payment._replace(state=PARKED))
        self._books.commit()

    def _put_back(self, now: Now, attempt: Attempt) -> None:
        """It waits again: nothing of it has left."""
        self._forget_request(attempt)
        delayed = self._work.delayed.get(attempt.key) if attempt.is_delayed else None
        self._books.begin(now.wall_ms)
        place = attempt.ring, attempt.position
        self._settlement.store_state(*place, QUEUED, attempt.processor, attempt.attempts - 1)
        self._books.commit()
        if delayed is None:
            self._work.backlog.put_back(attempt.ring, attempt.position)
        else:
            self._work.delayed.wait(delayed, now.mono_ms + TURNED_AWAY_MS)

    # --- what the agent is told --------------------------------------------------------------------------------------

    def _tell(self, high: int, low: int, kind: int, processor: int, requested_ms: int, reason: int) -> None:
        self._say(ToAgent.END, high, low, kind, processor, requested_ms, reason)

    def _refused(self, high: int, low: int) -> None:
        self._say(ToAgent.REFUSED, high, low)

    def _say(self, kind: ToAgent, *rest: int) -> None:
        self._sender.send(messages.head(kind, self._term), *rest)

    def _may_begin(self, now: Now) -> bool:
        is_current = self._term != 0 and self._words[cell_layout.TERM_AT] == self._term
        return (
            is_current
            and now.mono_ms < self._words[cell_layout.MAY_BEGIN_MS_AT]
            and (self._sender.waiting < WAITING_MAX)
        )

    def _rest(self, now: Now) -> None:
        """Nothing is begun while nothing may be sent for the first time; lookups go on."""
        if not self._may_begin(now):
            for observed in self._work.router.observed:
                observed.rest(now.mono_ms + REST_MS)

    def _ask_for_purge(self, now: Now) -> None:
        if now.mono_ms >= self._purge_ms and self._term and self._dispatcher.is_purge_asked:
            self._purge_ms = now.mono_ms + PURGE_AGAIN_MS
            self._say(ToAgent.PURGE)


def _handed_over(now: Now, message: Message) -> Payment:
    """The payment that a message TAKE hands over. How long it has been unknown counts from now on."""
    high, low, cents, accepted_ms, where, requested_ms = message[:6]
    age_ms = 0 if where else max(0, now.wall_ms - accepted_ms)
    state, processor, attempts = (PROCESSING, where - 1, 1) if where else (QUEUED, 0, 0)
    return Payment(
        0, high, low, cents, accepted_ms, state, processor, attempts, requested_ms, 0, layout.REASON_NONE,
        max(0, now.mono_ms - age_ms), requested_ms, True,
    )  # fmt: skip
