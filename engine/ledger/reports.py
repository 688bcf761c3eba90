"""What a ledger tells about a stretch of time, by minute, hour or day (UTC), for ``python -m engine report``.

Each report reads the rows of its stretch by an index on their time. A day is 86,400,000 ms since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.ledger import advice as advised
from engine.ledger import schema
from engine.ledger.database import Database
from engine.ledger.fees import Fees
from engine.ledger.money import Money, Part
from engine.ledger.queries import fees, processor_names
from engine.ledger.retention import mean
from engine.ledger.rows import OPEN, OUTCOME_NAMES, PROCESSOR_STATE_NAMES
from engine.memory import layout
from engine.processors import PPM, PROCESSORS_MAX

STEPS_MS: Final = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
CHARGED: Final = (0, 1, 6)  # outcomes after which the processor has the payment: charged, already there, found
NOT_CHARGED: Final = (2, 3, 4)  # rejected, failed, refused
UNKNOWN: Final = 5
ALL: Final = PROCESSORS_MAX  # a row for all processors, behind theirs
OPENED: Final = PROCESSOR_STATE_NAMES.index("open")


class Kind(Enum):
    """What a column has."""

    TIME = "time"  # ms since 1970 UTC
    TEXT = "text"
    COUNT = "count"
    CENTS = "cents"
    BALANCE = "balance"  # cents, of this step and all before it
    MS = "ms"
    US = "us"


class Column(NamedTuple):
    """A column: its name in CSV and JSON, which ends with the unit, and what it has.

    ``title``: in a table; a table has no column without one.
    """

    name: str
    title: str
    kind: Kind = Kind.COUNT

    @property
    def label(self) -> str:
        """What a picture calls it: its name without the unit."""
        return self.name.removesuffix(f"_{self.kind.value}").replace("_", " ")


class Report(NamedTuple):
    """A report: rows in the order of their time."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]


