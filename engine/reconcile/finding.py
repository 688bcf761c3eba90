"""What a comparison can find, and how a payment of ours is held against what the processor has stored. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.connectors.answers import Outcome, Verdict
from engine.reconcile.asks import Charged
from engine.reconcile.span import Difference, Span

PROCESSOR: Final = "processor"  # the ledger was held against the processor
BOOKS: Final = "books"  # the ledger was held against the books

EXPECTED: Final = "expected"  # payments whose end is not known may be the difference
MISSING_THERE: Final = "missing there"
MISSING_HERE: Final = "missing here"
AMOUNT_DIFFERS: Final = "amount differs"
TIME_DIFFERS: Final = "time differs"
NEITHER_HALF: Final = "neither half differs"
BY_ITSELF: Final = "resolved by itself"
BY_A_PERSON: Final = "resolved by a person"
OPEN: Final = (MISSING_THERE, MISSING_HERE, AMOUNT_DIFFERS, TIME_DIFFERS, NEITHER_HALF)


class Finding(NamedTuple):
    """A difference between the ledger and ``against``, at a processor, under times of a span.

    Parameters:
      difference: what they have, less what we have.
      id: of the payment, where it is known.
      there_ms: the time under which they have it, where it is known.
      evidence: why this is believed, in words.
      own_cents: our amount of the payment ``id``; 0 if we have none.
    """

    state: str
    against: str
    processor: int
    span: Span
    difference: Difference
    id: bytes | None = None
    there_ms: int | None = None
    evidence: str = ""
    own_cents: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same as one that was found before."""
        place = self.span if self.id is None else self.id
        return self.against, self.processor, place

    def effects(self) -> Iterator[tuple[Span, Difference]]:
        """What it does to the differences of spans: two things where the time differs."""
        if self.state == TIME_DIFFERS and self.there_ms is not None:
            yield self.span, Difference(-1, -self.own_cents)
            yield Span(self.there_ms, self.there_ms), Difference(1, self.own_cents + self.difference.cents)
        else:
            yield self.span, self.difference


def state_of(difference: Difference) -> str:
    """What a difference of a span is called."""
    if difference.payments:
        return MISSING_THERE if difference.payments < 0 else MISSING_HERE
    return AMOUNT_DIFFERS


def held(processor: int, own: Charged, outcome: Outcome) -> Finding | None:
    """What is wrong with a payment of ours, by its lookup; None: nothing, or the lookup gave no answer."""
    span = Span(own.requested_ms, own.requested_ms)
    if outcome.verdict is Verdict.ABSENT:
        return Finding(
            MISSING_THERE, PROCESSOR, processor, span, Difference(-1, -own.cents), own.id,
            evidence="the processor does not find its id", own_cents=own.cents,
        )  # fmt: skip
    if outcome.verdict is not Verdict.FOUND or (outcome.requested_ms, outcome.cents) == own[1:]:
        return None
    is_moved = outcome.requested_ms != own.requested_ms
    return Finding(
        TIME_DIFFERS if is_moved else AMOUNT_DIFFERS, PROCESSOR, processor, span,
        Difference(0, outcome.cents - own.cents), own.id, outcome.requested_ms,
        "the processor has it under another time" if is_moved else "the processor has it with another amount",
        own.cents,
    )  # fmt: skip


def stranger(processor: int, identity: bytes, outcome: Outcome) -> Finding | None:
    """A payment that the processor has, and that we do not have as charged there; None: it has none."""
    if outcome.verdict is not Verdict.FOUND:
        return None
    return Finding(
        MISSING_HERE, PROCESSOR, processor, Span(outcome.requested_ms, outcome.requested_ms),
        Difference(1, outcome.cents), identity, outcome.requested_ms, "the processor finds its id",
    )  # fmt: skip
