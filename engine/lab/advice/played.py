"""A recorded window in virtual time: what its payments would have earned with other settings."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from engine.lab.advice.behaviour import stages
from engine.lab.advice.record import Paid, Pause, Record
from engine.lab.contest.scenario import AuditPlan, Load, Ramp, Scenario
from engine.lab.contest.scenario import Fees as Shares
from engine.lab.replay.load import Arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.pace import Pace
from engine.lab.replay.world import World
from engine.ledger.advice import Earned
from engine.ledger.fees import Fees
from engine.processors import PPM, rounded
from engine.routing.router import Router
from engine.settings import Settings

US: Final = 1000
POLICY: Final = "ours"


class _Settled(NamedTuple):
    """A payment at a processor: when it was sent with what counts, and when it was inserted (us of the replay)."""

    processor: int
    requested_us: int
    inserted_us: int


class Window:
    """A record as the replay needs it; the same for all settings.

    Parameters:
      record: what the ledger has.
      model: what the processors are like beside what was recorded.
    """

    def __init__(self, record: Record, model: Model | None = None) -> None:
        self.record = record
        self.model = model or Model()
        self.scenario = _scenario(record, self.model)
        length_us = (record.to_ms - record.begin_ms) * US
        self.arrivals = Arrivals([(one.accepted_ms - record.begin_ms) * US for one in record.payments], length_us)
        self.counted = [one for one in record.payments if one.accepted_ms >= record.from_ms]

    @property
    def requested_cents(self) -> int:
        """The amounts of all payments that count."""
        return sum(one.cents for one in self.counted)

    def was(self) -> Earned:
        """What was earned by the end of the window, as the ledger has it."""
        record, money = self.record, _Money(self.record.fees)
        for one in self.counted:
            if one.processor is None or one.settled_ms is None or one.settled_ms > record.to_ms:
                continue
            ppm = one.fee_ppm if one.fee_ppm is not None else record.fees.at(one.processor, one.accepted_ms)
            money.add(one, ppm, one.settled_ms - one.accepted_ms)
        return money.earned()

    def play(self, settings: Settings) -> Earned:
        """What would have been earned by then with ``settings``, as far as they are the router's and dispatcher's."""
        record = self.record
        fees_ppm = [_ppm(record.fees, number, record.begin_ms) for number in range(len(record.names))]
        router = Router(settings.routing, fees_ppm, settings.dispatch.request_timeout_ms)
        world = RecordedWorld(self, router, settings)
        world.run(POLICY)
        money = _Money(record.fees)
        for number in range(len(record.payments) - len(self.counted), len(record.payments)):
            settled, one = world.settled[number], record.payments[number]
            if settled is not None:
                at_ms = record.begin_ms + settled.requested_us // US
                waited_ms = record.begin_ms + settled.inserted_us // US - one.accepted_ms
                money.add(one, record.fees.at(settled.processor, at_ms), waited_ms)
        return money.earned()


class RecordedWorld(World):
    """The replay's world with a record's traffic, processors, pauses and fees; it notes what became of each payment."""

    def __init__(self, window: Window, router: Router, settings: Settings) -> None:
        super().__init__(window.scenario, window.arrivals, router, settings, window.model, Pace())
        self.settled: list[_Settled | None] = [None] * len(window.record.payments)
        self._begin_ms = window.record.begin_ms
        self._fees = window.record.fees
        self._pauses: list[Pause] = [*window.record.pauses][::-1]  # the next one last
        self._fees_ms = [at_ms for at_ms in window.record.fee_changes_ms if at_ms > self._begin_ms][::-1]

    def _pass(self, now_us: int) -> None:
        now_ms = self._begin_ms + now_us // US
        while self._pauses and self._pauses[-1].at_ms <= now_ms:
            pause = self._pauses.pop()
            self._router.observed[pause.processor].is_paused = pause.is_paused
        while self._fees_ms and self._fees_ms[-1] <= now_ms:
            at_ms = self._fees_ms.pop()
            self._router.learn_fees([_ppm(self._fees, number, at_ms) for number in range(len(self._router.observed))])
        super()._pass(now_us)

    def _settle(self, payment: int, processor: int, requested_us: int, inserted_us: int) -> None:
        super()._settle(payment, processor, requested_us, inserted_us)
        assert self.settled[payment] is None, "a payment was settled twice"
        self.settled[payment] = _Settled(processor, requested_us, inserted_us)


class _Money:
    """Sums of settled payments, exact until they are shown."""

    def __init__(self, fees: Fees) -> None:
        self._fees = fees
        self._cents = self._fee = self._waited_ms = self._count = 0

    def add(self, one: Paid, ppm: int | None, waited_ms: int) -> None:
        assert ppm is not None, "the window has no processor without a fee"
        self._cents += one.cents
        self._fee += one.cents * ppm
        self._waited_ms += waited_ms
        self._count += 1

    def earned(self) -> Earned:
        fee_cents = rounded(self._fee)
        return Earned(self._cents - fee_cents, fee_cents, self._waited_ms // self._count if self._count else None)


def _ppm(fees: Fees, processor: int, at_ms: int) -> int:
    ppm = fees.at(processor, at_ms)
    assert ppm is not None, "the window has no processor without a fee"
    return ppm


def _scenario(record: Record, model: Model) -> Scenario:
    """The window as a scenario of the replay. Its load is never asked: the payments are those that came.

    A ledger does not record when somebody asked for a summary, so there are no audits.
    """
    length_s = (record.to_ms - record.begin_ms) / 1000
    shares = [Decimal(_ppm(record.fees, number, record.from_ms)) / PPM for number in range(len(record.names))]
    return Scenario(
        name=f"{record.from_ms} to {record.to_ms}",
        title="A recorded window",
        load=Load(0, 1, 1.0, 1.0, (Ramp(length_s, 0),)),
        fees=Shares(*shares),
        audit=AuditPlan(2 * length_s, 15.0, 1.5),
        stages=stages(record, model),
    )


def lowest_ppm(fees: Fees, processor: int, changes_ms: Sequence[int], since_ms: int) -> int:
    """The lowest fee from a time on; ``changes_ms``: when fees change, as far as that is of the window."""
    return min(_ppm(fees, processor, at_ms) for at_ms in (since_ms, *(one for one in changes_ms if one > since_ms)))
