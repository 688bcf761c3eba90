"""One processor held against the ledger: what was found before, then window by window. Pure.

Payments whose end is not known are looked up first. With ``is_deep`` every payment of ours is looked up too. Then the
sums of the window are compared without what is known by now; where they differ, the window is halved, and payments at
the millisecond are looked up. What is left without an id and may be a payment whose end is not known is expected.

Nothing is reported that is gone when it is asked for again after CONFIRM_SECONDS.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Final

from engine.connectors.answers import Outcome, Verdict
from engine.reconcile.asks import (
    Asks,
    Charged,
    Pause,
    UnansweredError,
    compare,
    look,
    own,
    own_one,
    suspects,
    unsettled,
)
from engine.reconcile.finding import (
    EXPECTED,
    NEITHER_HALF,
    PROCESSOR,
    TIME_DIFFERS,
    Finding,
    held,
    state_of,
    stranger,
)
from engine.reconcile.locate import Budget, Spot, locate
from engine.reconcile.span import Difference, Known, Maybe, Span, explained

WINDOW_MS: Final = 600_000  # ten minutes: the longest that is compared at once
CONFIRM_SECONDS: Final = 3.0  # what is a moment late is there then
LOOKED_UP_MAX: Final = 1000  # payments whose end is not known, of a window
UNCLEAR_MAX: Final = 20  # payments without a clear lookup: with more, the processor cannot be asked
NAMED_MAX: Final = 200  # payments of ours in a millisecond, and suspects, that are looked up for their ids


class Check:
    """Processor ``processor``; ``known``: its differences that are known, which grow."""

    def __init__(self, processor: int, known: Known, budget: Budget) -> None:
        self._processor = processor
        self._ids = set[bytes]()
        self._known = known
        self._budget = budget
        self.found: list[Finding] = []  # also what was found before an answer was missing
        self.unclear: list[tuple[bytes, str]] = []  # payments of which no lookup says anything, and why
        self.windows = 0

    def differs(self, ids: Collection[bytes]) -> None:
        """These payments are known to differ: nobody looks them up once more."""
        self._ids.update(ids)

    def run(self, span: Span, is_deep: bool) -> Asks[None]:
        """Holds all windows of ``span`` against the ledger. Raises UnansweredError."""
        for window in span.windows(WINDOW_MS):
            maybes = yield from unsettled(self._processor, window)
            found = yield from self._look_at(maybes)
            maybes = [one for one in maybes if one.id not in {there.id for there in found}]
            if is_deep:
                yield from self._deep(window)
            spots = yield from locate(window, partial(self._compare, found), self._budget)
            if spots:
                yield from self._confirm(spots, found, maybes)
            if self._budget.left <= 0:
                raise UnansweredError("there are more differences than one run can find: the next one goes on")
            self.windows += 1

    def _compare(self, found: Sequence[Charged], span: Span) -> Asks[Difference]:
        difference = yield from compare(self._processor, span, found)
        return difference.less(self._known.within(self._processor, span))

    def _look_at(self, maybes: Sequence[Maybe]) -> Asks[list[Charged]]:
        """Those of the payments whose end is not known that the processor has, as far as it answers."""
        there = list[Charged]()
        for one in maybes[:LOOKED_UP_MAX]:
            try:
                outcome = yield from look(self._processor, one.id)
            except UnansweredError:
                break  # what is not looked up is tolerated by number
            if outcome.verdict is Verdict.FOUND:
                there.append(Charged(one.id, outcome.requested_ms, outcome.cents))
        return there

    def _deep(self, window: Span) -> Asks[None]:
        doubtful = list[Charged]()
        page = yield from own(self._processor, window)
        while page:
            for one in page:
                if one.id not in self._ids:
                    outcome = yield from self._look_deep(one)
                    if outcome is not None and held(self._processor, one, outcome) is not None:
                        doubtful.append(one)
            page = yield from own(self._processor, window, page[-1])
        if doubtful:
            yield Pause(CONFIRM_SECONDS)
        for before in doubtful:
            yield from self._hold(before)

    def _look_deep(self, one: Charged) -> Asks[Outcome | None]:
        """What is stored for it; None when that is not clear: the others are looked up all the same."""
        try:
            return (yield from look(self._processor, one.id))
        except UnansweredError as error:
            if len(self.unclear) >= UNCLEAR_MAX:
                raise
            self.unclear.append((one.id, str(error)))
            return None

    def _hold(self, before: Charged) -> Asks[None]:
        """Looks a payment of ours up, as we have it now."""
        one = yield from own_one(self._processor, before.id)
        if one is None:
            return
        outcome = yield from look(self._processor, one.id)
        finding = held(self._processor, one, outcome)
        if finding is not None:
            self._add(finding)

    def _confirm(self, spots: Sequence[Spot], found: Sequence[Charged], maybes: Sequence[Maybe]) -> Asks[None]:
        """Asks again for what differs, and gives it names.

        What is missing there comes first, for it may have been moved; what is no sum comes last, without the others.
        """
        yield Pause(CONFIRM_SECONDS)
        for spot in sorted(spots, key=lambda one: (not one.is_sum, one.difference.payments > 0, one.span)):
            difference = yield from self._compare(found, spot.span)
            if difference and spot.is_sum:
                yield from self._name(spot.span, difference, maybes)
            elif difference:
                why = "it is not the sum of its halves"
                self._add(Finding(NEITHER_HALF, PROCESSOR, self._processor, spot.span, difference, evidence=why))

    def _name(self, span: Span, difference: Difference, maybes: Sequence[Maybe]) -> Asks[None]:
        """Finds the payments that are the difference of a millisecond."""
        before = len(self.found)
        for one in (yield from own(self._processor, span))[:NAMED_MAX]:
            if one.id not in self._ids:
                outcome = yield from look(self._processor, one.id)
                finding = held(self._processor, one, outcome)
                if finding is not None:
                    self._add(finding)
        rest = self._rest(span, difference, before)
        if rest.payments > 0:
            yield from self._find_strangers(span)
            rest = self._rest(span, difference, before)
        if rest:
            state = EXPECTED if explained(rest, span, maybes) else state_of(rest)
            why = "a payment whose end is not known may be it" if state == EXPECTED else "no id is known for it"
            self._add(Finding(state, PROCESSOR, self._processor, span, rest, evidence=why))

    def _find_strangers(self, span: Span) -> Asks[None]:
        for identity in (yield from suspects(self._processor, span.from_ms))[:NAMED_MAX]:
            outcome = yield from look(self._processor, identity)
            finding = stranger(self._processor, identity, outcome)
            if finding is not None and finding.span == span and identity not in self._ids:
                self._add(finding)

    def _rest(self, span: Span, difference: Difference, before: int) -> Difference:
        """What is left of a difference without what was found since ``before``."""
        for finding in self.found[before:]:
            for place, part in finding.effects():
                if place == span:
                    difference = difference.less(part)
        return difference

    def _add(self, finding: Finding) -> None:
        self.found.append(finding)
        if finding.id is not None:
            self._ids.add(finding.id)
        for span, difference in finding.effects():
            self._known.add(self._processor, span, difference)


def joined(findings: Sequence[Finding]) -> list[Finding]:
    """Findings without those that are only the other end of a payment that was moved."""
    ends = Known()
    for one in findings:
        if one.state == TIME_DIFFERS:
            for span, difference in list(one.effects())[1:]:
                ends.add(one.processor, span, difference)
    kept = list[Finding]()
    for one in findings:
        if one.id is None and one.span.length_ms == 1:
            rest = one.difference.less(ends.within(one.processor, one.span))
            if not rest:
                continue
        kept.append(one)
    return kept
