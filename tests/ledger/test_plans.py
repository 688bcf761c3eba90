"""No statement of the ledger reads a large table through: the plans of all that ships are read, in both databases.

With LEDGER_PLAN_ROWS=10000000 in the environment there are ten million payments and as many attempts (a quarter of an
hour for each database); the planners then choose for themselves what these tests else only hold to be possible.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import queries, schema
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger, write_cursor
from engine.ledger.queries import Place
from engine.ledger.reports import REPORTS, STEPS_MS, Make, Stretch
from engine.ledger.retention import tend
from engine.ledger.rows import Batch, EraRow, HealthRow, ProcessorStateRow, SampleRow
from engine.memory import layout
from tests.ledger import making
from tests.ledger.conftest import KINDS
from tests.ledger.making import NOW_MS, attempt, cursor, payment

ROWS = int(os.environ.get("LEDGER_PLAN_ROWS", "60000"))
IS_LARGE = ROWS >= 1_000_000
AT_ONCE = 10_000
SPAN_MS = 10 * 86_400_000  # of all rows
STEP_MS = SPAN_MS / ROWS
LARGE = ("payment", "attempt", "processor_health", "processor_state", "sample")
READING = ("SELECT", "UPDATE", "DELETE", "INSERT")
STATES = (layout.COMPLETED,) * 996 + (layout.FAILED, layout.QUEUED, layout.PROCESSING, layout.CHARGED_BEFORE)
MIDDLE_MS = NOW_MS + SPAN_MS // 2
HOUR_MS = STEPS_MS["hour"]


def fill(database: Database) -> None:
    """Rows of ten days."""
    draw = random.Random(7)
    before = cursor()
    for first in range(0, ROWS, AT_ONCE):
        payments, attempts, health, states, samples = [], [], [], [], []
        for number in range(first, first + AT_ONCE):
            at_ms = NOW_MS + int(number * STEP_MS)
            row = payment(number, accepted_ms=at_ms, requested_ms=at_ms + 5, processor=int(draw.random() < 0.01),
                          state=draw.choice(STATES))  # fmt: skip
            payments.append(row)
            attempts.append(attempt(number, number, id=row.id, began_ms=at_ms + 5, processor=row.processor))
            if number % 10 == 0:
                health.append(HealthRow(number, 0, at_ms, False, 1, 200))
                states.append(ProcessorStateRow(number, 0, at_ms, 0, 0, 0))
                samples.append(SampleRow(at_ms, 1, 1, 1, 1, 1, 1, 1, 1))
        after = cursor(first + AT_ONCE, first + AT_ONCE)
        batch = Batch(
            before, after, tuple(payments), tuple(attempts), tuple(health), tuple(states), samples=tuple(samples)
        )
        assert carry(database, batch) == 0
        before = after


@pytest.fixture(scope="module", params=KINDS)
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A large ledger."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/ledger.db"
    else:
        url = request.getfixturevalue("postgresql").new_database("plans")
    database = open_ledger(url, name="engine", engine=making.ENGINE, limit_s=600, now_ms=lambda: NOW_MS + SPAN_MS)
    with database.transaction() as connection:
        write_cursor(connection, making.cursor(), NOW_MS)
    fill(database)
    if request.param == "postgresql":
        with database.backend.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    yield database
    database.close()


class Plans:
    """What the database would do for each statement, and how often it would read a large table through for it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.statements: list[str] = []
        self.scans: list[str] = []
        self.partitions = 0

    def __enter__(self) -> Plans:
        sa.event.listen(self.database.backend.engine, "before_cursor_execute", self._read)
        return self

    def __exit__(self, *_error: object) -> None:
        sa.event.remove(self.database.backend.engine, "before_cursor_execute", self._read)

    def _read(self, connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.partition(" ")[0] not in READING or " ON CONFLICT" in statement:
            return
        self.statements.append(statement)
        other = connection.connection.cursor()
        arguments = parameters[0] if many else parameters
        if connection.dialect.name == "sqlite":
            other.execute(f"EXPLAIN QUERY PLAN {statement}", arguments)
            for *_, detail in other.fetchall():
                words = detail.split()
                if words[0] == "SCAN" and words[1] in LARGE:
                    self.scans.append(f"{detail}: {statement}")
        else:
            if not IS_LARGE:  # a day of these rows is read through in no time
                other.execute("SET LOCAL enable_seqscan = off")
            other.execute(f"EXPLAIN (FORMAT JSON) {statement}", arguments)
            found = other.fetchone()[0]
            self._walk((json.loads(found) if isinstance(found, str) else found)[0]["Plan"], statement)
        other.close()

    def _walk(self, plan: dict[str, Any], statement: str) -> None:
        name = plan.get("Relation Name", plan.get("Index Name", ""))
        if "Scan" in plan["Node Type"] and name.startswith(LARGE) and "Cond" not in " ".join(plan):
            self.scans.append(f"{name}: {statement}")
        if "_d20" in name:
            self.partitions += 1
        for part in plan.get("Plans", ()):
            self._walk(part, statement)


STRETCH = Stretch(MIDDLE_MS, MIDDLE_MS + HOUR_MS, STEPS_MS["minute"])
AN_ID = payment(ROWS // 2).id
Act = Callable[[Database], object]


def reported(make: Make, database: Database) -> object:
    return make(database, STRETCH)


ASKED: dict[str, Act] = {
    "find": lambda one: queries.find(one, AN_ID),
    "history": lambda one: queries.history(one, AN_ID),
    "attempts": lambda one: queries.attempts(one, AN_ID, 1),
    "window": lambda one: queries.window(one, MIDDLE_MS, MIDDLE_MS + HOUR_MS, 2),
    "page": lambda one: queries.page(one),
    "page behind": lambda one: queries.page(one, behind=Place(MIDDLE_MS, AN_ID, 1)),
    "page of a time": lambda one: queries.page(one, from_ms=MIDDLE_MS, to_ms=MIDDLE_MS + HOUR_MS),
    "page of failed": lambda one: queries.page(one, states=(layout.FAILED,)),
    "page of completed": lambda one: queries.page(one, states=(layout.COMPLETED,)),
    "page of open": lambda one: queries.page(one, states=(layout.QUEUED, layout.PROCESSING, layout.ALREADY)),
    "page of a processor": lambda one: queries.page(one, processor=1),
    "page of completed at a processor": lambda one: queries.page(one, states=(layout.COMPLETED,), processor=1),
    **{f"report {name}": partial(reported, make) for name, make in REPORTS.items()},
}  # fmt: skip


@pytest.mark.timeout(120 if not IS_LARGE else 7200)
@pytest.mark.parametrize("asked", ASKED)
def test_no_query_reads_a_large_table_through(large: Database, asked: str) -> None:
    with Plans(large) as plans:
        found = ASKED[asked](large)
    assert found and plans.statements
    assert plans.scans == []
    if asked != "attempts":  # which may be of any day
        assert plans.partitions <= 4  # an hour lies in two days at most, of two tables


def test_carrying_and_tending_read_no_large_table_through(large: Database) -> None:
    before = large.cursor()
    late = (attempt(3, 3, ended_ms=NOW_MS + 5000), attempt(5, 5, began_ms=None, number=None))
    eras = (EraRow(1, NOW_MS, NOW_MS + SPAN_MS, 1, "purge"),)
    after = before._replace(journal=before.journal + 1)
    with Plans(large) as plans:
        carry(large, Batch(before, after, payments=(payment(1),), attempts=late, eras=eras))
        tend(large, 8)
        large.cursor()
    assert {statement.split()[0] for statement in plans.statements} >= {"SELECT", "UPDATE", "DELETE"}
    assert plans.scans == []


def test_what_the_plans_are_read_with_finds_a_scan(large: Database) -> None:
    with Plans(large) as plans, large.transaction() as connection:
        for column in (schema.payment.c.cents, schema.attempt.c.status):
            connection.execute(sa.select(sa.func.count()).where(column == 5)).scalar()
    assert {scan.split()[1 if scan.startswith("SCAN") else 0][:7].rstrip("_:") for scan in plans.scans} == {
        "payment", "attempt",
    }  # fmt: skip
