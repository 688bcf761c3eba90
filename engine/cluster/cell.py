"""A cell's side of the store: what it says, what the answers mean, and what may be sent. Pure.

Time, answers and ends of requests go in; calls, requests and replies come out (:mod:`engine.cluster.actions`). Whoever
drives it decides where a payment goes and when it is tried again, and asks here whether it may.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.cluster.actions import Action, Forgot, Reply, ReplyTo, Request, Taken, Unsent
from engine.cluster.calls import Calls, Operation
from engine.cluster.following import Following
from engine.cluster.held import Held, Stage
from engine.cluster.membership import Membership
from engine.cluster.pins import Step, is_ours
from engine.cluster.values import NO_PROCESSOR, Kept, Kind, Offer, Outcome, Pin, Row, Verdict
from engine.connectors.answers import Verdict as Answer

BEFORE_MS = -1  # any call
ACCEPT_MS_MAX = 800  # what a customer waits for at most: less than nginx's second


class Moment(NamedTuple):
    """``mono_ms``: the engine's clock, which never goes back; ``wall_ms``: UTC as this host shows it."""

    mono_ms: int
    wall_ms: int


class Bounds(NamedTuple):
    """``held_max``: payments that a cell holds, or has offered to the store, before it accepts no more.

    ``dead_letter_ms``: how long an outcome may be unknown before a person decides.
    """

    held_max: int
    dead_letter_ms: int


