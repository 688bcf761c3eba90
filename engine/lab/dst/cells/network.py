"""Ways between cells, store and processors: each direction by itself can be cut, slow, or carry something twice."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from engine.lab.dst.scheduler import Scheduler

STORE = "store"
WAY_MS = (0, 3)  # usual
SLOW_MS = (50, 900)
LATE_MS = (1500, 9000)  # after whoever waited for it has given it up
PPM = 1_000_000


class Network:
    """Everything that is sent from one place to another.

    Parameters:
      slow_ppm, late_ppm, twice_ppm, lost_ppm: of what is carried to and from the store while there is trouble.
    """

    def __init__(
        self, scheduler: Scheduler, chance: Random, slow_ppm: int, late_ppm: int, twice_ppm: int, lost_ppm: int
    ) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self._ppm = {"slow": slow_ppm, "late": late_ppm, "twice": twice_ppm, "lost": lost_ppm}
        self._cut: set[tuple[str, str]] = set()
        self.is_calm = False

    def cut(self, here: str, there: str) -> None:
        """From now on nothing arrives that is sent from ``here`` to ``there``."""
        self._cut.add((here, there))

    def mend(self, here: str, there: str) -> None:
        """Ends a cut."""
        self._cut.discard((here, there))

    def calm(self) -> None:
        """From now on everything arrives once and soon."""
        self._cut.clear()
        self.is_calm = True

    def is_cut(self, here: str, there: str) -> bool:
        """Whether this direction is cut now."""
        return (here, there) in self._cut

    def carry(self, here: str, there: str, arrive: Callable[..., object], *what: Any) -> None:
        """Sends something; ``arrive(*what)`` is done when it is there: never, once, or twice."""
        if self.is_cut(here, there):
            return
        is_fickle = not self.is_calm and STORE in (here, there)
        if is_fickle and self._happens("lost"):
            return
        self._scheduler.after(self._way_ms(is_fickle), arrive, *what)
        if is_fickle and self._happens("twice"):
            self._scheduler.after(self._chance.choice((1, self._chance.randint(*LATE_MS))), arrive, *what)

    def _way_ms(self, is_fickle: bool) -> int:
        if is_fickle and self._happens("late"):
            return self._chance.randint(*LATE_MS)
        if is_fickle and self._happens("slow"):
            return self._chance.randint(*SLOW_MS)
        return self._chance.randint(*WAY_MS)

    def _happens(self, what: str) -> bool:
        return self._chance.randrange(PPM) < self._ppm[what]
