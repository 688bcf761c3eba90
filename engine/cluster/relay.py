"""Between what a cell decides and the dispatcher that sends for it: mail in, mail out.

The dispatcher says where a payment is to go, and how requests have ended. It hears what may leave, what it is to take
over, and what any cell has settled. A message of another term counts no more, but that something was charged does:
that is told to the store whoever holds the payment.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from engine.cluster.actions import Action, AskHealth, HealthTold, Request, Taken, Unsent
from engine.cluster.agent import Agent
from engine.cluster.calls import ANSWER_MS_MAX
from engine.cluster.cell import Moment
from engine.cluster.held import Held, Stage
from engine.cluster.values import NO_PROCESSOR, Entry, Folded, Kind, Outcome
from engine.correlation import halves, id_bytes
from engine.link import mail, messages
from engine.link.mail import Receiver, Sender
from engine.link.messages import ToAgent, ToDispatcher
from engine.memory.words import WORD_MAX, Words

TAKE_MAX: Final = 1024  # messages of one pass
WAITING_MAX: Final = 4096  # messages that wait before no further page of outcomes is read at once

OK: Final = 200
_HEALTH: Final = struct.Struct("<BQ")  # of an answer that cells share

Message = tuple[int, ...]


class CountedByMail:
    """The books of all, which the dispatcher keeps: see :class:`engine.cluster.agent.Books`.

    ``is_emptied``: what was counted is to be forgotten with the next term. ``must_begin``: a term must begin, because
    what was counted one by one is a sum by now.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.term = 0
        self.is_emptied = True
        self.must_begin = False
        self._counted = set[int]()  # the cells of which something was counted

    @property
    def has_room(self) -> bool:
        """See the protocol."""
        return self._sender.waiting < WAITING_MAX

    def count(self, cell: int, entry: Entry) -> None:
        """See the protocol."""
        self._counted.add(cell)
        self._count(entry.outcome.kind, entry.outcome.processor, entry.outcome.requested_ms, 1, entry.cents)

    def replace(self, cell: int, folded: Folded) -> None:
        """See the protocol. A message takes nothing away: whoever has counted some of it begins anew."""
        self.must_begin = self.must_begin or cell in self._counted
        self._counted.add(cell)
        for one in (one for one in folded.sums if one.payments):
            self._count(one.kind, one.processor, one.minute_ms, one.payments, one.cents)

    def forget(self) -> None:
        """See the protocol."""
        self.is_emptied = True
        self.must_begin = False
        self._counted.clear()

    def _count(self, kind: Kind, processor: int, requested_ms: int, payments: int, cents: int) -> None:
        head = messages.head(ToDispatcher.COUNT, self.term)
        self._sender.send(head, kind, _word(processor), requested_ms, payments, cents)


