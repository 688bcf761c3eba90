"""Totals of settled payments, as the engine and the processors state them. Pure: parsed JSON in, integers out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from engine.processors import CONTEST_NAMES


class BooksError(Exception):
    """An answer does not have the form of a summary."""


@dataclass(frozen=True)
class Total:
    """Number and sum of the payments at one processor."""

    count: int
    cents: int


NOTHING = Total(count=0, cents=0)


class Totals(dict[str, Total]):
    """The payments at each processor, by name in the order in which they are shown."""

    @property
    def count(self) -> int:
        """Payments at all of them together."""
        return sum(each.count for each in self.values())

    @property
    def cents(self) -> int:
        """Their amounts together, in cents."""
        return sum(each.cents for each in self.values())


def cents(amount: Any) -> int:
    """An amount of a summary (int or Decimal) as cents. Raises TypeError, ArithmeticError or ValueError."""
    return int((Decimal(amount) * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def total(content: Any) -> Total:
    """The total in a summary of one processor; ``content`` is its JSON with numbers as int and Decimal.

    Raises BooksError.
    """
    try:
        count, amount_cents = content["totalRequests"], cents(content["totalAmount"])
    except (KeyError, TypeError, ArithmeticError, ValueError):
        raise BooksError(f"not a summary: {content!r:.200}") from None
    if not isinstance(count, int) or count < 0 or amount_cents < 0:
        raise BooksError(f"not a summary: {content!r:.200}")
    return Total(count, amount_cents)


def engine_totals(content: Any, names: Collection[str] = CONTEST_NAMES) -> Totals:
    """The totals in the engine's ``/payments-summary``, which has all processors of ``names`` and no other.

    Raises BooksError.
    """
    if not isinstance(content, Mapping) or set(content) != set(names):
        raise BooksError(f"not a summary of {' and '.join(names)}: {content!r:.200}")
    return Totals((name, total(content[name])) for name in names)
