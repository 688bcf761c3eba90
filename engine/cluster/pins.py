"""Who may send a payment where: the rules of pins. Pure.

A *pin* binds a payment to one processor before the first request for it leaves. It is in the store with its number, and
with the requestedAt that every request of it carries, whichever cell sends it.

A pin may be replaced only by the cell that made it, in the epoch that made it, and only after a certain refusal of
every request that was sent for it. All other pins are *adopted*: those of another cell, those of an earlier epoch of
the same cell, and those that a dispatcher finds when it starts. Whoever made an adopted pin may stand still with a
request in its hands and send it much later, at that processor. The processor refuses an id that it has. Another
processor does not. So an adopted pin never moves, and no refusal that its new owner hears means that the payment was
not charged.

====================  =============================  =============================
end of a request      own, every request refused     adopted, or one not refused
====================  =============================  =============================
CHARGED               SETTLE                         SETTLE
ALREADY               LOOK_UP                        LOOK_UP
REJECTED, FAILED      FREE                           STAY
REFUSED               FREE                           STAY
UNKNOWN               (one is not refused)           STAY
====================  =============================  =============================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from engine.connectors.answers import Verdict

NOT_CHARGED = frozenset({Verdict.REJECTED, Verdict.FAILED, Verdict.REFUSED})


class Step(IntEnum):
    """What follows from the end of a request."""

    SETTLE = 0  # charged
    LOOK_UP = 1  # its processor has the id: what is stored there says whose it is
    FREE = 2  # certainly not charged anywhere: it may be pinned anew, or given up
    STAY = 3  # ask and send at this processor only


@dataclass(slots=True)
class Pinned:
    """A pin, as the cell knows it that holds the payment now.

    ``number`` counts the payment's pins from 1. ``requested_ms``: UTC, what every request of this pin carries.
    ``unrefused``: requests that were sent for it and were not certainly refused. One that has ended unknown stays
    counted for ever.
    """

    number: int
    processor: int
    requested_ms: int
    is_adopted: bool
    unrefused: int = 0

    @property
    def may_move(self) -> bool:
        """Whether the payment is certainly charged nowhere, and nobody can charge it any more."""
        return not self.is_adopted and self.unrefused == 0

    def sent(self) -> None:
        """A request leaves, or may have left."""
        self.unrefused += 1

    def ended(self, verdict: Verdict) -> Step:
        """A request of it has ended."""
        if verdict is Verdict.CHARGED:
            return Step.SETTLE
        if verdict is Verdict.ALREADY:
            return Step.LOOK_UP
        if verdict in NOT_CHARGED:
            assert self.unrefused > 0
            self.unrefused -= 1
        return Step.FREE if self.may_move else Step.STAY


def is_ours(pin: Pinned, record_ms: int) -> bool:
    """Whether a record that the pin's processor shows, with this requestedAt, was made by a request of this pin.

    Every earlier pin of the payment was replaced, so all its requests were refused: no record is one of theirs.
    """
    return record_ms == pin.requested_ms
