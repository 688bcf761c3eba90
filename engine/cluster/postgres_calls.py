"""What each operation of the store says to PostgreSQL, and what the answer means. Pure.

:mod:`engine.cluster.postgres` says it. The functions have the names of Store's methods, which say what they promise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from engine.cluster import rules, values
from engine.cluster.values import (
    Adoption,
    Discrepancy,
    Entry,
    Epoch,
    Folded,
    Kept,
    Kind,
    Lease,
    Member,
    Offer,
    Outcome,
    Page,
    Pin,
    Question,
    Row,
    Sum,
    Verdict,
)

Rows = list[tuple[Any, ...]]
_OWN = "SELECT own(%s::smallint, %s::bigint, %s::bigint)"
_BY = "%s::smallint, %s::bigint, %s::bigint"
_MEMBERS = "SELECT * FROM member ORDER BY number"
_MEMBERS_AND_OPEN = (
    "SELECT (SELECT min(requested_ms) FROM payment WHERE ended_sequence IS NULL AND requested_ms IS NOT NULL), m.*"
    " FROM member m ORDER BY m.number"
)


class AgainError(Exception):
    """Something has changed between two statements. Doing it again tells what holds now; what was NEW is SAME then."""


class Work(NamedTuple):
    """Statements of one transaction, and how their rows are read.

    ``epoch``: the caller's, 0 where anybody may call. ``in_the_way``: the epoch whose sessions may be ended when they
    hold a lock, 0 for none.
    """

    epoch: int
    statements: tuple[tuple[str, Sequence[Any]], ...]
    read: Callable[[list[Rows]], Any]
    in_the_way: int = 0


def _one(by: Epoch, sql: str, arguments: Sequence[Any], read: Callable[[Rows], Any]) -> Work:
    """A function that begins with own() by itself."""
    return Work(by.number, ((sql, (*by, *arguments)),), lambda answers: read(answers[0]))


def _reading(by: Epoch, sql: str, arguments: Sequence[Any], read: Callable[[Rows], Any]) -> Work:
    """A query, after own() in the same transaction."""
    return Work(by.number, ((_OWN, by), (sql, arguments)), lambda answers: read(answers[1]))


def join(name: str, place: bytes, life: bytes, replaces: int, lease_ms: int) -> Work:
    """See Store."""
    rules.check_join(name, place, life, lease_ms)
    sql = "SELECT * FROM join_cell(%s::text, %s::uuid, %s::uuid, %s::bigint, %s::bigint, %s::integer)"
    arguments = (name, _uuid(place), _uuid(life), replaces, lease_ms, values.CELLS_MAX)
    return Work(0, ((sql, arguments),), lambda answers: Epoch(*answers[0][0]), in_the_way=replaces)


def lease(by: Epoch, lease_ms: int, told_ms: int) -> Work:
    """See Store."""
    rules.check_lease(lease_ms, told_ms)
    own = (f"SELECT * FROM renew({_BY}, %s::bigint, %s::bigint)", (*by, lease_ms, told_ms))

    def read(answers: list[Rows]) -> Lease:
        now_ms, until_ms, identity = answers[0][0]
        open_ms, *_ = answers[1][0]
        return Lease(now_ms, until_ms, identity, _members([row[1:] for row in answers[1]]), open_ms)

    return Work(by.number, (own, (_MEMBERS_AND_OPEN, ())), read)


def members() -> Work:
    """See Store. The lock makes it wait until what it sees is durable, as own() does elsewhere."""
    lock = ("SELECT 1 FROM world FOR SHARE", ())
    return Work(0, (lock, (_MEMBERS, ())), lambda answers: _members(answers[1]))


def _members(rows: Rows) -> tuple[Member, ...]:
    return tuple(Member(*row) for row in rows)


def adopt(by: Epoch, epoch: int) -> Work:
    """See Store."""
    rules.check_adoption(by, epoch)
    sql = f"SELECT * FROM adopt({_BY}, %s::bigint)"
    return _one(by, sql, (epoch,), lambda rows: Adoption(*rows[0]))._replace(in_the_way=epoch)


def leave(by: Epoch) -> Work:
    """See Store."""
    return Work(by.number, (("SELECT leave(%s::smallint, %s::bigint)", by[:2]),), lambda answers: None)


def held(by: Epoch, after: bytes, limit: int) -> Work:
    """See Store."""
    rules.check_id(after)
    rules.check_limit(limit)
    sql = (
        "SELECT k.* FROM (SELECT p.id FROM payment p WHERE p.ended_sequence IS NULL AND p.id > %s::uuid"
        " AND p.epoch IN (SELECT number FROM epoch WHERE holder = %s::bigint) ORDER BY p.id LIMIT %s::integer) mine"
        " JOIN kept k USING (id) ORDER BY k.id"
    )
    return _reading(by, sql, (_uuid(after), by.number, limit), lambda rows: tuple(map(_kept, rows)))


def accept(by: Epoch, offers: Sequence[Offer]) -> Work:
    """See Store."""
    rules.check_offers(offers)
    ids, cents, times = zip(*offers, strict=True)
    sql = f"SELECT at, (one).* FROM accept({_BY}, %s::uuid[], %s::bigint[], %s::bigint[])"

    def judge(row: int, kept: Kept | None) -> Verdict:
        if kept is None:
            raise AgainError  # it was forgotten between two statements
        return Verdict.SAME if kept.cents == offers[row].cents else Verdict.CONFLICT

    return _one(by, sql, (_uuids(ids), list(cents), list(times)), lambda rows: _rows(len(offers), rows, judge))


def pin(by: Epoch, pins: Sequence[Pin]) -> Work:
    """See Store."""
    rules.check_pins(pins)
    ids, *columns = zip(*pins, strict=True)
    sql = f"SELECT at, (one).* FROM pin({_BY}, %s::uuid[], %s::integer[], %s::smallint[], %s::bigint[])"

    def judge(row: int, kept: Kept | None) -> Verdict:
        return Verdict.ABSENT if kept is None else _changed_nothing(rules.judge_pin(by, pins[row], kept))

    return _one(by, sql, (_uuids(ids), *map(list, columns)), lambda rows: _rows(len(pins), rows, judge))


def conclude(by: Epoch, outcomes: Sequence[Outcome]) -> Work:
    """See Store."""
    rules.check_outcomes(outcomes)
    ids, kinds, *columns = zip(*outcomes, strict=True)
    sql = (
        f"SELECT at, (one).* FROM conclude({_BY}, %s::uuid[], %s::smallint[], %s::smallint[], %s::bigint[],"
        " %s::bigint[], %s::smallint[], %s::integer[])"
    )

    def judge(row: int, kept: Kept | None) -> Verdict:
        return Verdict.ABSENT if kept is None else _changed_nothing(rules.judge_outcome(by, outcomes[row], kept))

    arguments = (_uuids(ids), list(map(int, kinds)), *map(list, columns))
    return _one(by, sql, arguments, lambda rows: _rows(len(outcomes), rows, judge))


def _changed_nothing(verdict: Verdict) -> Verdict:
    if verdict == Verdict.NEW:
        raise AgainError
    return verdict


def reopen(by: Epoch, identity: bytes, act: bytes) -> Work:
    """See Store."""
    rules.check_id(identity)
    rules.check_id(act)
    sql = f"SELECT verdict, (one).* FROM reopen({_BY}, %s::uuid, %s::uuid)"

    def read(rows: Rows) -> Row:
        verdict, *kept = rows[0]
        return Row(Verdict(verdict), None if kept[0] is None else _kept(kept))

    return _one(by, sql, (_uuid(identity), _uuid(act)), read)


def find(by: Epoch, ids: Sequence[bytes]) -> Work:
    """See Store."""
    rules.check_ids(ids)

    def read(rows: Rows) -> tuple[Kept | None, ...]:
        found = {kept.id: kept for kept in map(_kept, rows)}
        return tuple(found.get(identity) for identity in ids)

    return _reading(by, "SELECT * FROM kept WHERE id = ANY(%s::uuid[])", (_uuids(ids),), read)


def follow(by: Epoch, cell: int, since: int, limit: int) -> Work:
    """See Store. One statement reads all of it, so that entries and ``end`` belong together."""
    rules.check_limit(limit, since)
    sql = (
        "SELECT t.up_to, n.newest, e.* FROM cell c JOIN counter n ON n.cell = c.number"
        " JOIN trimmed t ON t.cell = c.number LEFT JOIN LATERAL (SELECT sequence, cents, id, kind, processor,"
        " requested_ms, ended_ms, reason, pins FROM entry WHERE cell = c.number AND sequence > greatest(%s, t.up_to)"
        " ORDER BY sequence LIMIT %s) e ON true WHERE c.number = %s ORDER BY e.sequence"
    )

    def read(rows: Rows) -> Page:
        begin, end = _known(cell, rows)[0][:2]
        entries = (Entry(row[2], row[3], _outcome(row[4:])) for row in rows if row[2] is not None)
        return Page(tuple(entries), begin, end)

    return _reading(by, sql, (since, limit, cell), read)


def folded(by: Epoch, cell: int) -> Work:
    """See Store."""
    sql = (
        "SELECT t.up_to, f.kind, f.processor, f.minute_ms, f.payments, f.cents FROM trimmed t"
        " LEFT JOIN folded f USING (cell) WHERE t.cell = %s ORDER BY f.kind, f.processor, f.minute_ms"
    )

    def read(rows: Rows) -> Folded:
        sums = (Sum(Kind(row[1]), row[2], row[3], row[4], int(row[5])) for row in rows if row[1] is not None)
        return Folded(_known(cell, rows)[0][0], tuple(sums))

    return _reading(by, sql, (cell,), read)


def discrepancies(by: Epoch, since: int, limit: int) -> Work:
    """See Store."""
    rules.check_limit(limit, since)
    sql = (
        "SELECT number, epoch, id, kind, processor, requested_ms, ended_ms, reason, pins, id, first_kind,"
        " first_processor, first_requested_ms, first_ended_ms, first_reason, first_pins FROM discrepancy"
        " WHERE number > %s ORDER BY number LIMIT %s"
    )
    return _reading(by, sql, (since, limit), lambda rows: tuple(map(_discrepancy, rows)))


def ask(by: Epoch, subject: int, pause_ms: int) -> Work:
    """See Store."""
    rules.check_question(subject, pause_ms)
    sql = f"SELECT * FROM ask({_BY}, %s::smallint, %s::bigint)"
    return _one(by, sql, (subject, pause_ms), lambda rows: Question(*rows[0]))


def answer(by: Epoch, subject: int, asked_ms: int, status: int, body: bytes) -> Work:
    """See Store."""
    rules.check_answer(subject, asked_ms, status, body)
    sql = (
        "UPDATE question SET answered_ms = %(at)s, status = %(status)s, body = %(body)s WHERE subject = %(subject)s"
        " AND answered_ms < %(at)s AND asked_ms >= %(at)s RETURNING subject"
    )
    named: Any = {"at": asked_ms, "status": status, "body": body, "subject": subject}
    return _reading(by, sql, named, lambda rows: None)


def questions(by: Epoch) -> Work:
    """See Store."""
    sql = "SELECT * FROM question ORDER BY subject"
    return _reading(by, sql, (), lambda rows: tuple(Question(*row) for row in rows))


def purge(by: Epoch) -> Work:
    """See Store."""
    return _one(by, f"SELECT purge({_BY})", (), lambda rows: int(rows[0][0]))


def forget(by: Epoch, cell: int, before_ms: int, limit: int) -> Work:
    """See Store."""
    rules.check_limit(limit)
    sql = f"SELECT forget({_BY}, %s::smallint, %s::bigint, %s::integer)"
    return _one(by, sql, (cell, before_ms, limit), lambda rows: int(_known(cell, rows)[0][0]))


def _uuid(identity: bytes) -> UUID:
    return UUID(bytes=identity)


def _uuids(ids: Sequence[bytes]) -> list[UUID]:
    return [UUID(bytes=identity) for identity in ids]


def _known(cell: int, rows: Rows) -> Rows:
    if not rows or rows[0][0] is None:
        raise ValueError(f"there is no cell {cell}")
    return rows


def _rows(count: int, rows: Rows, judge: Callable[[int, Kept | None], Verdict]) -> tuple[Row, ...]:
    """The rows of a batch: those that PostgreSQL does not tell are NEW."""
    result = [Row(Verdict.NEW)] * count
    for at, *columns in rows:
        kept = None if columns[0] is None else _kept(columns)
        result[at - 1] = Row(judge(at - 1, kept), kept)
    return tuple(result)


def _kept(row: Sequence[Any]) -> Kept:
    """A row of the view ``kept``."""
    identity, cents, accepted_ms, epoch, holder, pins, processor, requested_ms, pin_epoch, *ended = row
    pinned = None if processor is None else Pin(identity.bytes, pins, processor, requested_ms)
    outcome = None if ended[0] is None else _outcome((identity, *ended))
    return Kept(identity.bytes, cents, accepted_ms, epoch, holder, pins, pinned, pin_epoch or 0, outcome)


def _outcome(row: Sequence[Any]) -> Outcome:
    identity, kind, *words = row
    return Outcome(identity.bytes, Kind(kind), *words)


def _discrepancy(row: Sequence[Any]) -> Discrepancy:
    return Discrepancy(row[0], row[1], _outcome(row[2:9]), _outcome(row[9:16]))
