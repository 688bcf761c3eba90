"""A payment that a cell holds, from its acceptance to its outcome. Pure.

=========  =============================================  ===========================================================
stage      what is known                                  what may happen
=========  =============================================  ===========================================================
FREE       certainly charged nowhere                      it is pinned, or given up
PINNING    a pin is said to the store                     nothing is sent before the store has it
PINNED     the store has the pin                          it is sent and looked up at the pin's processor only
ENDING     its outcome is known, and said to the store    nothing else
=========  =============================================  ===========================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from engine.cluster.pins import Pinned
from engine.cluster.values import Kept, Pin


class Stage(IntEnum):
    """See the module."""

    FREE = 0
    PINNING = 1
    PINNED = 2
    ENDING = 3


@dataclass(slots=True)
class Held:
    """One payment.

    ``since_ms``: the engine's clock when this life of the cell took it. ``pins``: the number of its newest pin, in the
    store or said to it. ``pin``: the newest one. ``is_dead``: a dead letter, which is asked for now and then and waits
    for a person.
    """

    id: bytes
    cents: int
    accepted_ms: int
    since_ms: int
    stage: Stage = Stage.FREE
    pins: int = 0
    pin: Pinned | None = None
    is_dead: bool = False

    @classmethod
    def taken(cls, kept: Kept, now_ms: int) -> Held:
        """A payment that the store hands over. Whoever made its pin, it was not this life of the cell."""
        one = cls(kept.id, kept.cents, kept.accepted_ms, now_ms, pins=kept.pins)
        if kept.pin is not None:
            one.stage = Stage.PINNED
            one.pin = Pinned(kept.pin.number, kept.pin.processor, kept.pin.requested_ms, is_adopted=True)
        return one

    def pinned(self, processor: int, requested_ms: int) -> Pin:
        """Pins it anew; returns what is said to the store."""
        assert self.stage is Stage.FREE and (self.pin is None or self.pin.may_move)
        self.stage = Stage.PINNING
        self.pins += 1
        self.pin = Pinned(self.pins, processor, requested_ms, is_adopted=False)
        return Pin(self.id, self.pins, processor, requested_ms)
