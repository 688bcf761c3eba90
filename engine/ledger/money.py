"""Sums of money that are exact, and rounded only where they are shown. Pure.

A fee is a product of cents and millionths. So sums of fees are kept in millionths of a cent, in integers of any size,
and are rounded half to even on the sum, as the processors round theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.processors import rounded


class Part(NamedTuple):
    """Payments with one fee: how many, their cents, the fee (ppm; None: not known), and the lowest fee of that time."""

    payments: int
    cents: int
    fee_ppm: int | None
    cheapest_ppm: int | None


@dataclass
class Money:
    """What was paid, and what of it goes to whom.

    ``cents``: of all payments; ``unknown_cents``: of those whose fee is not known; ``fee``, ``cheapest``: in millionths
    of a cent, of the others, and of all that have both.
    """

    payments: int = 0
    cents: int = 0
    unknown_cents: int = 0
    fee: int = 0
    cheapest: int = 0

    def add(self, part: Part) -> None:
        """Adds payments."""
        self.payments += part.payments
        self.cents += part.cents
        if part.fee_ppm is None:
            self.unknown_cents += part.cents
            return
        self.fee += part.cents * part.fee_ppm
        self.cheapest += part.cents * (part.fee_ppm if part.cheapest_ppm is None else part.cheapest_ppm)

    def join(self, other: Money) -> None:
        """Adds the payments of another one."""
        self.payments += other.payments
        self.cents += other.cents
        self.unknown_cents += other.unknown_cents
        self.fee += other.fee
        self.cheapest += other.cheapest

    @property
    def fee_cents(self) -> int | None:
        """The fees together, rounded; None when one of them is not known."""
        return None if self.unknown_cents else rounded(self.fee)

    @property
    def net_cents(self) -> int | None:
        """What the shop gets: the amounts less the fees."""
        fee_cents = self.fee_cents
        return None if fee_cents is None else self.cents - fee_cents

    @property
    def cheapest_cents(self) -> int | None:
        """The fees that the same payments would have cost at the cheapest processor."""
        return None if self.unknown_cents else rounded(self.cheapest)
