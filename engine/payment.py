"""A payment as every package of the product sees it."""

from __future__ import annotations

from typing import NamedTuple

from engine.memory import layout


class Payment(NamedTuple):
    """A payment at one moment, as a slot or a parking place has it.

    ``settled_ms`` and ``reason`` are valid if the payment is done, or a dead letter. ``origin``: its word SLOT_ORIGIN.
    ``first_ms``: the earliest requestedAt of its attempts, or with REASON_AMOUNT the cents that its processor has.
    ``is_parked``: it holds a parking place, and no slot.
    """

    position: int
    id_high: int
    id_low: int
    cents: int
    accepted_ms: int
    state: int
    processor: int
    attempts: int
    requested_ms: int
    settled_ms: int
    reason: int = layout.REASON_NONE
    origin: int = 0
    first_ms: int = 0
    is_parked: bool = False

    @property
    def clock_ms(self) -> int:
        """The engine's clock when it was accepted."""
        return self.origin & layout.ORIGIN_CLOCK_MASK

    @property
    def is_seen(self) -> bool:
        """Whether its id may have been here before."""
        return bool(self.origin & layout.ORIGIN_SEEN)
