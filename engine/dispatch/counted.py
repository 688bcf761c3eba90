"""Books and ends of payments on a cell: what the store does not have is not counted. Pure.

On one host a transaction ends a payment and counts it. On a cell the end is told to the agent, and the books count what
the agent has followed: the entries of all cells, this one's too. So the books of all cells have the same, whoever has
sent.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.books.writer import BooksWriter
from engine.dispatch.attempt import Now
from engine.dispatch.settlement import Settlement
from engine.memory import layout
from engine.memory.words import WORD_MAX
from engine.payment import Payment

# What an outcome is, as :class:`engine.cluster.values.Kind` numbers it; tests/cluster/test_parts.py compares the two.
SETTLED, CHARGED_BEFORE, GIVEN_UP, DECLARED, REOPENED = range(1, 6)
NOWHERE = WORD_MAX  # the processor of what was charged at none

# id_high, id_low, kind, processor, requested_ms, reason
Tell = Callable[[int, int, int, int, int, int], None]


class CellBooks(BooksWriter):
    """The books of all. What ends here is not counted before it is followed: :meth:`count`."""

    def settle(self, processor: int, requested_ms: int, cents: int) -> None:
        """See the base class; it is told, and not counted."""

    def fail(self, cents: int) -> None:
        """See :meth:`settle`."""

    def charged_before(self, cents: int) -> None:
        """See :meth:`settle`."""

    def count(self, kind: int, processor: int, requested_ms: int, payments: int, cents: int) -> None:
        """Counts ``payments`` with this outcome, of ``cents`` in all, as part of a transaction."""
        if kind == SETTLED:
            key = requested_ms << 3 | processor
            before = self._settled.get(key, (0, 0))
            self._settled[key] = before[0] + payments, before[1] + cents
        elif kind == GIVEN_UP:
            self._count_beside(layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT, payments, cents)
        elif kind == REOPENED:
            self._count_beside(layout.BOOKS_FAILED_AT, layout.BOOKS_FAILED_CARRY_AT, -payments, -cents)
        elif kind == CHARGED_BEFORE:
            self._count_beside(layout.BOOKS_BEFORE_AT, layout.BOOKS_BEFORE_CARRY_AT, payments, cents)
        else:
            self._count_beside(layout.BOOKS_DECLARED_AT, layout.BOOKS_DECLARED_CARRY_AT, payments, cents)


class CellSettlement(Settlement):
    """Tells how payments end; ``tell`` and ``refused`` are set by who speaks to the agent.

    ``refused``: called with the id of a payment that is certainly charged nowhere.
    """

    tell: Tell
    refused: Callable[[int, int], None]

    def complete(
        self, now: Now, ring: int, position: int, processor: int, attempts: int, requested_ms: int, cents: int
    ) -> None:
        """See the base class."""
        payment = self.payment(ring, position)
        self.tell(payment.id_high, payment.id_low, SETTLED, processor, requested_ms, layout.REASON_NONE)
        super().complete(now, ring, position, processor, attempts, requested_ms, cents)

    def complete_with(self, now: Now, ring: int, payment: Payment, requested_ms: int, cents: int, reason: int) -> None:
        """See the base class. An amount that differs is told by its reason: the books of all have the one accepted."""
        self.tell(payment.id_high, payment.id_low, SETTLED, payment.processor, requested_ms, reason)
        super().complete_with(now, ring, payment, requested_ms, cents, reason)

    def charged_before(self, now: Now, ring: int, payment: Payment, processor: int, requested_ms: int) -> None:
        """See the base class."""
        self.tell(payment.id_high, payment.id_low, CHARGED_BEFORE, processor, requested_ms, layout.REASON_NONE)
        super().charged_before(now, ring, payment, processor, requested_ms)

    def fail(self, now: Now, ring: int, payment: Payment, reason: int) -> None:
        """See the base class."""
        self.tell(payment.id_high, payment.id_low, GIVEN_UP, NOWHERE, 0, reason)
        super().fail(now, ring, payment, reason)

    def store_state(self, ring: int, position: int, state: int, processor: int, attempts: int) -> None:
        """See the base class. A payment that waits again is charged nowhere."""
        super().store_state(ring, position, state, processor, attempts)
        if state == layout.QUEUED:
            payment = self.payment(ring, position)
            self.refused(payment.id_high, payment.id_low)
