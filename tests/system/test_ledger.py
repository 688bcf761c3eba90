"""The ledger of a running engine: every accepted payment is there once, and its sums are the processors' own."""

from __future__ import annotations

import random
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from engine import settings as settings_module
from engine.ledger import queries
from engine.ledger.database import Database
from engine.ledger.rows import DROPPED, OUTCOME_NAMES
from engine.memory import layout
from tests.lab.simulate import processes
from tests.lab.simulate.processes import Processors
from tests.system import running
from tests.system.checks import World
from tests.system.client import Payment, client, new_payments, steady, wait_until
from tests.system.ledgers import opened

CAUGHT_UP_SECONDS_MAX = 30.0
CHARGED = ("charged", "already there", "found")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with processes.processors() as simulated, running.engine(simulated, ENGINE_LEDGER="best") as engine:
        yield World(engine, simulated)


@pytest.fixture
def ledger(world: World) -> Iterator[Database]:
    with closing(opened(world.engine, CAUGHT_UP_SECONDS_MAX)) as database:
        yield database


def paid(database: Database, payments: list[Payment]) -> bool:
    """Whether the ledger has all of these as completed."""
    rows = (queries.find(database, UUID(payment.correlation_id).bytes) for payment in payments)
    return all(row is not None and row.state == layout.COMPLETED for row in rows)


def sums(database: Database) -> list[tuple[int, int]]:
    """Payments and cents of each processor, of all times."""
    return [(one.payments, one.cents) for one in queries.window(database, 0, 1 << 43, 2).sums]


def charged(processors: Processors) -> list[tuple[int, int]]:
    rows = [list(processor.charged()) for processor in (processors.default, processors.fallback)]
    return [(len(one), sum(row.amount_cents for row in one)) for one in rows]


def test_a_payment_and_its_attempt_are_reported(world: World, ledger: Database) -> None:
    (payment,) = new_payments(1)
    with client(world.engine.port) as shop:
        assert shop.pay(payment).status == 202
    wait_until(lambda: paid(ledger, [payment]), CAUGHT_UP_SECONDS_MAX, "the ledger has it")
    row = queries.find(ledger, UUID(payment.correlation_id).bytes)
    assert row is not None and (row.cents, row.attempts) == (payment.cents, 1)
    (attempt,) = queries.attempts(ledger, row.id, row.era)
    assert OUTCOME_NAMES[attempt.outcome or 0] == "charged" and attempt.status == 200
    assert attempt.requested_ms == row.requested_ms and attempt.latency_us


def test_whatever_is_killed_the_ledger_has_every_payment_once_and_the_processors_sums(
    world: World, ledger: Database
) -> None:
    world.empty()
    world.processors.default.set_delay(30)
    world.processors.fallback.set_delay(30)
    chance = random.Random(5)
    with steady(world.engine.port) as told:
        for _ in range(8):
            told.wait_for_more(40)
            role = chance.choice(["ledger", "ledger", "dispatcher", "api 0"])
            world.engine.wait_for_another(role, world.engine.send_signal(role, signal.SIGKILL))
        told.wait_for_more(100)
    world.check_settled_once(told.accepted, told.sent)
    accepted = list(told.accepted)
    wait_until(lambda: paid(ledger, accepted), CAUGHT_UP_SECONDS_MAX, "the ledger has caught up")
    wait_until(lambda: sums(ledger) == charged(world.processors), CAUGHT_UP_SECONDS_MAX, "sums are equal")
    check_attempts(world, ledger, accepted)


def check_attempts(world: World, ledger: Database, accepted: list[Payment]) -> None:
    """Every charge has an attempt that says so, and nothing was missed."""
    path = settings_module.read(world.engine.place.settings).ledger_url.removeprefix("sqlite:///")
    assert not gaps(Path(path)), "slots and journal are large enough for what was away for a moment"
    for payment in accepted:
        row = queries.find(ledger, UUID(payment.correlation_id).bytes)
        assert row is not None
        outcomes = [one.outcome for one in queries.attempts(ledger, row.id, row.era)]
        told = {OUTCOME_NAMES[one] for one in outcomes if one not in (None, DROPPED)}
        assert told & set(CHARGED) or None in outcomes, payment


def gaps(path: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT source, missing FROM gap WHERE missing > 0").fetchall()
