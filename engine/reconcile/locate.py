"""Finding where two sides differ, by halving the window until it is one millisecond. Pure.

Of the halves the first one is asked for. What it does not explain must lie in the second one, which is asked for only
when it is one millisecond. So a single difference in ten minutes costs 22 comparisons: the window, 20 halves, and the
millisecond. If that does not differ, the window was not the sum of its halves, which is reported as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from engine.reconcile.asks import Asks
from engine.reconcile.span import Difference, Span

Compare = Callable[[Span], Asks[Difference]]


class Spot(NamedTuple):
    """Where two sides differ. ``is_sum``: it is the sum of its halves, or has none."""

    span: Span
    difference: Difference
    is_sum: bool = True


@dataclass
class Budget:
    """How many comparisons are left. With none, :func:`locate` ends early; what it has found by then is found."""

    left: int


class _Part(NamedTuple):
    """``difference``: asked for, or what is left of the span ``asked``, which was."""

    span: Span
    difference: Difference
    asked: Span

    @property
    def is_asked(self) -> bool:
        return self.asked == self.span


def locate(window: Span, compare: Compare, budget: Budget) -> Asks[list[Spot]]:
    """Where the two sides differ in ``window``, in the order of time; nothing if the window itself does not."""
    budget.left -= 1
    first = yield from compare(window)
    todo = [_Part(window, first, window)] if first else []
    spots = list[Spot]()
    while todo and budget.left > 0:
        part = todo.pop()
        if part.span.length_ms > 1:
            left, right = part.span.halves()
            budget.left -= 1
            seen = yield from compare(left)
            rest = part.difference.less(seen)
            if rest:
                todo.append(_Part(right, rest, part.asked))
            if seen:
                todo.append(_Part(left, seen, left))
        elif part.is_asked:
            spots.append(Spot(part.span, part.difference))
        else:
            budget.left -= 1
            seen = yield from compare(part.span)
            rest = part.difference.less(seen)
            if seen:
                spots.append(Spot(part.span, seen))
            if rest:
                spots.append(Spot(part.asked, rest, is_sum=False))
    return spots
