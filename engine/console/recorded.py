"""What the console shows of the ledger, as documents. Every call opens the ledger, reads, and closes it again: no
connection is held open while nobody looks, and a ledger that was away is there as soon as it is back.

All raise LedgerError, where it cannot be read.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import uuid
from collections.abc import Iterator
from typing import Any, Final

from engine.console.problem import BadRequestError
from engine.ledger import acts as ledger_acts
from engine.ledger import processor_history, queries
from engine.ledger.command import opened
from engine.ledger.database import Database
from engine.ledger.queries import Place
from engine.ledger.report_text import amount, iso
from engine.ledger.reports import REPORTS, STEPS_MS, Kind, Report, Stretch
from engine.ledger.rows import OPEN, OUTCOME_NAMES, PROCESSOR_STATE_NAMES, STATE_NAMES, AttemptRow, PaymentRow
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from engine.operate.text import WORDS
from engine.reconcile import cases
from engine.settings import Settings

LIMIT_SECONDS: Final = 5.0
PAGE: Final = 50
PAGE_MAX: Final = 200
STATES: Final = {
    "queued": (layout.QUEUED,),
    "processing": (layout.PROCESSING, layout.PARKED, layout.ALREADY),
    "open": OPEN,
    "completed": (layout.COMPLETED,),
    "failed": (layout.FAILED,),
    "charged-before": (layout.CHARGED_BEFORE,),
}
ROWS_MAX: Final = 5000  # of a report


class Recorded:
    """The ledger of an engine with these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = dict(enumerate(settings.processors.names))

    @property
    def is_on(self) -> bool:
        """Whether there is one."""
        return self._settings.ledger.is_on

    def summary(self) -> dict[str, Any]:
        """What the first screen has of it: when the books were last found equal, and what is open."""
        with self._opened() as database:
            reached_ms = cases.reached_ms(database)
            still_open = [one for one in cases.newest(database) if cases.is_open(one.finding)]
        return {"reconciledUntil": None if reached_ms is None else at(reached_ms), "exceptions": len(still_open)}

    def payments(
        self,
        *,
        state: str | None,
        processor: str | None,
        from_ms: int,
        to_ms: int,
        cents: tuple[int, int] | None,
        cursor: str | None,
        limit: int,
    ) -> dict[str, Any]:
        """A page of payments, the newest first. ``cents``: the least and the highest amount."""
        number = None if processor is None else self._number(processor)
        behind = None if cursor is None else place_of(cursor)
        states = () if state is None else STATES[state]
        with self._opened() as database:
            rows = queries.page(
                database, states=states, processor=number, from_ms=from_ms, to_ms=to_ms, cents=cents, behind=behind,
                limit=limit + 1,
            )  # fmt: skip
        items = [self._payment(row) for row in rows[:limit]]
        return {"items": items, "next": cursor_of(rows[limit - 1]) if len(rows) > limit else None}

    def payment(self, identity: uuid.UUID) -> dict[str, Any] | None:
        """A payment with its attempts and what people have done with it; None: the ledger has none."""
        with self._opened() as database:
            row = queries.find(database, identity.bytes)
            if row is None:
                return None
            attempts = queries.attempts(database, identity.bytes, row.era)
            acts = ledger_acts.of_payment(database, identity.bytes)
        return self._payment(row) | {
            "attempts": [self._attempt(one) for one in attempts],
            "acts": [
                {
                    "action": str(uuid.UUID(bytes=one.action)),
                    "act": WORDS[Act(one.act)],
                    "who": one.who,
                    "why": one.why,
                    "evidence": one.evidence,
                    "at": at(one.created_ms),
                    "result": None if one.result is None else _words(Result(one.result).name),
                }
                for one in acts
            ],
        }

    def actions(self, cursor: str | None, limit: int) -> dict[str, Any]:
        """A page of operators' acts, the newest first: who, what, when, why."""
        behind = None if cursor is None else place_of(cursor)
        with self._opened() as database:
            rows = ledger_acts.page(
                database, behind=None if behind is None else (behind.accepted_ms, behind.id), limit=limit + 1
            )
        items = [
            {
                "id": str(uuid.UUID(bytes=one.id)),
                "act": WORDS[Act(one.act)],
                "processor": None if one.processor is None else self._name(one.processor),
                "who": one.who,
                "why": one.why,
                "evidence": one.evidence,
                "selection": one.selection,
                "payments": one.payments,
                "amount": amount(one.cents),
                "at": at(one.created_ms),
            }
            for one in rows[:limit]
        ]
        last = rows[limit - 1] if len(rows) > limit else None
        return {"items": items, "next": None if last is None else _cursor(last.created_ms, last.id, 0)}

    def exceptions(self, *, only_open: bool) -> dict[str, Any]:
        """What reconciliation has found, the newest first."""
        with self._opened() as database:
            found = cases.newest(database)
            reached_ms = cases.reached_ms(database)
        items = [
            {
                "number": one.number,
                "version": one.version,
                "state": one.finding.state,
                "isOpen": cases.is_open(one.finding),
                "against": one.finding.against,
                "processor": self._name(one.finding.processor),
                "from": at(one.finding.span.from_ms),
                "to": at(one.finding.span.to_ms),
                "payments": one.finding.difference.payments,
                "amount": amount(one.finding.difference.cents),
                "id": None if one.finding.id is None else str(uuid.UUID(bytes=one.finding.id)),
                "evidence": one.finding.evidence,
                "decidedBy": one.decided_by,
                "at": at(one.created_ms),
            }
            for one in reversed(found)
            if not only_open or cases.is_open(one.finding)
        ]
        return {"reconciledUntil": None if reached_ms is None else at(reached_ms), "items": items[:PAGE_MAX]}

    def reconciliations(self, limit: int) -> list[dict[str, Any]]:
        """The last runs of reconciliation, the newest first."""
        with self._opened() as database:
            runs = cases.runs(database, limit)
        return [
            {
                "number": number,
                "from": at(run.span.from_ms),
                "to": at(run.span.to_ms),
                "isDeep": run.is_deep,
                "windows": run.windows,
                "summaries": run.summaries,
                "lookups": run.lookups,
                "found": found,
                "failure": run.failure or None,
                "beganAt": at(run.began_ms),
                "endedAt": at(ended_ms),
            }
            for number, ended_ms, found, run in runs
        ]

    def history(self, from_ms: int, to_ms: int, limit: int) -> dict[str, Any]:
        """How processors were: changes of their states, what they said of their health, and their fees."""
        with self._opened() as database:
            states = processor_history.states(database, from_ms, to_ms, limit)
            health = processor_history.health(database, from_ms, to_ms, limit)
            fees = sorted(queries.fees(database), key=lambda row: row.valid_from_ms, reverse=True)
        return {
            "states": [
                {
                    "at": at(one.at_ms),
                    "processor": self._name(one.processor),
                    "state": PROCESSOR_STATE_NAMES[one.state],
                    "failingPercent": None if one.rate_ppm is None else one.rate_ppm / 10_000,
                }
                for one in states
            ],
            "health": [
                {
                    "from": at(one.from_ms),
                    "to": at(one.to_ms),
                    "processor": self._name(one.processor),
                    "isFailing": one.failing,
                    "minResponseMs": one.min_response_ms,
                    "status": one.status,
                    "answers": one.answers,
                }
                for one in health
            ],
            "fees": [
                {
                    "processor": self._name(one.processor),
                    "validFrom": at(one.valid_from_ms),
                    "percent": one.ppm / 10_000,
                }
                for one in fees[:limit]
            ],
        }

    def report(self, name: str, from_ms: int, to_ms: int, by: str) -> dict[str, Any]:
        """A report of the ledger; money and durations as its columns say."""
        step_ms = STEPS_MS[by]
        if (to_ms - from_ms) // step_ms > ROWS_MAX:
            raise BadRequestError("by", f"more than {ROWS_MAX} steps: take a longer one")
        with self._opened() as database:
            report = REPORTS[name](database, Stretch(from_ms, to_ms, step_ms))
        return {"columns": _columns(report), "rows": [_row(report, row) for row in report.rows[:ROWS_MAX]]}

    def _payment(self, row: PaymentRow) -> dict[str, Any]:
        return {
            "id": _id(row.id),
            "state": STATE_NAMES[row.state],
            "reason": layout.REASON_NAMES[row.reason] or None,
            "processor": None if row.processor is None else self._name(row.processor),
            "attemptCount": row.attempts,
            "amount": amount(row.cents),
            "acceptedAt": at(row.accepted_ms),
            "requestedAt": None if row.requested_ms is None else at(row.requested_ms),
            "settledAt": None if row.settled_ms is None else at(row.settled_ms),
            "feePpm": row.fee_ppm,
        }

    def _attempt(self, one: AttemptRow) -> dict[str, Any]:
        return {
            "number": one.number,
            "processor": self._name(one.processor),
            "isLookup": one.is_lookup,
            "beganAt": None if one.began_ms is None else at(one.began_ms),
            "endedAt": None if one.ended_ms is None else at(one.ended_ms),
            "outcome": None if one.outcome is None else OUTCOME_NAMES.get(one.outcome, str(one.outcome)),
            "status": one.status,
            "error": one.error,
            "latencyMs": None if one.latency_us is None else one.latency_us / 1000,
        }

    def _name(self, number: int) -> str:
        return self._names.get(number, str(number))

    def _number(self, name: str) -> int:
        for number, known in self._names.items():
            if known == name:
                return number
        raise BadRequestError("processor", f"the processors are {', '.join(self._names.values())}")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Database]:
        database = opened(self._settings, LIMIT_SECONDS)
        try:
            yield database
        finally:
            database.close()


