"""What the dispatcher hands to the network, and the moment in which it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Now(NamedTuple):
    """A moment: ``mono_ms`` is the engine's clock (:mod:`engine.memory.clock`), never goes back and is for waiting and
    for ages; ``wall_ms`` is UTC and is for people, processors and books.
    """

    mono_ms: int
    wall_ms: int


@dataclass(slots=True)
class Attempt:
    """One request to send: a payment, or with ``lookup`` a query for what its processor has stored of it.

    ``tries``: requests with this very body before it of which nobody knows how they ended. ``is_beside``: it is asked
    beside a payment that is under way, and its answer counts only if it finds the payment. ``is_delayed``: a request of
    a payment with a back-off of its own. On the engine's clock are ``began_ms`` and ``ask_ms``, when the next lookup
    of it is due.
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
    ask_ms: int = 0
    is_delayed: bool = False

    @property
    def key(self) -> int:
        """The correlationId as a number: what its payment is found by, wherever it is kept."""
        return self.id_high << 64 | self.id_low
