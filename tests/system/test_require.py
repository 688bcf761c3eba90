"""A running engine whose slots wait for the ledger: what it does while the database is away, and afterwards."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from uuid import UUID

import pysqlite3.dbapi2 as sqlite
import pytest
import sqlalchemy as sa

from engine import settings as settings_module
from engine.lab.ledger import server
from engine.ledger import queries, schema
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import LedgerError
from engine.ledger.rows import PURGED
from engine.memory import layout
from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import Client, Payment, client, new_payments, steady, wait_until

SLOTS = 64  # of each of two rings
SECONDS_MAX = 60.0

Away = Callable[[], AbstractContextManager[None]]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes into the file of SQLite, and does not end."""
    connection = sqlite.connect(str(path), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def stopped(one: server.Server) -> Iterator[None]:
    """PostgreSQL is not there."""
    one.stop()
    try:
        yield
    finally:
        one.start()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, Away]]:
    """An engine with a required ledger, and how its database goes away."""
    settings = {"ENGINE_LEDGER": "require", "ENGINE_RING_SLOTS": str(SLOTS)}
    if request.param == "postgresql":
        if not server.PROGRAMS:
            pytest.skip("Debian's package postgresql is not installed, and `make setup` could not install it")
        with server.running(fsync="on", synchronous_commit="off") as one, processes.processors() as simulated:
            url = one.new_database("required")
            with running.engine(simulated, **settings, ENGINE_LEDGER_URL=url) as made:
                yield World(made, simulated), lambda: stopped(one)
        return
    path = tmp_path / "ledger.db"
    settings["ENGINE_LEDGER_URL"] = f"sqlite:///{path}"
    with processes.processors() as simulated, running.engine(simulated, **settings) as made:
        yield World(made, simulated), lambda: locked(path)


def opened(world: World) -> Database:
    settings = settings_module.read(world.engine.place.settings)
    return open_ledger(settings.ledger_url, name=settings.host.name, reads_only=True)


def has(world: World, payments: list[Payment]) -> bool:
    """Whether SQL has all of these as completed."""
    try:
        with closing(opened(world)) as database:
            # The latest first: it is missing longest, and nothing more is asked for then.
            rows = (queries.find(database, UUID(payment.correlation_id).bytes) for payment in reversed(payments))
            return all(row is not None and row.state == layout.COMPLETED for row in rows)
    except LedgerError:
        return False


def lag_ms(shop: Client) -> int:
    ledger = shop.request("GET", "/health").json()["ledger"]
    return 1 << 62 if ledger["lagMs"] is None else int(ledger["lagMs"])


def pay_until_refused(shop: Client) -> list[Payment]:
    """Pays one after the other until a payment is refused, for what the ledger does not have; the accepted ones."""
    accepted, deadline = list[Payment](), time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        (payment,) = new_payments(1)
        answer = shop.pay(payment)
        if answer.status == 202:
            accepted.append(payment)
            assert len(accepted) <= 2 * SLOTS, "no slot is used again"
            continue
        assert answer.status == 503 and answer.headers["Retry-After"] == "1"
        if "ledger" in answer.json()["detail"]:
            return accepted
        time.sleep(0.05)  # the oldest payment is not settled yet
    raise AssertionError("payments go on waiting to be settled")


def test_while_the_database_is_away_slots_fill_and_then_all_goes_on(engine: tuple[World, Away]) -> None:
    world, away = engine
    first = new_payments(2 * SLOTS)
    with client(world.engine.port) as shop:
        for payment in first:
            wait_until(lambda one=payment: shop.pay(one).status == 202, SECONDS_MAX, "a slot is free")  # type: ignore[misc]
        wait_until(lambda: has(world, first), SECONDS_MAX, "SQL has all of them")
        wait_until(lambda: lag_ms(shop) < 5000, SECONDS_MAX, "the lag is small")
        with away():
            accepted = pay_until_refused(shop)
            wait_until(lambda: shop.pending() == 0, SECONDS_MAX, "what was accepted is settled all the same")
            health = shop.request("GET", "/health").json()
            assert any("full until the ledger has recorded more" in reason for reason in health["reasons"])
            assert shop.request("GET", "/readyz").status == 503
            before = shop.summary()
            purge = shop.request("POST", "/purge-payments")
            assert purge.status == 503 and purge.headers["Retry-After"] == "1"
            assert "nothing was purged" in purge.json()["detail"]
            assert shop.summary() == before
            assert shop.pay(accepted[0]).status == 202, "it is known still"
        (payment,) = new_payments(1)
        wait_until(lambda: shop.pay(payment).status == 202, SECONDS_MAX, "slots are free again")
        everything = [*first, *accepted, payment]
        wait_until(lambda: has(world, everything), SECONDS_MAX, "SQL has all of them")
        world.check_settled_once(everything)
        assert shop.request("POST", "/purge-payments").status == 200
        assert shop.summary() != before
    check_eras(world, len(everything))


def check_eras(world: World, payments: int) -> None:
    """The era that was purged has everything as it was, nothing is in the next one, and nothing was unseen."""
    own, gap = schema.payment.c, schema.gap.c
    with closing(opened(world)) as database, database.transaction() as connection:
        rows = connection.execute(sa.select(own.era, own.state)).all()
        unseen = connection.execute(sa.select(gap.source, gap.why).where(gap.missing > 0)).all()
    assert {era for era, _ in rows} == {1} and len(rows) == payments
    assert {state for _, state in rows} == {layout.COMPLETED} and unseen == []


def test_whenever_the_ledger_process_is_killed_no_payment_is_unseen(engine: tuple[World, Away]) -> None:
    world, _ = engine
    chance = random.Random(7)
    with steady(world.engine.port) as told:
        for _ in range(4):
            told.wait_for_more(chance.randrange(20, 150), SECONDS_MAX)
            world.engine.wait_for_another("ledger", world.engine.send_signal("ledger", signal.SIGKILL))
        told.wait_for_more(300, SECONDS_MAX)
    accepted = list(told.accepted)
    assert len(accepted) > 4 * SLOTS, "slots were used again"
    world.check_settled_once(accepted, told.sent)
    wait_until(lambda: has(world, accepted), SECONDS_MAX, "SQL has all of them")
    gap = schema.gap.c
    with closing(opened(world)) as database, database.transaction() as connection:
        assert connection.execute(sa.select(gap.source, gap.why).where(gap.missing > 0)).all() == []
        open_ = schema.payment.c.state.not_in((layout.COMPLETED, PURGED))
        assert connection.execute(sa.select(sa.func.count()).where(open_)).scalar() == 0
