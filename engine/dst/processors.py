"""A processor as the engine meets it: it charges each id once, and is seldom at its best."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from engine.correlation import format_id
from engine.dispatch import outcome
from engine.dispatch.attempt import Attempt
from engine.dispatch.outcome import Outcome
from engine.dst.model import Model
from engine.dst.scheduler import Scheduler
from engine.dst.stages import Stage, Treatment

Answer = Callable[[Attempt, Outcome], None]

SERVED = b'{"message":"payment processed successfully"}'
NONSENSE = (b"", b"<html>It works!</html>", b'{"message": "payment proc', b"[]", b"null")
LATE_MS = 4000  # how long after the dispatcher's time-out something may still happen


class Processor:
    """One of the two.

    Parameters:
      number: DEFAULT or FALLBACK; stages: in order, the last one for ever; start_ms: when the first begins.
      request_timeout_ms, connect_timeout_ms: the dispatcher's.
    """

    def __init__(
        self,
        number: int,
        stages: tuple[Stage, ...],
        start_ms: int,
        request_timeout_ms: int,
        connect_timeout_ms: int,
        model: Model,
        scheduler: Scheduler,
        chance: Random,
    ) -> None:
        self.number = number
        self._stages = list(reversed(stages))
        self._start_ms = start_ms
        self._request_timeout_ms = request_timeout_ms
        self._connect_timeout_ms = connect_timeout_ms
        self._model = model
        self._scheduler = scheduler
        self._chance = chance
        self._inserted_ms: dict[int, int] = {}  # number of the payment -> when
        self.handled = 0

    @property
    def stage(self) -> Stage:
        """The stage of this moment."""
        while self._scheduler.mono_ms - self._start_ms >= self._stages[-1].until_ms:
            self._stages.pop()
        return self._stages[-1]

    def health(self) -> tuple[bool, int] | None:
        """What it says of itself: failing, and its delay in ms; None when it does not answer."""
        stage = self.stage
        return None if stage.failing is None else (stage.failing, stage.delay_ms[0])

    def receive(self, attempt: Attempt, answer: Answer) -> None:
        """A request arrives; ``answer`` is called with its end, unless there is none."""
        stage, chance, after = self.stage, self._chance, self._scheduler.after
        treatment = stage.treatments[int(chance.random() * len(stage.treatments))]
        if treatment is Treatment.REFUSE:
            after(chance.random() * self._connect_timeout_ms, answer, attempt, outcome.of_error(False))
        elif attempt.lookup:
            after(self._delay_ms(stage), self._look_up, attempt, answer, treatment)
        elif self.handled >= stage.handled_max:
            after(1, answer, attempt, outcome.of_payment(429, b"{}"))
        else:
            self.handled += 1
            wait_ms = self._delay_ms(stage)
            if treatment is Treatment.INSERT_LATE:
                wait_ms += self._request_timeout_ms + int(chance.random() * LATE_MS)
            after(wait_ms, self._decide, attempt, answer, treatment)

    def _decide(self, attempt: Attempt, answer: Answer, treatment: Treatment) -> None:
        """The delay of a payment is over."""
        self.handled -= 1
        chance, after = self._chance, self._scheduler.after
        if treatment in (Treatment.SERVE, Treatment.INSERT_LATE, Treatment.ANSWER_LATE):
            reply = self._insert(attempt)
            wait_ms = chance.random() * 3
            if treatment is Treatment.ANSWER_LATE:
                wait_ms += self._request_timeout_ms
            after(wait_ms, answer, attempt, reply)
        elif treatment is Treatment.FAIL:
            answer(attempt, outcome.of_payment(chance.choice((500, 500, 502, 503)), b'{"message":"no"}'))
        elif treatment is Treatment.REJECT:
            answer(attempt, outcome.of_payment(429, b""))
        elif treatment is Treatment.COMPLAIN:
            answer(attempt, outcome.of_payment(chance.choice((400, 404, 408)), b"<html>"))
        elif treatment is Treatment.NONSENSE:
            answer(attempt, outcome.of_payment(chance.choice((200, 204, 302)), chance.choice(NONSENSE)))
        elif treatment is Treatment.RESET_BEFORE_INSERT:
            answer(attempt, outcome.of_error(True))
        elif treatment is not Treatment.SILENCE:
            reply = self._insert(attempt)
            if treatment is Treatment.RESET_AFTER_INSERT:
                answer(attempt, outcome.of_error(True))
            elif treatment is Treatment.NONSENSE_AFTER_INSERT:
                answer(attempt, outcome.of_payment(200, chance.choice(NONSENSE)))

    def _insert(self, attempt: Attempt) -> Outcome:
        payment = self._model.payment(attempt)
        if payment.number in self._inserted_ms:
            return outcome.of_payment(422, b'{"message":"a payment with this correlationId already exists"}')
        self._inserted_ms[payment.number] = self._scheduler.mono_ms
        self._model.charged(self.number, payment, attempt.requested_ms, attempt.cents)
        return outcome.of_payment(200, SERVED)

    def _look_up(self, attempt: Attempt, answer: Answer, treatment: Treatment) -> None:
        if treatment in (Treatment.SILENCE, Treatment.SILENCE_AFTER_INSERT):
            return
        chance = self._chance
        if treatment is Treatment.FAIL:
            answer(attempt, _looked_up(attempt, 500, b""))
        elif treatment is Treatment.REJECT:
            answer(attempt, _looked_up(attempt, 429, b""))
        elif treatment in (Treatment.RESET_BEFORE_INSERT, Treatment.RESET_AFTER_INSERT):
            answer(attempt, outcome.of_error(True))
        elif treatment in (Treatment.NONSENSE, Treatment.NONSENSE_AFTER_INSERT):
            answer(attempt, _looked_up(attempt, 200, chance.choice(NONSENSE)))
        else:
            late_ms = self._request_timeout_ms if treatment is Treatment.ANSWER_LATE else 0
            self._scheduler.after(late_ms, answer, attempt, self._stored(attempt))

    def _stored(self, attempt: Attempt) -> Outcome:
        payment = self._model.payment(attempt)
        inserted_ms = self._inserted_ms.get(payment.number)
        if inserted_ms is None or self._scheduler.mono_ms - inserted_ms < self.stage.lag_ms:
            return _looked_up(attempt, 404, b'{"message":"payment not found"}')
        requested_ms = payment.charged_ms[self.number]
        second, ms = divmod(requested_ms, 1000)
        moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        whole, part = divmod(payment.cents, 100)
        identity = format_id(attempt.id_high, attempt.id_low)
        body = f'{{"correlationId":"{identity}","amount":{whole}.{part:02d},"requestedAt":"{moment}.{ms:03d}Z"}}'
        return _looked_up(attempt, 200, body.encode())

    def _delay_ms(self, stage: Stage) -> int:
        low, high = stage.delay_ms
        return low + int(self._chance.random() * (high - low + 1))


def _looked_up(attempt: Attempt, status: int, body: bytes) -> Outcome:
    return outcome.of_lookup(status, body, attempt.id_high, attempt.id_low)
