"""A scenario of the replay that is played and recorded as a ledger would record it: rows, and no knowledge beside."""

from __future__ import annotations

from engine.lab.contest.scenario import Scenario
from engine.lab.replay.load import arrivals
from engine.lab.replay.model import Model
from engine.lab.replay.pace import Pace
from engine.lab.replay.processor import CHARGED, FAILED, REJECTED
from engine.lab.replay.result import Result
from engine.lab.replay.world import World
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger, write_cursor
from engine.ledger.rows import AttemptRow, Batch, FeeRow, HealthRow, PaymentRow
from engine.memory import layout
from engine.routing.router import Router
from engine.settings import Settings
from tests.ledger import making
from tests.ledger.making import NOW_MS

FEES_PPM = (50_000, 150_000)
OUTCOMES = {CHARGED: (0, 200), FAILED: (3, 500), REJECTED: (2, 429)}  # what the ledger has: outcome and status


class Recording(World):
    """A world that keeps what a dispatcher would tell the journal. No request may time out in it."""

    def __init__(self, scenario: Scenario, settings: Settings) -> None:
        self.load = arrivals(scenario.load)
        router = Router(settings.routing, FEES_PPM, settings.dispatch.request_timeout_ms)
        super().__init__(scenario, self.load, router, settings, Model(), Pace())
        self.cents = scenario.load.amount_cents
        self.attempts = list[AttemptRow]()
        self.health = list[HealthRow]()
        self.settled = dict[int, tuple[int, int, int]]()
        self._at_us = 0

    def _pass(self, now_us: int) -> None:
        self._at_us = now_us
        for at_us, processor, said in self._healths:
            if at_us <= now_us and said is not None:
                row = HealthRow(len(self.health), processor, NOW_MS + now_us // 1000, *said, 200)
                self.health.append(row)
        super()._pass(now_us)

    def _finish(self, now_us: int, now_ms: int) -> None:
        _, ticket, payment, processor, requested_us, verdict, _ = self._flight[0]
        outcome, status = OUTCOMES[verdict]
        began_ms, ended_ms = NOW_MS + requested_us // 1000, NOW_MS + now_us // 1000
        self.attempts.append(
            AttemptRow(2 * ticket, 1, identity(payment), 1, processor, False, began_ms, ended_ms, outcome, status, None,
                       now_us - requested_us, began_ms)
        )  # fmt: skip
        super()._finish(now_us, now_ms)

    def _settle(self, payment: int, processor: int, requested_us: int, inserted_us: int) -> None:
        super()._settle(payment, processor, requested_us, inserted_us)
        self.settled[payment] = processor, NOW_MS + requested_us // 1000, NOW_MS + self._at_us // 1000


def identity(payment: int) -> bytes:
    return payment.to_bytes(16, "big")


def record(database: Database, scenario: Scenario, settings: Settings) -> tuple[Result, int]:
    """Plays the scenario and fills the ledger; returns what came of it, and when it ended (ms since 1970)."""
    world = Recording(scenario, settings)
    result = world.run("ours")
    rows = []
    for number, accepted_us in enumerate(world.load.accepted_us):
        at_ms = NOW_MS + accepted_us // 1000
        row = PaymentRow(
            1, identity(number), layout.QUEUED, None, 0, world.cents, at_ms, None, None, None, 0, 0, number
        )
        if number in world.settled:
            processor, requested_ms, settled_ms = world.settled[number]
            row = row._replace(
                state=layout.COMPLETED, processor=processor, attempts=1, requested_ms=requested_ms,
                settled_ms=settled_ms, fee_ppm=FEES_PPM[processor],
            )  # fmt: skip
        rows.append(row)
    fees = tuple(FeeRow(number, 0, ppm) for number, ppm in enumerate(FEES_PPM))
    before = database.cursor()
    carry(
        database,
        Batch(before, before._replace(journal=1), tuple(rows), tuple(world.attempts), tuple(world.health), fees=fees),
    )
    return result, NOW_MS + world.load.end_us // 1000


def opened(url: str) -> Database:
    """An empty ledger of the contest's processors, or the one that is there."""
    database = open_ledger(url, name="engine", engine=making.ENGINE, processors=("default", "fallback"))
    if not database.cursor().rings and not database.cursor().journal:
        with database.transaction() as connection:
            write_cursor(connection, making.cursor(), NOW_MS)
    return database
