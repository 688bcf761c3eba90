"""The modelled processors of a replay in numbers: what the world obeys and the oracle is bound by."""

from __future__ import annotations

from dataclasses import dataclass

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
        :class:`engine.simulate.behaviour.ProcessorSettings`.
      service_us: µs of the processor's thread for a request. 0: any number at once.
      transit_us: µs from the engine to the processor, and as much back.
      health_window_ms: ms between two health questions that are answered.

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
