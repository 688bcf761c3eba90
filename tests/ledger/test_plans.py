"""No statement of the ledger reads a large table through: the plans of all that ships are read, in both databases.

With LEDGER_PLAN_ROWS=10000000 in the environment there are ten million payments and as many attempts; the planners then
choose for themselves what these tests else only hold to be possible.
"""

from __future__ import annotations

import json
import os
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
from engine.ledger.rows import Batch, EraRow
from engine.memory import layout
from engine.reconcile import asks
from engine.reconcile.ours import Ours
from engine.reconcile.span import Span
from tests.ledger import making
from tests.ledger.conftest import KINDS
from tests.ledger.making import NOW_MS, attempt, payment

pytestmark = pytest.mark.timeout(0 if "LEDGER_PLAN_ROWS" in os.environ else 120)

ROWS = int(os.environ.get("LEDGER_PLAN_ROWS", "60000"))
IS_LARGE = ROWS >= 1_000_000
LIMIT_SECONDS = 7200 if IS_LARGE else 110
PAGES_MIN = 1000 if IS_LARGE else 0  # a planner that is free reads a partition of less than 8 MB through, and may
SPAN_MS = 10 * 86_400_000  # of all rows
LARGE = ("payment", "attempt", "processor_health", "processor_state", "sample")
READING = ("SELECT", "UPDATE", "DELETE", "INSERT")
MIDDLE_MS = NOW_MS + SPAN_MS // 2
HOUR_MS = STEPS_MS["hour"]

# Of a thousand payments 996 are completed, one of a hundred at the dearer processor.
NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})",
    "postgresql": "WITH n(i) AS (SELECT generate_series(CAST(0 AS bigint), {rows} - 1))",
}
RANDOM_ID = {"sqlite": "randomblob(16)", "postgresql": "decode(md5(CAST(i AS text)), 'hex')"}
FILL = (
    """
    INSERT INTO payment (
        id, era, state, processor, attempts, cents, accepted_ms, requested_ms, settled_ms, waited_ms, fee_ppm,
        fee_cents, reason, ring, position, created_ms, updated_ms
    ) {numbers} SELECT
        {random_id}, 1, CASE i % 1000 WHEN 0 THEN 3 WHEN 250 THEN 0 WHEN 500 THEN 1 WHEN 750 THEN 5 ELSE 2 END,
        CASE i % 101 WHEN 7 THEN 1 ELSE 0 END, 1, 1990,
        {begin} + i * {span} / {rows}, {begin} + i * {span} / {rows} + 5,
        {begin} + i * {span} / {rows} + 20, 20, 50000, 100, 0, 0, i, {begin}, {begin}
    FROM n
    """,
    """
    INSERT INTO attempt (
        journal, sequence, era, id, number, processor, is_lookup, began_ms, ended_ms, outcome, status, error,
        latency_us, requested_ms, created_ms, updated_ms
    ) SELECT {journal}, position, era, id, 1, processor, 0, requested_ms, settled_ms,
        CASE position % 50 WHEN 7 THEN 3 ELSE 0 END, 200, NULL, 15000, requested_ms, created_ms, updated_ms
    FROM payment WHERE position < {rows}
    """,
    """
    INSERT INTO processor_health (journal, sequence, processor, at_ms, failing, min_response_ms, status, created_ms)
    SELECT {journal}, position, processor, accepted_ms, 0, 1, 200, created_ms
    FROM payment WHERE position < {rows} AND position % 10 = 0
    """,
    """
    INSERT INTO processor_state (journal, sequence, processor, at_ms, state, failures, rate_ppm, created_ms)
    SELECT {journal}, position, processor, accepted_ms, 0, 0, 0, created_ms
    FROM payment WHERE position < {rows} AND position % 10 = 0
    """,
    """
    INSERT INTO sample (at_ms, seconds, accepted, settled, accept_p50_us, accept_p99_us, settle_p50_us, settle_p99_us,
        backlog, created_ms)
    SELECT DISTINCT accepted_ms, 1, 1, 1, 1, 1, 1, 1, 1, created_ms
    FROM payment WHERE position < {rows} AND position % 10 = 0
    """,
)
ONE = payment(ROWS, accepted_ms=MIDDLE_MS)


