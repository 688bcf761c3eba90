"""Which dead letters an operator means, and what an act on them would come to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.acts import rules
from engine.ledger.acts import ITEMS_MAX
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from engine.payment import Payment

UNKNOWN: Final = "unknown"
FAILED: Final = "failed"
# Short words for a table: of the reasons that a dead letter can have.
REASONS: Final = {
    layout.REASON_TOO_OLD: "too old",
    layout.REASON_REFUSED: "refused",
    layout.REASON_CONTRADICTION: "contradiction",
    layout.REASON_NO_LOOKUP: "no lookup",
    layout.REASON_CLOCK: "clock was set",
    layout.REASON_ERROR: "internal error",
    layout.REASON_UNKNOWN: "unknown long",
}


class Selection(NamedTuple):
    """What an operator has chosen by; None, or nothing, chooses all.

    ``state``: UNKNOWN or FAILED; ``processor``: a number; ``reason``: of the payment; ``before_ms``: a dead letter
    since before that time; ``cents``: least and most; ``ids``: (high, low) of payments.
    """

    state: str | None = None
    processor: int | None = None
    reason: int | None = None
    before_ms: int | None = None
    cents: tuple[int, int] | None = None
    ids: frozenset[tuple[int, int]] = frozenset()

    def has(self, one: Payment) -> bool:
        """Whether it chooses this payment."""
        if self.state is not None and (one.state == layout.FAILED) != (self.state == FAILED):
            return False
        if self.processor is not None and one.processor != self.processor:
            return False
        if self.reason is not None and one.reason != self.reason:
            return False
        if self.before_ms is not None and one.settled_ms >= self.before_ms:
            return False
        if self.cents is not None and not self.cents[0] <= one.cents <= self.cents[1]:
            return False
        return not self.ids or (one.id_high, one.id_low) in self.ids


class Plan(NamedTuple):
    """What an act would come to: the payments that it would be done for, the ids that are not found, and those for
    which it would not be done, with the reason. ``is_cut``: more than ITEMS_MAX would have been chosen.
    """

    act: Act
    eligible: tuple[Payment, ...]
    refused: tuple[tuple[Payment, Result], ...]
    missing: tuple[tuple[int, int], ...]
    is_cut: bool

    @property
    def cents(self) -> int:
        """Of the payments that it would be done for."""
        return sum(one.cents for one in self.eligible)

    def reasons(self) -> Counter[Result]:
        """How many it would not be done for, by reason."""
        found = Counter(result for _, result in self.refused)
        if self.missing:
            found[Result.NOT_FOUND] += len(self.missing)
        return found


def dead_letters(payments: Iterable[Payment], selection: Selection) -> list[Payment]:
    """The chosen dead letters among parked payments, the oldest first."""
    found = [one for one in payments if rules.is_dead_letter(one) and selection.has(one)]
    return sorted(found, key=lambda one: (one.settled_ms, one.id_high, one.id_low))


def plan(act: Act, payments: Iterable[Payment], selection: Selection, now_ms: int) -> Plan:
    """What ``act`` would come to now (ms since 1970 UTC).

    Named payments are looked at in whatever state they are; without names, dead letters are chosen.
    """
    known = list(payments)
    chosen = [one for one in known if selection.has(one)] if selection.ids else dead_letters(known, selection)
    decided = [(one, rules.decide(act, one, now_ms)) for one in chosen]
    eligible = [one for one, result in decided if result is Result.DONE]
    found = {(one.id_high, one.id_low) for one in known}
    return Plan(
        act,
        tuple(eligible[:ITEMS_MAX]),
        tuple((one, result) for one, result in decided if result is not Result.DONE),
        tuple(sorted(selection.ids - found)),
        len(eligible) > ITEMS_MAX,
    )
