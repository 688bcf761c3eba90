"""What was found before is asked for again: it may be gone, or be something else by now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.connectors.answers import Verdict
from engine.reconcile.asks import Asks, UnansweredError, compare, look, own_one, unsettled
from engine.reconcile.finding import EXPECTED, NEITHER_HALF, Finding, held, state_of, stranger
from engine.reconcile.span import Known, explained


class Case(NamedTuple):
    """An exception: its number, how many versions it has, and what the last one says."""

    number: int
    version: int
    last: Finding


class Again(NamedTuple):
    """What is found of an exception now; None: nothing differs any more."""

    case: Case
    now: Finding | None


def ask_again(processor: int, cases: Sequence[Case], known: Known) -> Asks[list[Again]]:
    """What is left of the exceptions at a processor; it is ``known`` then. Raises UnansweredError."""
    answers = list[Again]()
    for case in sorted(cases, key=lambda one: (one.last.id is None, one.number)):  # those with ids first
        if case.last.id is None:
            now = yield from _sum_again(processor, case.last, known)
        else:
            now = yield from _payment_again(processor, case.last.id)
        answers.append(Again(case, now))
        if now is not None:
            for span, difference in now.effects():
                known.add(processor, span, difference)
    return answers


def _payment_again(processor: int, identity: bytes) -> Asks[Finding | None]:
    own = yield from own_one(processor, identity)
    outcome = yield from look(processor, identity)
    if outcome.verdict not in (Verdict.FOUND, Verdict.ABSENT):
        raise UnansweredError("it gives no answer to a lookup of an exception")
    return stranger(processor, identity, outcome) if own is None else held(processor, own, outcome)


def _sum_again(processor: int, last: Finding, known: Known) -> Asks[Finding | None]:
    difference = yield from compare(processor, last.span)
    difference = difference.less(known.within(processor, last.span))
    if not difference:
        return None
    if last.state == NEITHER_HALF:
        return last._replace(difference=difference)
    maybes = yield from unsettled(processor, last.span)
    state = EXPECTED if explained(difference, last.span, maybes) else state_of(difference)
    return last._replace(state=state, difference=difference)
