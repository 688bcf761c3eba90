"""Exceptions in the ledger: each keeps all of its versions, and the last one says how it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.ledger import schema
from engine.ledger.database import Database
from engine.reconcile.again import Again, Case
from engine.reconcile.finding import BY_A_PERSON, BY_ITSELF, OPEN, Finding
from engine.reconcile.span import Difference, Span

_LOCK: Final = 0x726563  # of PostgreSQL's advisory locks: who numbers exceptions; "rec"
_own = schema.exception.c
SHOWN_MAX: Final = 10_000  # exceptions that are listed
RUNS_KEPT: Final = 10_000  # runs: a week of one in a minute


class Run(NamedTuple):
    """What one run has done. ``failure``: why it did not come to its end, "" if it did; times in ms since 1970."""

    span: Span
    is_deep: bool
    began_ms: int
    windows: int
    summaries: int
    lookups: int
    failure: str


class Version(NamedTuple):
    """A version of an exception: when it was written, who decided it, and what it says."""

    number: int
    version: int
    created_ms: int
    decided_by: str | None
    finding: Finding


def newest(database: Database) -> list[Version]:
    """The last version of every exception, in the order of their numbers."""
    highest = sa.select(_own.number, sa.func.max(_own.version).label("version")).group_by(_own.number).subquery()
    query = (
        sa.select(schema.exception)
        .join(highest, sa.and_(_own.number == highest.c.number, _own.version == highest.c.version))
        .order_by(_own.number)
    )
    with database.transaction() as connection:
        return list(map(_version, connection.execute(query)))


def last(database: Database) -> list[Case]:
    """All exceptions, as the core knows them."""
    return [Case(one.number, one.version, one.finding) for one in newest(database)]


def versions(database: Database) -> list[Version]:
    """All versions of all exceptions, in their order; at most SHOWN_MAX."""
    query = sa.select(schema.exception).order_by(_own.number, _own.version).limit(SHOWN_MAX)
    with database.transaction() as connection:
        return list(map(_version, connection.execute(query)))


def runs(database: Database, limit: int) -> list[tuple[int, int, int, Run]]:
    """The last runs, the newest first: number, end in ms since 1970 UTC, findings, and the run."""
    own = schema.reconciliation.c
    query = sa.select(schema.reconciliation).order_by(own.number.desc()).limit(limit)
    with database.transaction() as connection:
        return [
            (row.number, row.created_ms, row.found, Run(Span(row.from_ms, row.to_ms), bool(row.is_deep), row.began_ms,
             row.windows, row.summaries, row.lookups, row.failure or ""))
            for row in connection.execute(query)
        ]  # fmt: skip


def is_open(finding: Finding) -> bool:
    """Whether somebody still has to do something about it."""
    return finding.state in OPEN


def reached_ms(database: Database) -> int | None:
    """Up to which time, included, an earlier run has come to its end; None: there was none."""
    own = schema.reconciliation.c
    query = sa.select(sa.func.max(own.to_ms)).where(own.failure.is_(None))
    with database.transaction() as connection:
        found: int | None = connection.execute(query).scalar()
    return found


def keep(database: Database, run: Run, again: Iterable[Again], found: Sequence[Finding]) -> int:
    """Keeps a run, new versions of what is otherwise now, and what was found; returns how many are open.

    In one transaction; one who runs beside waits for it.
    """
    now_ms = database.now_ms()
    with database.transaction() as connection:
        _alone(connection)
        values = {
            "from_ms": run.span.from_ms, "to_ms": run.span.to_ms, "is_deep": int(run.is_deep), "windows": run.windows,
            "summaries": run.summaries, "lookups": run.lookups, "found": len(found), "failure": run.failure or None,
            "began_ms": run.began_ms, "created_ms": now_ms,
        }  # fmt: skip
        insert = sa.insert(schema.reconciliation).values(values).returning(schema.reconciliation.c.number)
        number = connection.execute(insert).scalar_one()
        rows = [
            _row(one.case.number, one.case.version + 1, number, changed, now_ms)
            for one in again
            if (changed := _changed(one)) is not None
        ]
        highest = connection.execute(sa.select(sa.func.max(_own.number))).scalar() or 0
        rows += [_row(highest + 1 + place, 1, number, one, now_ms) for place, one in enumerate(found)]
        if rows:
            connection.execute(sa.insert(schema.exception), rows)
        _forget_runs(connection, number)
    return sum(is_open(one.last) for one in last(database))


def _forget_runs(connection: sa.Connection, newest: int) -> None:
    """Of the runs before the last RUNS_KEPT those stay that an exception names, and the one that came farthest."""
    own = schema.reconciliation.c
    by_reach = sa.select(own.number).where(own.failure.is_(None)).order_by(own.to_ms.desc(), own.number.desc())
    farthest = connection.execute(by_reach.limit(1)).scalar() or 0
    named = sa.select(_own.reconciliation).where(_own.reconciliation.is_not(None))
    is_old = sa.and_(own.number <= newest - RUNS_KEPT, own.number != farthest)
    connection.execute(sa.delete(schema.reconciliation).where(is_old, own.number.not_in(named)))


def resolve(database: Database, number: int, evidence: str, by: str) -> Case | None:
    """A person decides an exception: one more version. Returns what it was; None if there is none that is open."""
    with database.transaction() as connection:
        _alone(connection)
        query = sa.select(schema.exception).where(_own.number == number).order_by(_own.version.desc()).limit(1)
        row = connection.execute(query).first()
        if row is None or row.state not in OPEN:
            return None
        case = Case(row.number, row.version, _finding(row))
        decided = case.last._replace(state=BY_A_PERSON, evidence=evidence)
        values = _row(number, case.version + 1, None, decided, database.now_ms()) | {"decided_by": by}
        connection.execute(sa.insert(schema.exception).values(values))
    return case


def _changed(one: Again) -> Finding | None:
    """The next version of an exception; None if the last one still says how it is."""
    before, now = one.case.last, one.now
    if now is None:
        return before._replace(state=BY_ITSELF, evidence="it does not differ any more")
    is_same = (before.span, before.difference, before.there_ms) == (now.span, now.difference, now.there_ms)
    if is_same and before.state in (now.state, BY_A_PERSON):
        return None
    return now


def _row(number: int, version: int, run: int | None, finding: Finding, now_ms: int) -> dict[str, Any]:
    return {
        "number": number, "version": version, "reconciliation": run, "state": finding.state,
        "against": finding.against, "processor": finding.processor, "from_ms": finding.span.from_ms,
        "to_ms": finding.span.to_ms, "id": finding.id, "payments": finding.difference.payments,
        "cents": finding.difference.cents, "there_ms": finding.there_ms, "evidence": finding.evidence,
        "decided_by": None, "created_ms": now_ms,
    }  # fmt: skip


def _version(row: Any) -> Version:
    return Version(row.number, row.version, row.created_ms, row.decided_by, _finding(row))


def _finding(row: Any) -> Finding:
    return Finding(
        row.state, row.against, row.processor, Span(row.from_ms, row.to_ms), Difference(row.payments, row.cents),
        None if row.id is None else bytes(row.id), row.there_ms, row.evidence,
    )  # fmt: skip


def _alone(connection: sa.Connection) -> None:
    """In SQLite who writes is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
