"""The modelled processors of a replay in numbers: what the world obeys and the oracle is bound by."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

HANDLED_MAX = 800
WAITING_MAX = 500


@dataclass(frozen=True, slots=True)
class Model:
    """What a processor is like, whatever the stage. Both are alike.

    A request's way: ``transit_us`` to the processor; turned away with 429 when ``handled_max`` are handled and
    ``waiting_max`` wait; its turn; ``service_us`` of the processor's single thread, one request after the other; the
    stage's delay as it was when that began; failed or inserted (settled) at that moment; ``transit_us`` back.
    It is one of ``handled_max`` from its turn until the delay is over.

    Parameters:
      handled_max, waiting_max: requests, as the contest's processor has them; see
        :class:`engine.lab.simulate.behaviour.ProcessorSettings`.
      service_us: µs of the processor's thread for a request. 0: any number at once.
      transit_us: µs from the engine to the processor, and as much back.
      health_window_ms: ms between two health queries that are answered.

    Raises ValueError when there is no room for a request, or a number is negative.
    """

    handled_max: int = HANDLED_MAX
    waiting_max: int = WAITING_MAX
    service_us: int = 100
    transit_us: int = 300
    health_window_ms: int = 5_000

    def __post_init__(self) -> None:
        if self.handled_max < 1:
            raise ValueError(f"handled_max must be at least 1, not {self.handled_max}")
        negative = [
            name for name in ("waiting_max", "service_us", "transit_us", "health_window_ms") if getattr(self, name) < 0
        ]
        if negative:
            raise ValueError(f"{', '.join(negative)} must not be negative")


@dataclass(frozen=True)
class Spread:
    """Times that differ from case to case: some of their quantiles, with straight lines between them.

    Parameters:
      quantiles: (share of the cases, µs that these do not exceed); the shares rise from 0 to 1, the µs do not fall.

    Raises ValueError when they are not so.
    """

    quantiles: tuple[tuple[float, int], ...]

    def __post_init__(self) -> None:
        shares, times_us = zip(*self.quantiles, strict=True)
        if (shares[0], shares[-1]) != (0, 1) or any(a >= b for a, b in pairwise(shares)):
            raise ValueError(f"shares must rise from 0 to 1, not {shares}")
        if list(times_us) != sorted(times_us):
            raise ValueError(f"times must not fall: {times_us}")

    def at(self, share: float) -> int:
        """The µs that so large a share of the cases does not exceed; ``share`` is from 0 to 1."""
        quantiles = self.quantiles
        index = min(bisect_right(quantiles, share, key=lambda pair: pair[0]), len(quantiles) - 1)
        (from_share, from_us), (to_share, to_us) = quantiles[index - 1 : index + 1]
        return round(from_us + (to_us - from_us) * (share - from_share) / (to_share - from_share))

    @classmethod
    def always(cls, time_us: int) -> Spread:
        """The same µs in every case."""
        return cls(((0.0, time_us), (1.0, time_us)))


def share_of(*names: object) -> float:
    """A share from 0 to below 1 that belongs to ``names``: always the same for them, and without any order for others.

    With it a :class:`Spread` is gone through without drawing numbers.
    """
    digest = hashlib.blake2b("\n".join(map(str, names)).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)
