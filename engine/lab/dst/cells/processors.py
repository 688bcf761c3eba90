"""A processor as cells meet it: it charges an id once, refuses an id that it has, and may fail, hang or refuse."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from random import Random
from typing import NamedTuple

from engine.connectors import answers
from engine.connectors.answers import Outcome
from engine.lab.dst.scheduler import Scheduler

PROCESSORS = (0, 1)
ANSWER_MS = (1, 30)
INSERT_LATE_MS = (1000, 6000)  # when a charge comes after everybody has given up waiting

Answer = Callable[[Outcome], None]


class Treatment(IntEnum):
    """What becomes of a request."""

    SERVE = 0
    FAIL = 1  # 500: not charged
    REJECT = 2  # 429: not charged
    SILENCE = 3  # not charged, no answer
    SILENCE_AFTER_CHARGE = 4
    CHARGE_LATE = 5  # no answer, and the charge comes when nobody waits any more


_T = Treatment
MOODS: tuple[tuple[Treatment, ...], ...] = (
    (_T.SERVE,),
    (_T.SERVE,),
    (_T.FAIL,),
    (_T.SERVE, _T.FAIL),
    (_T.SERVE, _T.REJECT),
    (_T.SILENCE,),
    (_T.SERVE, _T.SILENCE_AFTER_CHARGE),
    (_T.SERVE, _T.FAIL, _T.CHARGE_LATE),
    (_T.FAIL, _T.SILENCE, _T.SILENCE_AFTER_CHARGE),
)


class Charge(NamedTuple):
    """What a processor has stored: ms since 1970, cents."""

    requested_ms: int
    cents: int


class Processor:
    """One of them.

    Parameters:
      charged: is told of each charge: (processor, id, charge).
      unwanted: ids that it refuses for ever, a person's 400.
    """

    def __init__(
        self,
        number: int,
        scheduler: Scheduler,
        chance: Random,
        charged: Callable[[int, bytes, Charge], None],
        unwanted: frozenset[bytes],
    ) -> None:
        self.number = number
        self.mood: tuple[Treatment, ...] = (Treatment.SERVE,)
        self.charges: dict[bytes, Charge] = {}
        self._scheduler = scheduler
        self._chance = chance
        self._charged = charged
        self._unwanted = unwanted

    def pay(self, payment: bytes, charge: Charge, answer: Answer) -> None:
        """A request for a payment has arrived."""
        treatment = self._chance.choice(self.mood)
        if payment in self._unwanted:
            self._answer(answer, answers.REFUSED)
        elif treatment is Treatment.FAIL:
            self._answer(answer, answers.FAILED)
        elif treatment is Treatment.REJECT:
            self._answer(answer, answers.REJECTED)
        elif treatment is Treatment.CHARGE_LATE:
            self._scheduler.after(self._chance.randint(*INSERT_LATE_MS), self._charge, payment, charge)
        elif treatment is not Treatment.SILENCE:
            outcome = self._charge(payment, charge)
            if treatment is Treatment.SERVE:
                self._answer(answer, outcome)

    def look(self, payment: bytes, answer: Answer) -> None:
        """A lookup has arrived."""
        if self._chance.choice(self.mood) in (Treatment.SILENCE, Treatment.SILENCE_AFTER_CHARGE):
            return
        charge = self.charges.get(payment)
        self._answer(answer, answers.ABSENT if charge is None else answers.found(*charge))

    def ask_health(self, answer: Callable[[], None]) -> None:
        """A query for its health has arrived."""
        self._scheduler.after(self._chance.randint(*ANSWER_MS), answer)

    def _charge(self, payment: bytes, charge: Charge) -> Outcome:
        if payment in self.charges:
            return answers.ALREADY
        self.charges[payment] = charge
        self._charged(self.number, payment, charge)
        return answers.CHARGED

    def _answer(self, answer: Answer, outcome: Outcome) -> None:
        self._scheduler.after(self._chance.randint(*ANSWER_MS), answer, outcome)
