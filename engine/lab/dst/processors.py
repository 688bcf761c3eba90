"""A processor as the engine meets it: it charges each id once, and seldom works as it should."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from engine.connectors import answers, rinha
from engine.connectors.answers import Fee, Health, Outcome
from engine.correlation import format_id
from engine.dispatch.attempt import Attempt
from engine.lab.dst.account import Record
from engine.lab.dst.model import Model, ViolationError
from engine.lab.dst.scheduler import Scheduler
from engine.lab.dst.stages import Stage, Treatment
from engine.routing.queries import ANSWER_MS_MAX

Answer = Callable[[Attempt, Outcome], None]

SERVED = b'{"message":"payment processed successfully"}'
NONSENSE = (
    b"",
    b"<html>It works!</html>",
    b'{"message": "payment proc',
    b"[]",
    b"null",
    b'{"error":"insufficient funds"}',
    b'{"message":"declined"}',
)
STATES = (500, 500, 401, 403)
REFUSALS = (400, 402, 404, 405, 413, 414, 415)
GATEWAYS = (202, 408, 409, 502, 503, 504)
FORBIDDEN = (401, 403, 405, 500)
ABSURD_AMOUNTS = ("1e300", "-5", "0", "18446744073709551616", "1e999", "true", '"5.00"')
ABSURD_TIMES = ("9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "yesterday")
SERVING = (
    Treatment.SERVE,
    Treatment.INSERT_LATE,
    Treatment.ANSWER_LATE,
    Treatment.MISLEAD,
    Treatment.FORBID,
)
WAY_MS_MAX = ANSWER_MS_MAX - 100  # of a query: just in time
ASKABLE_MS = 30  # who answers no later than this can be asked
LATE_MS = 4000  # how long after the dispatcher's time-out something may still happen


class Processor:
    """One of the two.

    Parameters:
      number: DEFAULT or FALLBACK; stages: in order, the last one for ever; start_ms: when the first begins.
      request_timeout_ms, connect_timeout_ms: the dispatcher's.
      health_interval_ms: it must not be asked for its health twice in this time.
      fee_ppm: what it keeps; is_mute: it answers no lookup, ever.
    """

    def __init__(
        self,
        number: int,
        stages: tuple[Stage, ...],
        start_ms: int,
        request_timeout_ms: int,
        connect_timeout_ms: int,
        health_interval_ms: int,
        fee_ppm: int,
        is_mute: bool,
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
        self._is_mute = is_mute
        self._health_interval_ms = health_interval_ms
        self._health_ms = -health_interval_ms  # when it was asked last
        self.fee_ppm = fee_ppm
        self.handled = 0

    @property
    def stage(self) -> Stage:
        """The stage of this moment."""
        while self._scheduler.mono_ms - self._start_ms >= self._stages[-1].until_ms:
            self._stages.pop()
        return self._stages[-1]

    @property
    def is_askable(self) -> bool:
        """Whether it answers every lookup quickly and truly just now."""
        stage = self.stage
        is_serving = all(treatment is Treatment.SERVE for treatment in stage.treatments)
        return is_serving and not self._is_mute and not stage.lag_ms and stage.delay_ms[1] <= ASKABLE_MS

    def receive_health(self, answer: Callable[[Health], None]) -> None:
        """It is asked for its health, some time from now; ``answer`` is called with what it says, if anything."""
        self._scheduler.after(self._way_ms(), self._say_health, answer)

    def receive_fee(self, answer: Callable[[Fee], None]) -> None:
        """The same of its fee."""
        self._scheduler.after(self._way_ms(), self._say_fee, answer)

    def _way_ms(self) -> float:
        """How long a query is on its way."""
        return self._chance.random() * (WAY_MS_MAX if self._chance.random() < 0.1 else 30)

    def _say_health(self, answer: Callable[[Health], None]) -> None:
        now_ms, stage = self._scheduler.mono_ms, self.stage
        if now_ms - self._health_ms < self._health_interval_ms:
            raise ViolationError(f"asked for its health again after {now_ms - self._health_ms} ms")
        self._health_ms = now_ms
        if stage.failing is not None:
            word = Health(self.number, stage.failing, stage.delay_ms[0])
            self._scheduler.after(self._chance.random() * 30, answer, word)

    def _say_fee(self, answer: Callable[[Fee], None]) -> None:
        if self.stage.failing is not None:
            self._scheduler.after(self._chance.random() * 30, answer, Fee(self.number, self.fee_ppm))

    def receive(self, attempt: Attempt, answer: Answer) -> None:
        """A request arrives; ``answer`` is called with its end, unless there is none."""
        stage, chance, after = self.stage, self._chance, self._scheduler.after
        treatment = stage.treatments[int(chance.random() * len(stage.treatments))]
        if treatment is Treatment.REFUSE:
            after(chance.random() * self._connect_timeout_ms, answer, attempt, answers.of_error(False))
        elif attempt.lookup:
            after(self._delay_ms(stage), self._look_up, attempt, answer, treatment)
        elif self.handled >= stage.handled_max:
            after(1, answer, attempt, rinha.read_payment(429, b"{}"))
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
        if treatment in SERVING:
            reply = self._insert(attempt)
            wait_ms = chance.random() * 3
            if treatment is Treatment.ANSWER_LATE:
                wait_ms += self._request_timeout_ms
            after(wait_ms, answer, attempt, reply)
        elif treatment is Treatment.FAIL:
            answer(attempt, rinha.read_payment(chance.choice(STATES), b'{"message":"no"}'))
        elif treatment is Treatment.REJECT:
            answer(attempt, rinha.read_payment(429, b""))
        elif treatment is Treatment.COMPLAIN:
            answer(attempt, rinha.read_payment(chance.choice(REFUSALS), b"<html>"))
        elif treatment is Treatment.NONSENSE:
            answer(attempt, rinha.read_payment(chance.choice((200, 204, 302)), chance.choice(NONSENSE)))
        elif treatment is Treatment.GATEWAY:
            answer(attempt, self._gateway())
        elif treatment is Treatment.RESET_BEFORE_INSERT:
            answer(attempt, answers.of_error(True))
        elif treatment is not Treatment.SILENCE:
            self._insert(attempt)
            if treatment is Treatment.RESET_AFTER_INSERT:
                answer(attempt, answers.of_error(True))
            elif treatment is Treatment.NONSENSE_AFTER_INSERT:
                answer(attempt, rinha.read_payment(200, chance.choice(NONSENSE)))
            elif treatment is Treatment.GATEWAY_AFTER_INSERT:
                answer(attempt, self._gateway())

    def _gateway(self) -> Outcome:
        return rinha.read_payment(self._chance.choice(GATEWAYS), SERVED)

    def _insert(self, attempt: Attempt) -> Outcome:
        """Charges a payment, unless it is there or there is something about it."""
        account = self._model.payment(attempt)
        odd = account.odd
        if odd.refused_with[self.number]:
            return rinha.read_payment(odd.refused_with[self.number], b'{"message":"not this one"}')
        if odd.is_phantom(self.number) or self._model.record(self.number, account) is not None:
            return rinha.read_payment(422, b'{"message":"a payment with this correlationId already exists"}')
        self._model.charged(self.number, account, attempt.requested_ms, attempt.cents)
        if odd.is_altered(self.number):
            return answers.of_error(True)  # otherwise nothing could show that it has stored another amount
        return rinha.read_payment(200, SERVED)

    def _look_up(self, attempt: Attempt, answer: Answer, treatment: Treatment) -> None:
        if treatment in (Treatment.SILENCE, Treatment.SILENCE_AFTER_INSERT):
            return
        chance = self._chance
        if self._is_mute or treatment is Treatment.FORBID:
            answer(attempt, _looked_up(attempt, chance.choice(FORBIDDEN), b""))
        elif treatment is Treatment.FAIL:
            answer(attempt, _looked_up(attempt, 500, b""))
        elif treatment is Treatment.REJECT:
            answer(attempt, _looked_up(attempt, 429, b""))
        elif treatment in (Treatment.RESET_BEFORE_INSERT, Treatment.RESET_AFTER_INSERT):
            answer(attempt, answers.of_error(True))
        elif treatment in (Treatment.NONSENSE, Treatment.NONSENSE_AFTER_INSERT):
            answer(attempt, _looked_up(attempt, 200, chance.choice(NONSENSE)))
        elif treatment in (Treatment.GATEWAY, Treatment.GATEWAY_AFTER_INSERT):
            answer(attempt, _looked_up(attempt, chance.choice(GATEWAYS), b""))
        elif treatment is Treatment.MISLEAD:
            answer(attempt, self._misleading(attempt))
        else:
            slow_ms = self._request_timeout_ms if treatment is Treatment.ANSWER_LATE else 0
            self._scheduler.after(slow_ms, answer, attempt, self._stored(attempt))

    def _stored(self, attempt: Attempt) -> Outcome:
        """The truth, though a new record is not to be seen for a while."""
        model = self._model
        record = model.record(self.number, model.payment(attempt))
        if record is None:
            return _looked_up(attempt, 404, b'{"message":"payment not found"}')
        if self._scheduler.mono_ms - record.since_ms < self.stage.lag_ms:
            model.misled(record)
            return _looked_up(attempt, 404, b'{"message":"payment not found"}')
        return _looked_up(attempt, 200, _body(attempt.id_high, attempt.id_low, record))

    def _misleading(self, attempt: Attempt) -> Outcome:
        """Another payment's record, as a mixed-up or cached answer has it, or an amount or a time that cannot be."""
        chance = self._chance
        kind = chance.random()
        others = [record for record in self._model.records[self.number].values() if not record.is_of(attempt)]
        if kind < 0.5 and others:
            other = others[int(chance.random() * len(others))]
            return _looked_up(attempt, 200, _body(other.id_high, other.id_low, other))
        record = Record(attempt.id_high, attempt.id_low, attempt.requested_ms, attempt.cents, 0)
        if kind < 0.75:
            body = _body(attempt.id_high, attempt.id_low, record, amount=chance.choice(ABSURD_AMOUNTS))
        else:
            body = _body(attempt.id_high, attempt.id_low, record, moment=chance.choice(ABSURD_TIMES))
        return _looked_up(attempt, 200, body)

    def _delay_ms(self, stage: Stage) -> int:
        low, high = stage.delay_ms
        return low + int(self._chance.random() * (high - low + 1))


def _looked_up(attempt: Attempt, status: int, body: bytes) -> Outcome:
    return rinha.read_lookup(status, body, attempt.id_high, attempt.id_low)


def _body(id_high: int, id_low: int, record: Record, amount: str = "", moment: str = "") -> bytes:
    """A record as it is looked up; ``amount``, ``moment``: instead of what it has."""
    second, ms = divmod(record.requested_ms, 1000)
    whole, part = divmod(record.cents, 100)
    amount = amount or f"{whole}.{part:02d}"
    moment = moment or f"{datetime.fromtimestamp(second, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{ms:03d}Z"
    return f'{{"correlationId":"{format_id(id_high, id_low)}","amount":{amount},"requestedAt":"{moment}"}}'.encode()
