"""What audits see: payments that are in a processor's books or in the engine's, and not in both."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from engine.lab.contest.scenario import Scenario
from engine.lab.replay.model import share_of
from engine.lab.replay.pace import Pace
from engine.processors import CONTEST_NAMES

UNHEARD_US = 100_000  # more than lies between any two readings of an audit, or between an insertion and our books


class Inserted(NamedTuple):
    """A payment that was sent and whose outcome is not known yet: its processor has it from ``inserted_us`` on; None:
    never, as far as is known.
    """

    payment: int
    processor: int
    requested_us: int
    inserted_us: int | None


class _Booked(NamedTuple):
    """A payment that an audit may see in one of the books only: it was settled just now, and took long.

    ``booked_us``: when it is in ours, by the pace.
    """

    processor: int
    requested_us: int
    inserted_us: int
    booked_us: int


class Audits:
    """Keeps what an audit of ``scenario`` may see."""

    def __init__(self, scenario: Scenario, pace: Pace) -> None:
        self._name = scenario.name
        self._looks_from_us = round(scenario.audit.from_s * 1_000_000)
        self._looks_back_us = round(scenario.audit.to_s * 1_000_000)
        self._pace = pace
        self._late: list[tuple[int, int, int]] = []  # settled in this pass: (processor, requested µs, inserted µs)
        self._booked: deque[_Booked] = deque()  # lately

    def settled(self, now_us: int, processor: int, requested_us: int, inserted_us: int) -> None:
        """A payment is settled in this pass; only one that took long can be seen."""
        if now_us - requested_us > self._looks_back_us - UNHEARD_US:
            self._late.append((processor, requested_us, inserted_us))

    def resolved(self, processor: int, requested_us: int, inserted_us: int) -> None:
        """A payment is settled in this pass whose outcome was unknown."""
        self._late.append((processor, requested_us, inserted_us))

    def book(self, now_us: int, ended: int) -> None:
        """What was settled in this pass is in the books at the pass's end, for it is one transaction; ``ended``: how
        many attempts ended in it.
        """
        if not self._late:
            return
        booked, pace = self._booked, self._pace
        booked_us = now_us + pace.pass_us + ended * pace.end_us
        booked.extend(_Booked(*late, booked_us) for late in self._late)
        self._late.clear()
        while booked[0].booked_us < now_us - UNHEARD_US:
            booked.popleft()

    def missed(self, at_us: int, held_us: int, unheard: Iterable[Inserted]) -> int:
        """How many payments an audit at ``at_us`` finds in a processor's books or in the engine's, and not in both.

        It is ``held_us`` later now, when the engine's books are read; a processor's books are read a little later or
        earlier than at_us.
        """
        pace = self._pace
        from_us, to_us = at_us - self._looks_from_us, at_us - self._looks_back_us
        names = (self._name, at_us)
        booked_by_us = at_us + held_us - pace.booked_later.at(share_of(*names))
        counted_us = [at_us + pace.asked_later.at(share_of(*names, number)) for number in range(len(CONTEST_NAMES))]
        missed = {
            one.payment
            for one in unheard
            if one.inserted_us is not None
            and one.inserted_us <= counted_us[one.processor]
            and from_us <= one.requested_us <= to_us
        }
        booked = sum(
            (one.inserted_us <= counted_us[one.processor]) != (one.booked_us <= booked_by_us)
            for one in self._booked
            if from_us <= one.requested_us <= to_us
        )
        return len(missed) + booked