class Cell:
    """See the module.

    ``held``: the open payments of this cell, by id. ``actions``: what is to be done; whoever drives it takes them.
    ``is_closed``: it accepts no more, because it stops.
    """

    def __init__(self, membership: Membership, bounds: Bounds) -> None:
        self.membership = membership
        self.following = Following()
        self.calls = Calls()
        self.held: dict[bytes, Held] = {}
        self.actions: list[Action] = []
        self.is_closed = False
        self._bounds = bounds
        self._offers: dict[tuple[bytes, int], int] = {}  # customers who wait: since when
        self._ended: dict[bytes, int] = {}  # payments that have ended since the oldest call left that is under way

    # --- accepting ---------------------------------------------------------------------------------------------------

    def offer(self, now: Moment, payment: bytes, cents: int) -> None:
        """A customer offers a payment; a :class:`Reply` follows."""
        key = payment, cents
        held = self.held.get(payment)
        if held is not None:
            self._reply(key, ReplyTo.ACCEPTED if held.cents == cents else ReplyTo.CONFLICT)
        elif self.is_closed or self._is_full() or not self.membership.may_begin(now.mono_ms):
            self._reply(key, ReplyTo.AWAY)
        else:
            self._offers.setdefault(key, now.mono_ms)
            self.calls.want(Operation.ACCEPT, key, Offer(payment, cents, now.wall_ms))

    def _is_full(self) -> bool:
        return len(self.held) + self.calls.count(Operation.ACCEPT) >= self._bounds.held_max

    def accepted(self, now: Moment, payment: bytes, cents: int, row: Row, asked_ms: int) -> None:
        """The store has answered an offer.

        What it keeps for this epoch is this cell's to pay, whatever its customer was told.
        """
        kept, is_held = row.kept, False
        self.calls.done(Operation.ACCEPT, (payment, cents))
        self._offers.pop((payment, cents), None)
        if kept is None:
            is_held = payment not in self.held
            self.held.setdefault(payment, Held(payment, cents, now.wall_ms, now.mono_ms))
        elif kept.outcome is None and kept.pin is None:
            is_held = self._take(now, kept, asked_ms)
        elif kept.outcome is None:
            self.take(now, kept, asked_ms)
        outcome = None if kept is None else kept.outcome
        failed = outcome.reason if outcome is not None and outcome.kind is Kind.GIVEN_UP else None
        is_refused = row.verdict is Verdict.CONFLICT or failed is not None
        to = ReplyTo.CONFLICT if is_refused else ReplyTo.ACCEPTED
        why = None if row.verdict is Verdict.CONFLICT else failed
        self.actions.append(Reply(payment, cents, to, is_held and not is_refused, why))

    def take(self, now: Moment, kept: Kept, asked_ms: int) -> None:
        """An open payment that the store says this epoch holds, and that was not offered here just now.

        ``asked_ms``: when the store was asked. What has ended here since then may be open in an answer that is late.
        """
        if self._take(now, kept, asked_ms):
            self.actions.append(Taken(self.held[kept.id]))

    def _take(self, now: Moment, kept: Kept, asked_ms: int) -> bool:
        by = self.membership.by
        is_held = by is not None and kept.holder == by.number and kept.id not in self.held
        if is_held and self._ended.get(kept.id, BEFORE_MS) < asked_ms:
            self.held[kept.id] = Held.taken(kept, now.mono_ms)
            return True
        return False

    def _reply(self, offer: tuple[bytes, int], to: ReplyTo) -> None:
        self.actions.append(Reply(*offer, to))

    # --- sending -----------------------------------------------------------------------------------------------------

    def pin(self, now: Moment, payment: bytes, processor: int) -> bool:
        """Pins a free payment; its request follows when the store has the pin. False: it may not be sent now."""
        held = self.held[payment]
        if held.stage is not Stage.FREE or not self.membership.may_begin(now.mono_ms):
            return False
        pin = held.pinned(processor, self.membership.requested_ms(now.wall_ms))
        self.calls.want(Operation.PIN, payment, pin)
        return True

    def pinned(self, now: Moment, pin: Pin, row: Row, asked_ms: int) -> None:
        """The store has answered a pin."""
        self.calls.done(Operation.PIN, pin.id)
        held = self.held.get(pin.id)
        if held is None or held.stage is not Stage.PINNING or held.pins != pin.number:
            return
        if row.verdict not in (Verdict.NEW, Verdict.SAME):
            del self.held[pin.id]
            self.actions.append(Unsent(pin.id, is_gone=True))
            if row.kept is not None and row.kept.outcome is None:
                self.take(now, row.kept, asked_ms)  # as the store has it; if another epoch holds it, not at all
        elif self.membership.may_begin(now.mono_ms):
            held.stage = Stage.PINNED
            self._send(held)
        else:
            held.stage = Stage.FREE  # the store has the pin, but no request was sent: this cell may still replace it
            self.actions.append(Unsent(pin.id, is_gone=False))

    def send_again(self, now: Moment, payment: bytes) -> bool:
        """Sends the same body to the same processor once more; False: it may not be sent now."""
        held = self.held[payment]
        if held.stage is not Stage.PINNED or not self.membership.holds(now.mono_ms):
            return False
        self._send(held)
        return True

    def _send(self, held: Held) -> None:
        pin = held.pin
        assert pin is not None
        pin.sent()
        self.actions.append(Request(held.id, pin.number, pin.processor, pin.requested_ms, held.cents))

    def ended(self, now: Moment, payment: bytes, number: int, verdict: Answer) -> Step:
        """A request of the payment's pin ``number`` has ended."""
        held = self.held.get(payment)
        if held is None or held.stage is not Stage.PINNED or held.pin is None or held.pin.number != number:
            return Step.STAY
        step = held.pin.ended(verdict)
        if step is Step.SETTLE:
            self._conclude(now, held, Kind.SETTLED, held.pin.requested_ms)
        elif step is Step.FREE:
            held.stage = Stage.FREE
        return step

    def refused(self, now: Moment, payment: bytes) -> None:
        """The one request that a dispatcher has sent for its pin was certainly refused. It says so only of a request
        before which, and since which, it has sent no other."""
        held = self.held.get(payment)
        if held is not None and held.stage is Stage.PINNED and held.pin is not None and held.pin.unrefused:
            self.ended(now, payment, held.pin.number, Answer.REJECTED)

    def conclude(self, outcome: Outcome) -> bool:
        """A dispatcher has heard how a payment has ended. What was charged counts whoever holds the payment by now;
        what was given up only if it is certain here too. False: it is not.
        """
        held = self.held.get(outcome.id)
        if outcome.kind is Kind.GIVEN_UP:
            if held is None or held.stage is not Stage.FREE:
                return False
            outcome = outcome._replace(pins=held.pins)
        if held is not None:
            held.stage = Stage.ENDING
        self.calls.want(Operation.CONCLUDE, outcome.id, outcome)
        return True

    def found(self, now: Moment, payment: bytes, number: int, record_ms: int) -> None:
        """A lookup has shown that the pin's processor has the payment, with this requestedAt."""
        held = self.held.get(payment)
        if held is None or held.stage is not Stage.PINNED or held.pin is None or held.pin.number != number:
            return
        kind = Kind.SETTLED if is_ours(held.pin, record_ms) else Kind.CHARGED_BEFORE
        self._conclude(now, held, kind, record_ms)

    # --- ending ------------------------------------------------------------------------------------------------------

    def give_up(self, now: Moment, payment: bytes, reason: int) -> bool:
        """Gives up a payment that is certainly charged nowhere; False: that is not certain, or it is on its way."""
        held = self.held[payment]
        if held.stage is not Stage.FREE:
            return False
        held.stage = Stage.ENDING
        outcome = Outcome(payment, Kind.GIVEN_UP, NO_PROCESSOR, 0, now.wall_ms, reason, held.pins)
        self.calls.want(Operation.CONCLUDE, payment, outcome)
        return True

    def declare(self, now: Moment, payment: bytes, processor: int, requested_ms: int = 0) -> bool:
        """A person says what became of a dead letter; False: it is none, or its end is known.

        Parameters:
          processor: where it was charged, with this requestedAt; NO_PROCESSOR: nowhere.
        """
        held = self.held.get(payment)
        if held is None or not held.is_dead or held.stage is not Stage.PINNED:
            return False
        held.stage = Stage.ENDING
        outcome = Outcome(payment, Kind.DECLARED, processor, requested_ms, now.wall_ms)
        self.calls.want(Operation.CONCLUDE, payment, outcome)
        return True

    def concluded(self, now: Moment, payment: bytes, row: Row, asked_ms: int) -> None:
        """The store has answered an outcome.

        It has one of the payment now, this one or an earlier one, or the payment is not this cell's to give up.
        """
        self.calls.done(Operation.CONCLUDE, payment)
        self.held.pop(payment, None)
        if row.kept is not None and row.kept.outcome is None and row.verdict is not Verdict.NEW:
            self.take(now, row.kept, asked_ms)
        else:
            self._ended[payment] = now.mono_ms

    def reopened(self, now: Moment, payment: bytes, row: Row, asked_ms: int) -> None:
        """The store has answered an act that takes a ``give_up`` back."""
        if row.kept is not None and row.kept.outcome is None:
            self._ended.pop(payment, None)
            self.take(now, row.kept, asked_ms)

    def _conclude(self, now: Moment, held: Held, kind: Kind, requested_ms: int) -> None:
        assert held.pin is not None
        held.stage = Stage.ENDING
        outcome = Outcome(held.id, kind, held.pin.processor, requested_ms, now.wall_ms)
        self.calls.want(Operation.CONCLUDE, held.id, outcome)

    # --- as a whole --------------------------------------------------------------------------------------------------

    def tick(self, now: Moment) -> None:
        """Some time has passed."""
        oldest_ms = self.calls.oldest_ms(now.mono_ms)
        self._ended = {payment: ended_ms for payment, ended_ms in self._ended.items() if ended_ms >= oldest_ms}
        late = [offer for offer, since_ms in self._offers.items() if now.mono_ms - since_ms >= ACCEPT_MS_MAX]
        for offer in late:  # it is still said: what the store accepts must be known here
            del self._offers[offer]
            self._reply(offer, ReplyTo.AWAY)
        for held in self.held.values():
            is_old = now.mono_ms - held.since_ms >= self._bounds.dead_letter_ms
            held.is_dead = held.is_dead or (is_old and held.stage is Stage.PINNED)

    def unsure_ms(self) -> int | None:
        """The least requestedAt of the pins that the store has not answered yet; None: there is none."""
        pinning = (held.pin for held in self.held.values() if held.stage is Stage.PINNING)
        return min((pin.requested_ms for pin in pinning if pin is not None), default=None)

    def lost(self) -> None:
        """The epoch is over: what was held is another cell's. What is known to be charged is still told: it spares the
        other one the asking.
        """
        charged = [row for row in self.calls.rows(Operation.CONCLUDE).values() if row.kind is not Kind.GIVEN_UP]
        self.forget(is_purged=False)
        for outcome in charged:
            self.calls.want(Operation.CONCLUDE, outcome.id, outcome)

    def forget(self, *, is_purged: bool) -> None:
        """There is nothing to hold: the epoch is over, or everything was purged."""
        for offer in self._offers:
            self._reply(offer, ReplyTo.AWAY)
        self._offers.clear()
        self.held.clear()
        self._ended.clear()
        self.calls.clear()
        self.actions.append(Forgot(is_purged))