def at(ms: int) -> str:
    """A time as the API has it: ISO 8601, UTC, always with milliseconds, so that its order is that of its text."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


def place_of(cursor: str) -> Place:
    """Where a page ended. Raises BadRequestError for what is no cursor of ours."""
    try:
        at_ms, identity, era = base64.urlsafe_b64decode(cursor.encode() + b"==").split(b":")
        return Place(int(at_ms), uuid.UUID(identity.decode()).bytes, int(era))
    except (ValueError, binascii.Error) as error:
        raise BadRequestError("cursor", "it is not one that a page before has given") from error


def cursor_of(row: PaymentRow) -> str:
    """Where a page ends, for the next one."""
    return _cursor(row.accepted_ms, row.id, row.era)


def _cursor(at_ms: int, identity: bytes, era: int) -> str:
    return base64.urlsafe_b64encode(f"{at_ms}:{uuid.UUID(bytes=identity)}:{era}".encode()).decode().rstrip("=")


def _columns(report: Report) -> list[dict[str, str]]:
    return [{"name": one.name, "title": one.label, "kind": one.kind.value} for one in report.columns]


def _row(report: Report, row: tuple[Any, ...]) -> list[Any]:
    return [_cell(column.kind, value) for column, value in zip(report.columns, row, strict=True)]


def _cell(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind is Kind.TIME:
        return iso(value)
    return amount(value) if kind in (Kind.CENTS, Kind.BALANCE) else value


def _id(identity: bytes) -> str:
    return str(uuid.UUID(bytes=identity))


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
