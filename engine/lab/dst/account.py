"""The truth of one payment: what its customer, the processors and the dispatcher know of it, and what may become of it
by that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.connectors.answers import Verdict
from engine.dispatch.attempt import Attempt
from engine.dispatch.life import CONTRADICTIONS_MAX, LOOKUPS_MAX
from engine.lab.dst.plan import PLAIN, PROCESSORS, Oddity, Plan
from engine.memory import layout
from engine.memory.acts_layout import Act
from engine.memory.layout import PROCESSING, QUEUED
from engine.payment import Payment

NOT_CHARGED = -1


def _zeros() -> list[int]:
    return [0 for _ in PROCESSORS]


@dataclass(slots=True)
class Account:
    """One payment. Several may have the same id: each is one life of that id, and has cents of its own.

    ``ring``, ``position``: where it was accepted, -1 before; ``accepted_ms``: when, by the engine's clock; ``is_seen``:
    the engine was told that the id may have been there before; ``promised``: a customer had a 202 for it;
    ``forgotten``: purged; ``is_left_out``: it was done, and memory of other sizes had no room for it; ``is_misled``: a
    processor has said that it does not have the id although it had.

    For each processor: ``charged_ms`` is requestedAt of its charge, NOT_CHARGED; ``charged_cents`` what was charged;
    ``requested_ms`` of the last request there; ``unsure``: requests of which the dispatcher does not know how they
    ended; ``refusals``, ``counted``, ``charged_then``: see :func:`engine.dispatch.life.is_refused_for_good`;
    ``absent``, ``silent``: lookups that were answered so after "already there".
    Bit p is for processor p: ``told``, it has told the dispatcher that it has charged; ``already``, it has told
    "already there"; ``doubted``, it did so after an earlier request had ended unknown.
    """

    number: int
    id_high: int
    id_low: int
    cents: int
    odd: Oddity = PLAIN
    ring: int = -1
    position: int = -1
    accepted_ms: int = 0
    is_seen: bool = False
    promised: bool = False
    forgotten: bool = False
    is_left_out: bool = False
    is_misled: bool = False
    told: int = 0
    already: int = 0
    doubted: int = 0
    requests: int = 0
    lookups: int = 0
    charged_ms: list[int] = field(default_factory=lambda: [NOT_CHARGED for _ in PROCESSORS])
    charged_cents: list[int] = field(default_factory=_zeros)
    requested_ms: list[int] = field(default_factory=_zeros)
    unsure: list[int] = field(default_factory=_zeros)
    refusals: list[int] = field(default_factory=_zeros)
    counted: list[int] = field(default_factory=_zeros)
    charged_then: list[int] = field(default_factory=_zeros)
    absent: list[int] = field(default_factory=_zeros)
    silent: list[int] = field(default_factory=_zeros)
    final: Payment | None = None  # what it was seen to have ended as
    retries: int = 0  # how often it was seen to be open again because of that
    acts: list[tuple[Act, int]] = field(default_factory=list)  # what operators have asked for it, and when

    @property
    def key(self) -> tuple[int, int]:
        """Its id."""
        return self.id_high, self.id_low

    @property
    def bits(self) -> int:
        """Every amount that the books may have of it."""
        return self.cents | self.odd.altered_cents

    @property
    def charged_at(self) -> list[int]:
        """The processors that have charged it."""
        return [processor for processor in PROCESSORS if self.charged_ms[processor] != NOT_CHARGED]

    # --- what the dispatcher is told -------------------------------------------------------------------------------

    def sent(self, attempt: Attempt) -> None:
        """A request or a lookup leaves."""
        if attempt.lookup:
            self.lookups += 1
            return
        self.requests += 1
        self.unsure[attempt.processor] += 1
        self.requested_ms[attempt.processor] = attempt.requested_ms

    def heard(self, attempt: Attempt, verdict: Verdict, charged: int) -> None:
        """The dispatcher learns of an end; the books have ``charged`` payments of that processor just now."""
        processor = attempt.processor
        if attempt.lookup:
            if self.already >> processor & 1 and not attempt.is_beside:
                self.absent[processor] += verdict is Verdict.ABSENT
                self.silent[processor] += verdict not in (Verdict.ABSENT, Verdict.FOUND)
            return
        if verdict is Verdict.UNKNOWN:
            return
        self.unsure[processor] -= 1
        if verdict is Verdict.ALREADY:
            self.already |= 1 << processor
            self.doubted |= (self.unsure[processor] > 0) << processor
        elif verdict is Verdict.REFUSED and not self.unsure[processor]:
            self.refusals[processor] += 1
            is_counted = self.refusals[processor] == 1 or charged > self.charged_then[processor]
            self.counted[processor] += is_counted
            self.charged_then[processor] = charged

    # --- what may become of it ---------------------------------------------------------------------------------------

    def is_refused(self, refusals_max: int) -> bool:
        """Whether it may be given up because both processors refuse it."""
        return min(self.refusals) >= refusals_max and max(self.counted) >= refusals_max

    def is_asked(self, act: Act) -> bool:
        """Whether an operator has asked for this."""
        return any(one is act for one, _ in self.acts)

    def is_unconfirmed(self, processor: int) -> bool:
        """Whether it may be taken for charged at ``processor`` without a lookup that shows it."""
        return bool((self.already & self.doubted) >> processor & 1) and self.silent[processor] >= LOOKUPS_MAX

    def may_be_dead(self, held: Payment, *, is_set_back: bool, has_other: bool) -> bool:
        """Whether it may be a dead letter for the reason that ``held`` has; ``has_other``: its processor has another
        payment with its id; ``is_set_back``: the wall clock was set back.
        """
        processor = held.processor
        if held.reason == layout.REASON_CONTRADICTION:
            return bool(self.already >> processor & 1) and self.absent[processor] >= CONTRADICTIONS_MAX
        if held.reason == layout.REASON_NO_LOOKUP:
            return bool(self.already >> processor & 1) and self.silent[processor] >= LOOKUPS_MAX
        if held.reason == layout.REASON_CLOCK:
            return is_set_back and has_other
        return held.reason == layout.REASON_ERROR and self.odd.cursed

    def may_last(self, held: Payment, plan: Plan, *, has_other: bool, has_place: bool) -> bool:
        """Whether it may stay open for ever although everything else has healed.

        ``has_place``: the parking table has room for it. A dead letter without a place keeps its slot, which has no
        word for the reason.
        """
        processor, odd = held.processor, self.odd
        if held.state == layout.ALREADY and not held.is_parked and not has_place:
            return odd.is_phantom(processor) or has_other or odd.cursed
        if held.is_parked and held.reason != layout.REASON_NONE:
            if held.reason == layout.REASON_CONTRADICTION:
                return odd.is_phantom(processor)
            if held.reason == layout.REASON_NO_LOOKUP:
                return plan.mute[processor] and (odd.is_phantom(processor) or has_other)
            if held.reason == layout.REASON_CLOCK:
                return has_other
            return not plan.is_curse_lifted or plan.mute[processor] or not self.charged_at
        if held.state == PROCESSING and odd.refused_with[processor] and self.unsure[processor]:
            return True  # charged or not: the processor refuses every request and never says which
        is_refused = all(odd.refused_with)
        is_unknown = self.is_seen and any(plan.mute)
        return (is_refused or is_unknown) and held.state in (QUEUED, PROCESSING)


@dataclass(slots=True)
class Record:
    """What a processor has stored under an id, ``since_ms`` by the engine's clock; ``account`` is None for somebody
    else's payment.
    """

    id_high: int
    id_low: int
    requested_ms: int
    cents: int
    since_ms: int
    account: Account | None = None

    def is_of(self, attempt: Attempt) -> bool:
        """Whether it has the id of this attempt."""
        return (self.id_high, self.id_low) == (attempt.id_high, attempt.id_low)