class Relay:
    """See the module.

    Parameters:
      words: the cell's memory; sender: its mail to the dispatcher.
      agent: what decides; books: where outcomes are counted.
    """

    def __init__(self, words: Words, sender: Sender, agent: Agent, books: CountedByMail) -> None:
        self._sender, self._receiver = sender, Receiver(*mail.to_agent(words))
        self._agent, self._cell, self._books = agent, agent.cell, books
        self._tickets: dict[bytes, int] = {}  # of payments that are being pinned
        self._term = 0
        self._complete_ms = 0
        self._hear: Mapping[int, Callable[[Moment, Message], None]] = {
            ToAgent.PIN: self._pin,
            ToAgent.REFUSED: self._refused,
            ToAgent.END: self._end,
            ToAgent.PURGE: lambda _now, _message: self._agent.purge(),
            ToAgent.HEALTH: self._answered,
        }
        self._receiver.skip()  # what an earlier agent has not read

    @property
    def pinning(self) -> int:
        """How many payments are being pinned."""
        return len(self._tickets)

    def begin(self, term: int, life: int, *, is_purged: bool) -> None:
        """A term begins, for the dispatcher of this ``life``."""
        self._term = self._books.term = term
        self._tickets.clear()
        if self._books.is_emptied:
            self._sender.clear()
        self._send(ToDispatcher.BEGIN, life, int(self._books.is_emptied), int(is_purged))
        if self._books.is_emptied:
            self._complete_ms = 0
        self._books.is_emptied = False

    def hear(self, now: Moment) -> bool:
        """Reads what the dispatcher says. Whether there was anything."""
        taken = self._receiver.take(TAKE_MAX)
        for message in taken:
            kind, term = messages.split(message[0])
            if term == self._term or (kind == ToAgent.END and message[3] != Kind.GIVEN_UP):
                self._hear[kind](now, message[1:])
        return bool(taken)

    def act(self, now: Moment, action: Action) -> None:
        """Tells the dispatcher what was decided."""
        if isinstance(action, Request):
            ticket = self._tickets.pop(action.id, None)
            if ticket is not None:
                self._send(ToDispatcher.SEND, ticket, action.requested_ms)
        elif isinstance(action, Unsent):
            ticket = self._tickets.pop(action.id, None)
            if ticket is not None:
                self._send(ToDispatcher.UNSENT, ticket, int(action.is_gone))
        elif isinstance(action, Taken):
            self._hand_over(action.held)
        elif isinstance(action, AskHealth):
            late_ms = self._cell.membership.store_ms_max(now.mono_ms) - action.asked_ms
            until_ms = max(0, now.mono_ms + ANSWER_MS_MAX - late_ms)
            self._send(ToDispatcher.ASK_HEALTH, action.processor, action.asked_ms, until_ms)
        elif isinstance(action, HealthTold) and len(action.body) == _HEALTH.size:
            self._send(ToDispatcher.HEALTH, action.processor, *_unpacked(action.body))

    def tell(self) -> None:
        """Tells until when the books are complete, and sends what had found no room."""
        complete_ms = self._cell.following.complete_ms
        if complete_ms > self._complete_ms:
            self._complete_ms = complete_ms
            self._send(ToDispatcher.COMPLETE, complete_ms)
        self._sender.flush()

    def _pin(self, now: Moment, message: Message) -> None:
        ticket, high, low, processor, requested_ms = message[:5]
        payment = id_bytes(high, low)
        held = self._cell.held.get(payment)
        if held is None or held.stage in (Stage.PINNING, Stage.ENDING):
            self._send(ToDispatcher.UNSENT, ticket, 1)
        elif held.stage is Stage.PINNED:  # a request for it may be under way, which this dispatcher knows nothing of
            self._send(ToDispatcher.UNSENT, ticket, 1)
            self._hand_over(held)
        elif self._cell.pin(now._replace(wall_ms=requested_ms), payment, processor):
            self._tickets[payment] = ticket
        else:
            self._send(ToDispatcher.UNSENT, ticket, 0)

    def _refused(self, now: Moment, message: Message) -> None:
        self._cell.refused(now, id_bytes(*message[:2]))

    def _end(self, now: Moment, message: Message) -> None:
        high, low, kind, processor, requested_ms, reason = message[:6]
        payment = id_bytes(high, low)
        outcome = Outcome(payment, Kind(kind), _number(processor), requested_ms, now.wall_ms, reason)
        if not self._cell.conclude(outcome):
            held = self._cell.held.get(payment)
            if held is not None and held.stage is Stage.PINNED:
                self._hand_over(held)

    def _answered(self, _now: Moment, message: Message) -> None:
        processor, granted_ms, is_failing, min_response_ms = message[:4]
        self._agent.share_health(AskHealth(processor, granted_ms), OK, _HEALTH.pack(is_failing, min_response_ms))

    def _hand_over(self, held: Held) -> None:
        pin = held.pin
        where = (0, 0) if pin is None or held.stage is Stage.FREE else (1 + pin.processor, pin.requested_ms)
        self._send(ToDispatcher.TAKE, *halves(held.id), held.cents, held.accepted_ms, *where)

    def _send(self, kind: ToDispatcher, *rest: int) -> None:
        self._sender.send(messages.head(kind, self._term), *rest)


def _unpacked(body: bytes) -> tuple[int, int]:
    """Of an answer that cells share: whether the processor fails, and its least response time in ms."""
    is_failing, min_response_ms = _HEALTH.unpack(body)
    return is_failing, min_response_ms


def _word(processor: int) -> int:
    """A processor's number in a message; that of none is WORD_MAX."""
    return processor & WORD_MAX


def _number(word: int) -> int:
    return NO_PROCESSOR if word == WORD_MAX else word