class Stretch(NamedTuple):
    """From ``from_ms`` to ``to_ms``, the end excluded, in steps of ``step_ms``."""

    from_ms: int
    to_ms: int
    step_ms: int

    def contains(self, at: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        """Whether a time lies in it."""
        return sa.and_(at >= self.from_ms, at < self.to_ms)

    def step(self, at: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """When the step of a time begins."""
        return (at - at % sa.literal_column(str(self.step_ms))).label("step")


Make = Callable[[Database, Stretch], Report]
TIME: Final = Column("time", "time", Kind.TIME)
PROCESSOR: Final = Column("processor", "processor", Kind.TEXT)


def payments(database: Database, stretch: Stretch) -> Report:
    """What became of the payments that were accepted in each step."""
    own = schema.payment.c
    query = sa.select(
        stretch.step(own.accepted_ms),
        sa.func.count(),
        sa.func.sum(own.cents),
        *(_count(own.state.in_(states)) for states in ((layout.COMPLETED,), (layout.FAILED,), OPEN)),
        _count(own.state == layout.CHARGED_BEFORE),
        sa.func.sum(own.fee_cents),
        _of(own.state == layout.COMPLETED, own.waited_ms, sa.func.avg),
        _of(own.state == layout.COMPLETED, own.waited_ms, sa.func.max),
    ).where(stretch.contains(own.accepted_ms))
    columns = (
        TIME, Column("accepted", "accepted"), Column("amount_cents", "amount", Kind.CENTS), Column("completed", "done"),
        Column("failed", "failed"), Column("open", "open"), Column("charged_before", "before"),
        Column("fee_cents", "fee", Kind.CENTS), Column("waited_mean_ms", "wait", Kind.MS),
        Column("waited_max_ms", "", Kind.MS),
    )  # fmt: skip
    return Report(columns, _rows(database, _grouped(query, 1)))


def attempts(database: Database, stretch: Stretch) -> Report:
    """What was sent to each processor in each step, and how it ended."""
    own = schema.attempt.c
    is_request = own.is_lookup == 0
    query = sa.select(
        stretch.step(own.began_ms),
        own.processor,
        _count(is_request),
        _count(sa.and_(is_request, own.number > 1)),
        _count(own.is_lookup == 1),
        _count(own.outcome.in_(CHARGED)),
        _count(own.outcome.in_(NOT_CHARGED)),
        _count(own.outcome == UNKNOWN),
        _count(own.ended_ms.is_(None)),
    ).where(stretch.contains(own.began_ms))
    columns = (
        TIME, PROCESSOR, Column("requests", "sent"), Column("repeated", "again"), Column("lookups", "lookups"),
        Column("charged", "charged"), Column("not_charged", "not"), Column("unknown", "unknown"),
        Column("unanswered", "open"),
    )  # fmt: skip
    return Report(columns, _named(database, _rows(database, _grouped(query, 2))))


def latency(database: Database, stretch: Stretch) -> Report:
    """How long requests for payments took until their answers: exact quantiles."""
    own = schema.attempt.c
    among = [stretch.step(own.began_ms), own.processor]
    ranked = (
        sa.select(
            stretch.step(own.began_ms),
            own.processor,
            own.latency_us,
            sa.func.row_number().over(partition_by=among, order_by=own.latency_us).label("rank"),
            sa.func.count().over(partition_by=among).label("total"),
        )
        .where(stretch.contains(own.began_ms), own.is_lookup == 0, own.latency_us.is_not(None))
        .subquery()
    )
    at = ranked.c

    def quantile(percent: int) -> Any:
        # The smallest latency that at least this share is not above.
        return sa.func.max(sa.case((at.rank == (at.total * percent + 99) // 100, at.latency_us)))

    query = sa.select(at.step, at.processor, sa.func.count(), *map(quantile, (50, 90, 99)), sa.func.max(at.latency_us))
    columns = (
        TIME, PROCESSOR, Column("answered", "answered"), Column("p50_us", "p50", Kind.US),
        Column("p90_us", "p90", Kind.US), Column("p99_us", "p99", Kind.US), Column("max_us", "max", Kind.US),
    )  # fmt: skip
    return Report(columns, _named(database, _rows(database, _grouped(query, 2))))


def failures(database: Database, stretch: Stretch) -> Report:
    """What did not go well, by outcome, HTTP status and error; lookups among it."""
    own = schema.attempt.c
    query = sa.select(
        stretch.step(own.began_ms), own.processor, own.outcome, own.status, own.error, sa.func.count()
    ).where(stretch.contains(own.began_ms), own.outcome.not_in(CHARGED))
    rows = [
        (*key, OUTCOME_NAMES.get(outcome, str(outcome)), status, error, count)
        for *key, outcome, status, error, count in _rows(database, _grouped(query, 5))
    ]
    columns = (
        TIME, PROCESSOR, Column("outcome", "outcome", Kind.TEXT), Column("status", "status", Kind.TEXT),
        Column("error", "error", Kind.TEXT), Column("attempts", "attempts"),
    )  # fmt: skip
    return Report(columns, _named(database, rows))


def processors(database: Database, stretch: Stretch) -> Report:
    """What each processor settled (by requestedAt), what it said of its health, and how often its breaker opened."""
    own, health, state = schema.payment.c, schema.processor_health.c, schema.processor_state.c
    settled = sa.select(stretch.step(own.requested_ms), own.processor, sa.func.count(), sa.func.sum(own.cents)).where(
        *_settled(stretch)
    )
    answers = sa.select(
        stretch.step(health.at_ms), health.processor, sa.func.count(), _count(health.failing == 1),
        sa.func.max(health.min_response_ms),
    ).where(stretch.contains(health.at_ms))  # fmt: skip
    opened = sa.select(stretch.step(state.at_ms), state.processor, _count(state.state == OPENED)).where(
        stretch.contains(state.at_ms)
    )
    found = dict[tuple[int, int], list[Any]]()
    for begin, query in ((0, settled), (2, answers), (5, opened)):
        for step, number, *values in _rows(database, _grouped(query, 2)):
            row = found.setdefault((step, number), [0, 0, 0, 0, None, 0])
            row[begin : begin + len(values)] = values
    columns = (
        TIME, PROCESSOR, Column("settled", "settled"), Column("amount_cents", "amount", Kind.CENTS),
        Column("health_answers", "health"), Column("failing", "failing"),
        Column("min_response_max_ms", "slowest", Kind.MS), Column("opened", "opened"),
    )  # fmt: skip
    return Report(columns, _named(database, [(*key, *values) for key, values in sorted(found.items())]))


def samples(database: Database, stretch: Stretch) -> Report:
    """Accepting, settling and the backlog: sums, the means of medians, and the worst of the rest."""
    own = schema.sample.c
    query = sa.select(schema.sample).where(stretch.contains(own.at_ms)).order_by(own.at_ms)
    steps = dict[int, list[Any]]()
    for row in _rows(database, query):
        sample = dict(zip(own.keys(), row, strict=True))
        steps.setdefault(sample["at_ms"] - sample["at_ms"] % stretch.step_ms, []).append(sample)
    rows = [
        (
            step,
            sum(one["accepted"] for one in some),
            sum(one["settled"] for one in some),
            mean((one["accept_p50_us"], one["accepted"]) for one in some),
            _worst(one["accept_p99_us"] for one in some),
            mean((one["settle_p50_us"], one["settled"]) for one in some),
            _worst(one["settle_p99_us"] for one in some),
            max(one["backlog"] for one in some),
        )
        for step, some in steps.items()
    ]
    columns = (
        TIME, Column("accepted", "accepted"), Column("settled", "settled"),
        Column("accept_p50_us", "accept p50", Kind.US), Column("accept_p99_us", "p99", Kind.US),
        Column("settle_p50_us", "settle p50", Kind.US), Column("settle_p99_us", "p99", Kind.US),
        Column("backlog_max", "backlog"),
    )  # fmt: skip
    return Report(columns, rows)


def money(database: Database, stretch: Stretch) -> Report:
    """What was charged (by requestedAt) at each processor and at all, its fees, the net, and the net so far."""
    now, so_far = dict[tuple[int, int], Money](), dict[int, Money]()
    for step, number, part in _parts(database, stretch):
        for key in (number, ALL):
            now.setdefault((step, key), Money()).add(part)
    names = {**processor_names(database), ALL: "(all)"}
    rows = list[tuple[Any, ...]]()
    for (step, number), one in sorted(now.items()):
        total = so_far.setdefault(number, Money())
        total.join(one)
        rows.append(
            (step, names.get(number, str(number)), one.payments, one.cents, one.fee_cents, one.net_cents,
             total.net_cents, one.cheapest_cents, one.unknown_cents)
        )  # fmt: skip
    columns = (
        TIME, Column("processor", "at", Kind.TEXT), Column("payments", ""), Column("gross_cents", "gross", Kind.CENTS),
        Column("fee_cents", "fee", Kind.CENTS), Column("net_cents", "net", Kind.CENTS),
        Column("net_so_far_cents", "net so far", Kind.BALANCE), Column("cheapest_fee_cents", "least fee", Kind.CENTS),
        Column("fee_not_known_gross_cents", "", Kind.CENTS),
    )  # fmt: skip
    return Report(columns, rows)


def advice(database: Database, stretch: Stretch) -> Report:
    """What was advised about windows that begin in the stretch; a row for each variable that an advice changes."""
    columns = (
        TIME, Column("until", "", Kind.TIME), Column("variable", "setting", Kind.TEXT), Column("value_now", "now"),
        Column("value_advised", "to"), Column("gain_cents", "gain", Kind.CENTS),
        Column("error_cents", "error", Kind.CENTS), *(Column(name, "", Kind.CENTS) for name in advised.CENTS),
        *(Column(name, "", Kind.MS) for name in advised.WAITS),
        *(Column(name, "", Kind.TEXT) for name in advised.WORDS),
    )  # fmt: skip
    found = advised.shown(database, stretch.contains(advised.table.c.from_ms))
    return Report(columns, [tuple(one[column.name] for column in columns) for one in found])


REPORTS: Final[dict[str, Make]] = {
    "payments": payments,
    "attempts": attempts,
    "latency": latency,
    "failures": failures,
    "processors": processors,
    "money": money,
    "samples": samples,
    "advice": advice,
}


def _parts(database: Database, stretch: Stretch) -> Iterator[tuple[int, int, Part]]:
    """What was charged, by step, processor, fee, and the lowest fee of the time."""
    own, known = schema.payment.c, Fees(fees(database))
    changes = known.changes(stretch.from_ms, stretch.to_ms)
    since: Any = sa.literal_column(str(stretch.from_ms))
    if changes:
        since = sa.case(*((own.requested_ms >= at_ms, at_ms) for at_ms in reversed(changes)), else_=stretch.from_ms)
    query = sa.select(
        stretch.step(own.requested_ms), own.processor, own.fee_ppm, since.label("since"), sa.func.count(),
        # SQLite's sums end at 63 bits: of the amounts' high and low digits there is room for 10^12 payments.
        sa.func.sum(own.cents // sa.literal_column(str(PPM), sa.Integer())),
        sa.func.sum(own.cents % sa.literal_column(str(PPM), sa.Integer())),
    ).where(*_settled(stretch))  # fmt: skip
    for step, number, fee_ppm, since_ms, count, high, low in _rows(database, _grouped(query, 4)):
        yield step, number, Part(count, high * PPM + low, fee_ppm, known.cheapest(since_ms))


def _settled(stretch: Stretch) -> list[Any]:
    """What was charged in the stretch, of all eras: each era and processor is read from the index of windows."""
    own = schema.payment.c
    eras = sa.select(schema.era.c.number).union(sa.select(schema.cursor.c.era))
    return [
        sa.text(schema.IS_COMPLETED), own.era.in_(eras), own.processor.in_(range(PROCESSORS_MAX)),
        stretch.contains(own.requested_ms),
    ]  # fmt: skip


def _count(condition: Any) -> Any:
    return sa.func.count(sa.case((condition, sa.literal_column("1"))))


def _of(condition: Any, value: Any, aggregate: Any) -> Any:
    return aggregate(sa.case((condition, value)))


def _grouped(query: sa.Select[Any], keys: int) -> sa.Select[Any]:
    """``query`` by its first ``keys`` columns, and in their order."""
    places: list[Any] = [sa.literal_column(str(number + 1)) for number in range(keys)]
    return query.group_by(*places).order_by(*places)


def _rows(database: Database, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        # Sums and means of PostgreSQL are decimals.
        return [
            tuple(value if value is None or isinstance(value, str) else int(value) for value in row)
            for row in connection.execute(query)
        ]


def _named(database: Database, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows whose second value is a processor's number, with its name instead."""
    names = processor_names(database)
    return [(step, names.get(number, str(number)), *values) for step, number, *values in rows]


def _worst(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
