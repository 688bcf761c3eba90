"""Totals of settled payments, as the engine and the processors state them. Pure: parsed JSON in, integers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

PROCESSORS = ("default", "fallback")


class BooksError(Exception):
    """An answer does not have the form of a summary."""


@dataclass(frozen=True)
class Total:
    """Number and sum of the payments at one processor."""

    count: int
    cents: int


NOTHING = Total(count=0, cents=0)


@dataclass(frozen=True)
class Totals:
    """The payments at both processors."""

    default: Total
    fallback: Total

    @property
    def count(self) -> int:
        """Payments at both together."""
        return self.default.count + self.fallback.count

    @property
    def cents(self) -> int:
        """Their amounts together, in cents."""
        return self.default.cents + self.fallback.cents


def total(content: Any) -> Total:
    """The total in a summary of one processor; ``content`` is its JSON with numbers as int and Decimal.

    Raises BooksError.
    """
    try:
        count, amount = content["totalRequests"], content["totalAmount"]
        cents = (Decimal(amount) * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    except (KeyError, TypeError, ArithmeticError, ValueError):
        raise BooksError(f"not a summary: {content!r:.200}") from None
    if not isinstance(count, int) or count < 0 or cents < 0:
        raise BooksError(f"not a summary: {content!r:.200}")
    return Total(count=count, cents=int(cents))


def engine_totals(content: Any) -> Totals:
    """The totals in the engine's ``/payments-summary``. Raises BooksError."""
    if not isinstance(content, Mapping) or set(content) != set(PROCESSORS):
        raise BooksError(f"not a summary of both processors: {content!r:.200}")
    return Totals(default=total(content["default"]), fallback=total(content["fallback"]))
