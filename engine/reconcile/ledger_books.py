"""The books held against the ledger, which is carried from them a moment later. Pure.

Both are here, so nothing is saved: a window that differs is compared second by second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.reconcile.again import Again, Case
from engine.reconcile.asks import Asks, Pause, books
from engine.reconcile.check import WINDOW_MS
from engine.reconcile.finding import BOOKS, Finding, state_of
from engine.reconcile.span import Difference, Span

LATE_SECONDS: Final = 1.0  # between two looks at what differs
LOOKS: Final = 5
FOUND_MAX: Final = 100  # seconds that are reported; what is behind them is found once they are over


def check(span: Span, processors: int, before: Sequence[Case]) -> Asks[tuple[list[Again], list[Finding]]]:
    """What is left of the exceptions ``before``, and what is found in ``span`` beside them."""
    again, found = list[Again](), list[Finding]()
    for case in before:
        difference = yield from _difference(case.last.processor, case.last.span)
        if difference is not None:
            now = case.last._replace(state=state_of(difference), difference=difference)
            again.append(Again(case, now if difference else None))
    known = {(case.last.processor, case.last.span) for case in before}
    for window in span.windows(WINDOW_MS):
        for processor in range(processors):
            difference = yield from _difference(processor, window)
            if difference:
                found += yield from _seconds(processor, window, known)
    return again, found[:FOUND_MAX]


def _seconds(processor: int, window: Span, known: set[tuple[int, Span]]) -> Asks[list[Finding]]:
    found = list[Finding]()
    for second in window.windows(1000):
        difference = yield from books(processor, second)
        if difference and (processor, second) not in known:
            why = "the books say otherwise than the ledger"
            found.append(Finding(state_of(difference), BOOKS, processor, second, difference, evidence=why))
    return found


def _difference(processor: int, span: Span) -> Asks[Difference | None]:
    """What differs, and still does after a while."""
    difference = yield from books(processor, span)
    for _ in range(LOOKS):
        if not difference:
            break
        yield Pause(LATE_SECONDS)
        difference = yield from books(processor, span)
    return difference
