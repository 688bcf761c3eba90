"""Every store that ends a payment, or moves it between its slot and a parking place. Part of the books' transactions.

A payment is identified by its ring and position, or by ``parked.RING`` and its parking place. Every method that writes
belongs between ``books.begin`` and ``books.commit``. The exceptions are :meth:`Settlement.store_progress`,
:meth:`Settlement.store_request` and what uses them: they store the dispatcher's own words of one slot at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.books import parked
from engine.books.levels import Shape
from engine.books.writer import BooksWriter
from engine.dispatch.attempt import Now
from engine.dispatch.history import History
from engine.memory import layout
from engine.memory.layout import CHARGED_BEFORE, COMPLETED, FAILED, PARKED
from engine.payment import Payment
from engine.ring.ring import RingReader

_POSITION_MASK = (1 << layout.ADDRESS_SEGMENT_SHIFT) - 1


class Settlement:
    """Writes into the slots of ``rings`` and into ``books``, which have the shape ``shape``; tells ``history``.

    ``waits_for_ledger``: a parked place is used again only when SQL has what became of its payment.
    """

    def __init__(
        self,
        rings: Sequence[RingReader],
        books: BooksWriter,
        shape: Shape,
        history: History | None = None,
        waits_for_ledger: bool = False,
    ) -> None:
        self._waits_for_ledger = waits_for_ledger
        self._history = history
        self._rings = rings
        self._books = books
        self._shape = shape

    def payment(self, ring: int, position: int) -> Payment:
        """An open payment, as memory has it."""
        if ring == parked.RING:
            payment = parked.read(self._books.value, self._shape, position)
        else:
            payment = self._rings[ring].read(position)
        assert payment is not None, "a slot was given away before its payment was done"
        return payment

    def complete(
        self, now: Now, ring: int, position: int, processor: int, attempts: int, requested_ms: int, cents: int
    ) -> None:
        """Ends a payment that ``processor`` has charged, under ``requested_ms`` with ``cents``. Nearly all end so."""
        self._books.settle(processor, requested_ms, cents)
        if ring == parked.RING:
            done = self.payment(ring, position)._replace(requested_ms=requested_ms)
            self._end(now, ring, done, COMPLETED, layout.REASON_NONE)
            return
        reader = self._rings[ring]
        at = reader.offset(position)
        assert reader.words[at + layout.SLOT_SEQUENCE] == position + 1, "its slot was given away"
        word = layout.pack_progress(position, COMPLETED, processor, attempts)
        self._books.put_done(ring + 1, at, requested_ms, now.wall_ms, word)

    def complete_with(self, now: Now, ring: int, payment: Payment, requested_ms: int, cents: int, reason: int) -> None:
        """As :meth:`complete`, with a reason: unconfirmed, or the processor has another amount."""
        self._books.settle(payment.processor, requested_ms, cents)
        first_ms = payment.first_ms
        if reason == layout.REASON_AMOUNT:
            self._books.add(layout.BOOKS_DISCREPANCIES_AT, 1)
            first_ms = cents
        elif reason == layout.REASON_UNCONFIRMED:
            self._books.add(layout.BOOKS_UNCONFIRMED_AT, 1)
        done = payment._replace(requested_ms=requested_ms, first_ms=first_ms)
        self._end(now, ring, done, COMPLETED, reason)

    def charged_before(self, now: Now, ring: int, payment: Payment, processor: int, requested_ms: int) -> None:
        """Ends a payment whose id ``processor`` had, under ``requested_ms``, before this payment's first request."""
        self._books.charged_before(payment.cents)
        done = payment._replace(processor=processor, requested_ms=requested_ms)
        self._end(now, ring, done, CHARGED_BEFORE, layout.REASON_NONE)

    def fail(self, now: Now, ring: int, payment: Payment, reason: int) -> None:
        """Ends a payment that is certainly not charged, and is not tried again."""
        self._books.fail(payment.cents)
        self._end(now, ring, payment, FAILED, reason)

    def park(self, now: Now, ring: int, payment: Payment, refused: int = 0) -> int | None:
        """Parks an open payment and gives its slot back. Returns its parking place, None if there is no room."""
        assert ring != parked.RING and self._is_there(ring, payment.position, payment)
        home = layout.pack_home(ring, payment.position)
        place = parked.put(self._books, self._shape, payment, refused, home, self._waits_for_ledger)
        if place is not None:
            at = self._rings[ring].offset(payment.position) + layout.SLOT_PROGRESS
            word = layout.pack_progress(payment.position, PARKED, payment.processor, payment.attempts)
            self._books.put(ring + 1, at, word)
            if self._history is not None:
                self._history.parked(now, place, payment)
        return place

    def change(self, place: int, payment: Payment, refused: int | None = None) -> None:
        """Changes an open payment that is parked; see :func:`parked.change`."""
        parked.change(self._books, self._shape, place, payment, refused)

    def store_state(self, ring: int, position: int, state: int, processor: int, attempts: int) -> None:
        """Changes the state of an open payment: in a slot at once, in a parking place by the transaction."""
        if ring == parked.RING:
            self.change(position, self.payment(ring, position)._replace(state=state))
        else:
            self.store_progress(ring, position, state, processor, attempts)

    def store_request(self, ring: int, payment: Payment) -> None:
        """Stores what is about to be sent for the payment of a slot. The times come first, because the state must never
        refer to a time that was not sent.
        """
        reader = self._rings[ring]
        at = reader.offset(payment.position)
        reader.words[at + layout.SLOT_FIRST_MS] = payment.first_ms
        reader.words[at + layout.SLOT_REQUESTED_MS] = payment.requested_ms
        self.store_progress(ring, payment.position, payment.state, payment.processor, payment.attempts)

    def store_progress(self, ring: int, position: int, state: int, processor: int, attempts: int) -> None:
        """One store of a slot's progress, outside of any transaction; ``ring`` is not the parking table."""
        reader = self._rings[ring]
        at = reader.offset(position)
        assert reader.words[at + layout.SLOT_SEQUENCE] == position + 1, "its slot was given away"
        reader.words[at + layout.SLOT_PROGRESS] = layout.pack_progress(position, state, processor, attempts)

    def _end(self, now: Now, ring: int, payment: Payment, state: int, reason: int) -> None:
        """The last words of a payment; ``payment`` has its processor, attempts and times."""
        if self._history is not None:
            self._history.ended(now, ring, payment, state, reason)
        if ring == parked.RING:
            done = payment._replace(state=state, settled_ms=now.wall_ms, reason=reason)
            home = parked.home(self._books.value, self._shape, payment.position)
            parked.change(self._books, self._shape, payment.position, done)
            # Its place may be forgotten before its slot is given away.
            ring, position = (home >> layout.ADDRESS_SEGMENT_SHIFT) - 1, home & _POSITION_MASK
            if not 0 <= ring < len(self._rings) or not self._is_there(ring, position, payment):
                return
            payment = payment._replace(position=position)
        at = self._rings[ring].offset(payment.position)
        if payment.is_parked or reason == layout.REASON_AMOUNT:
            self._books.put(ring + 1, at + layout.SLOT_FIRST_MS, payment.first_ms)
        word = layout.pack_progress(payment.position, state, payment.processor, payment.attempts)
        settled = layout.pack_settled(now.wall_ms, reason)
        self._books.put_done_again(ring + 1, at, payment.requested_ms, settled, word)

    def _is_there(self, ring: int, position: int, payment: Payment) -> bool:
        """Whether the slot of ``position`` still has the payment. If the slot is given away just now, the words that
        are written do no harm: its new payment recognises them as those of an older one.
        """
        held = self._rings[ring].read(position)
        return held is not None and (held.id_high, held.id_low) == (payment.id_high, payment.id_low)
