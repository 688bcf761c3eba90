"""Whatever is killed at any moment, each payment and each attempt is in SQL once."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from engine.lab.ledger import server
from engine.ledger import schema
from engine.ledger.database import Database, open_ledger
from tests.ledger import making
from tests.ledger.making import payment

PAYMENTS = 4000
KILLS = 6


def carrier(url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.ledger.carrier", url, str(PAYMENTS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str], lines: int) -> list[str]:
    """The next lines of a carrier, fewer when it ends."""
    assert process.stdout is not None
    return [line for _ in range(lines) if (line := process.stdout.readline())]


def check(database: Database) -> None:
    """All that was to be carried is there, once."""
    with database.transaction() as connection:
        ids = [bytes(one) for one in connection.execute(sa.select(schema.payment.c.id)).scalars()]
        attempts = connection.execute(sa.select(schema.attempt.c.sequence)).scalars().all()
        cents = connection.execute(sa.select(sa.func.sum(schema.payment.c.cents))).scalar()
        apart = connection.execute(sa.select(sa.func.count()).select_from(schema.rejected)).scalar()
    assert len(ids) == PAYMENTS and set(ids) == {payment(number).id for number in range(PAYMENTS)}
    assert sorted(attempts) == [2 * number for number in range(PAYMENTS)]
    assert (int(cents or 0), apart) == (PAYMENTS * 1990, 0)
    assert database.cursor() == making.cursor(2 * PAYMENTS, PAYMENTS)


@pytest.mark.timeout(300)
def test_a_carrier_that_is_killed_at_any_moment_leaves_whole_batches(url: str) -> None:
    draw = random.Random()
    killed = 0
    while True:
        process = carrier(url)
        try:
            said(process, draw.randrange(1, 12))
            if killed < KILLS:
                time.sleep(draw.random() * 0.02)  # between any two steps of a batch
                process.kill()
                killed += 1
                continue
            process.communicate(timeout=200)
            assert process.returncode == 0
            break
        finally:
            process.kill()
            process.communicate()
    database = open_ledger(url, name="engine", engine=making.ENGINE)
    check(database)
    database.close()


@pytest.mark.timeout(300)
def test_a_server_that_is_killed_in_the_middle_loses_nothing_and_repeats_nothing() -> None:
    if not server.PROGRAMS:
        pytest.skip(server.MISSING)
    with server.running(fsync="on", full_page_writes="on") as one:
        url = one.new_database("killed")
        process = carrier(url)
        try:
            for _ in range(3):
                assert said(process, 8)
                one.stop()
                one.start()
            process.communicate(timeout=200)
            assert process.returncode == 0
        finally:
            process.kill()
            process.communicate()
        database = open_ledger(url, name="engine", engine=making.ENGINE)
        check(database)
        database.close()
