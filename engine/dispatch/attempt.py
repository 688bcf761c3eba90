"""What the dispatcher hands to the network, and the moment at which it decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Now(NamedTuple):
    """A moment. ``mono_ms`` is the engine's clock (:mod:`engine.memory.clock`): it never goes back, and waits and ages
    use it. ``wall_ms`` is UTC: people, processors and books use it.
    """

    mono_ms: int
    wall_ms: int


@dataclass(slots=True)
class Attempt:
    """One request to send: a payment, or with ``lookup`` the lookup of a payment.

    ``tries``: earlier requests with the same body whose outcome is unknown. ``is_beside``: a lookup beside a request
    that is under way; its answer counts only if it finds the payment. ``is_delayed``: a request of a payment with a
    back-off of its own. Moments of the engine's clock: ``began_ms``, when it began, ``accepted_ms``, when its payment
    was accepted, ``ask_ms``, when its next lookup is due.

    Only where there is a journal: ``recorded``: the low half of 1 + the sequence of the record of its sending, 0 for
    none. Only where there is a journal or metrics: ``status`` (of its answer, or STATUS_NO_ANSWER plus libcurl's error)
    and ``took_us``: set by the transport at its end.
    """

    ticket: int
    ring: int
    position: int
    processor: int
    id_high: int
    id_low: int
    cents: int
    requested_ms: int
    attempts: int
    lookup: bool
    tries: int
    is_beside: bool = False
    began_ms: int = 0
    accepted_ms: int = 0
    ask_ms: int = 0
    is_delayed: bool = False
    recorded: int = 0
    status: int = field(init=False, repr=False, compare=False)
    took_us: int = field(init=False, repr=False, compare=False)

    @property
    def key(self) -> int:
        """The correlationId as a number, by which its payment is found, wherever it is kept."""
        return self.id_high << 64 | self.id_low
