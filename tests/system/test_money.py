"""Fees and reconciliation of a running engine, with real processes: the figures are the processors' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from engine.lab.services.processor import Processor
from engine.ledger.report_text import iso
from engine.ledger.reports import REPORTS, STEPS_MS, Stretch
from engine.reconcile import cases
from tests.lab.simulate import processes
from tests.lab.simulate.processes import REPOSITORY
from tests.system import running
from tests.system.checks import World
from tests.system.client import burst, new_payments, wait_until
from tests.system.ledgers import opened

WAIT_SECONDS_MAX = 40.0


@pytest.fixture
def world() -> Iterator[World]:
    settings = {"ENGINE_LEDGER": "best", "ENGINE_FEE_DEFAULT_PPM": "50000", "ENGINE_FEE_FALLBACK_PPM": "150000"}
    with processes.processors() as simulated, running.engine(simulated, **settings) as engine:
        yield World(engine, simulated)


def reconcile(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
    command = [sys.executable, "-m", "engine", "reconcile", *words]
    return subprocess.run(
        command, env=known | world.engine.place.settings, cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def paid(world: World, count: int) -> None:
    """Pays while the cheaper processor leaves outcomes unknown."""
    world.processors.default.set_faults(probabilities={"reset_after_insert": 0.2, "error_before_insert": 0.1})
    payments = new_payments(count, lambda number: 1 + 997 * number)
    assert set(burst(world.engine.port, payments).values()) == {202}
    world.check_settled_once(payments)
    world.processors.default.clear_faults()


def test_the_report_has_the_fees_of_the_processors_to_the_cent(world: World) -> None:
    paid(world, 300)
    hour = STEPS_MS["hour"]
    with closing(opened(world.engine, WAIT_SECONDS_MAX)) as database:
        now_ms = database.now_ms()
        span = Stretch(now_ms - now_ms % hour - hour, now_ms - now_ms % hour + hour, hour)

        def money() -> dict[str, tuple[int, int, int]]:
            rows = [row for row in REPORTS["money"](database, span).rows if row[1] != "(all)"]
            return {f"{row[1]} {row[0]}": (row[2], row[3], row[4]) for row in rows}

        def charged(processor: Processor, begin_ms: int) -> tuple[int, int, int]:
            summary = processor.summary((iso(begin_ms), iso(begin_ms + hour - 1)))
            return summary.count, summary.cents, summary.fee_cents

        expected = {
            f"{processor.name.split()[0]} {begin_ms}": found
            for processor in (world.processors.default, world.processors.fallback)
            for begin_ms in (span.from_ms, span.from_ms + hour)
            if (found := charged(processor, begin_ms))[0]
        }
        assert sum(one[0] for one in expected.values()) == 300
        wait_until(lambda: money() == expected, WAIT_SECONDS_MAX, "the report has what the processors have")


def test_reconcile_finds_nothing_then_what_is_planted_and_a_person_resolves_it(world: World) -> None:
    paid(world, 100)
    with closing(opened(world.engine, WAIT_SECONDS_MAX)) as database:
        begin = f"{datetime.now(UTC) - timedelta(minutes=4):%Y-%m-%dT%H:%M:%SZ}"
        wait_until(
            lambda: reconcile(world, "--from", begin, "--settled", "1").returncode == 0, WAIT_SECONDS_MAX, "all agrees"
        )
        assert cases.newest(database) == []
        when = datetime.now(UTC) - timedelta(seconds=100)
        body = {"correlationId": str(uuid.uuid4()), "amount": 7.77, "requestedAt": f"{when:%Y-%m-%dT%H:%M:%S}.123Z"}
        world.processors.fallback.exchange("POST", "/payments", body)

        found = reconcile(world, "--from", begin, "--settled", "1")
        assert found.returncode == 1, found.stderr
        assert "missing here" in found.stdout and "+7.77" in found.stdout and "fallback" in found.stdout
        assert max(map(len, found.stdout.splitlines())) <= 80
        (listed,) = json.loads(reconcile(world, "list", "--format", "json").stdout, parse_float=Decimal)
        assert (listed["processor"], listed["amount_cents"], listed["state"]) == ("fallback", 777, "missing here")
        assert listed["from"] == f"{when:%Y-%m-%dT%H:%M:%S}.123Z"

        done = reconcile(world, "resolve", "1", "--evidence", "it was a test", "--by", "A. Auditor")
        assert done.returncode == 0, done.stderr
        assert reconcile(world, "list").returncode == 0
        assert "A. Auditor" in reconcile(world, "list", "--all").stdout
        assert reconcile(world, "--from", begin, "--settled", "1", "--deep").returncode == 0


def test_the_engine_reconciles_by_itself_and_stops_with_it() -> None:
    with (
        processes.processors() as simulated,
        running.engine(simulated, ENGINE_LEDGER="best", ENGINE_RECONCILE_SECONDS="1") as engine,
        closing(opened(engine, WAIT_SECONDS_MAX)) as database,
    ):
        when = f"{datetime.now(UTC) - timedelta(seconds=70):%Y-%m-%dT%H:%M:%S}.123Z"
        body = {"correlationId": str(uuid.uuid4()), "amount": 7.77, "requestedAt": when}
        simulated.default.exchange("POST", "/payments", body)
        assert reconcile(World(engine, simulated), "--from", "5m").returncode == 1
        simulated.default.purge()
        wait_until(
            lambda: [one.finding.state for one in cases.newest(database)] == ["resolved by itself"],
            WAIT_SECONDS_MAX, "the process beside has seen that it is gone",
        )  # fmt: skip