def fill(database: Database) -> None:
    """Rows of ten days."""
    before = making.cursor()
    one = attempt(ROWS, ROWS, id=ONE.id, began_ms=MIDDLE_MS + 5)
    assert carry(database, Batch(before, making.cursor(ROWS + 1, ROWS + 1), (ONE,), (one,))) == 0
    kind = database.backend.engine.dialect.name
    words = {"rows": ROWS, "begin": NOW_MS, "span": SPAN_MS, "journal": schema.signed(making.JOURNAL)}
    numbers = NUMBERS[kind].format(**words)
    first = NOW_MS // 86_400_000
    database.prepare({table: set(range(first, first + 12)) for table in schema.BY_DAY})
    for statement in FILL:
        with database.transaction() as connection:
            if kind == "sqlite" and IS_LARGE:
                connection.exec_driver_sql("PRAGMA cache_size = -4000000")  # 4 GB: else ids at random take hours
            text = statement.format(numbers=numbers, random_id=RANDOM_ID[kind], **words)
            connection.exec_driver_sql(text.replace("%", "%%") if kind == "postgresql" else text)


@pytest.fixture(scope="module", params=KINDS)
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A large ledger."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/ledger.db"
    else:
        url = request.getfixturevalue("postgresql").new_database("plans")
    database = open_ledger(
        url, name="engine", engine=making.ENGINE, limit_s=LIMIT_SECONDS, now_ms=lambda: NOW_MS + SPAN_MS
    )
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
        self._pages: dict[str, int] = {}

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
            other.execute("SELECT relname, relpages FROM pg_class")
            self._pages = dict(other.fetchall())
            self._walk((json.loads(found) if isinstance(found, str) else found)[0]["Plan"], statement)
        other.close()

    def _walk(self, plan: dict[str, Any], statement: str) -> None:
        name = plan.get("Relation Name", plan.get("Index Name", ""))
        is_through = "Scan" in plan["Node Type"] and "Cond" not in " ".join(plan)
        if is_through and name.startswith(LARGE) and self._pages[name] >= PAGES_MIN:
            self.scans.append(f"{name}: {statement}")
        if "_d20" in name:
            self.partitions += 1
        for part in plan.get("Plans", ()):
            self._walk(part, statement)


STRETCH = Stretch(MIDDLE_MS, MIDDLE_MS + HOUR_MS, STEPS_MS["minute"])
WINDOW = Span(MIDDLE_MS, MIDDLE_MS + HOUR_MS // 6 - 1)
Act = Callable[[Database], object]


def reported(make: Make, database: Database) -> object:
    return make(database, STRETCH)


ASKED: dict[str, Act] = {
    "find": lambda one: queries.find(one, ONE.id),
    "history": lambda one: queries.history(one, ONE.id),
    "attempts": lambda one: queries.attempts(one, ONE.id, 1),
    "window": lambda one: queries.window(one, MIDDLE_MS, MIDDLE_MS + HOUR_MS, 2),
    "sums of a second": lambda one: queries.window(one, MIDDLE_MS, MIDDLE_MS + 999, 2),
    "page": lambda one: queries.page(one),
    "page behind": lambda one: queries.page(one, behind=Place(MIDDLE_MS, ONE.id, 1)),
    "page of a time": lambda one: queries.page(one, from_ms=MIDDLE_MS, to_ms=MIDDLE_MS + HOUR_MS),
    "page of failed": lambda one: queries.page(one, states=(layout.FAILED,)),
    "page of completed": lambda one: queries.page(one, states=(layout.COMPLETED,)),
    "page of open": lambda one: queries.page(one, states=(layout.QUEUED, layout.PROCESSING, layout.ALREADY)),
    "page of a processor": lambda one: queries.page(one, processor=1),
    "page of completed at a processor": lambda one: queries.page(one, states=(layout.COMPLETED,), processor=1),
    "fees": lambda one: [queries.fees(one)],
    "era": lambda one: [queries.current_era_began_ms(one)],
    "sum there": lambda one: Ours(one).sum(1, WINDOW, [asks.Charged(ONE.id, MIDDLE_MS, 1)]),
    "page there": lambda one: Ours(one).page(1, WINDOW, asks.Place(MIDDLE_MS, ONE.id)),
    "one there": lambda one: Ours(one).one(0, ONE.id),
    "unknown there": lambda one: [Ours(one).maybes(0, WINDOW)],
    "sent there": lambda one: [Ours(one).suspects(1, MIDDLE_MS)],
    **{f"report {name}": partial(reported, make) for name, make in REPORTS.items()},
}  # fmt: skip


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
