"""The newest payments of a stretch of time, each with its attempts: who has just paid finds their payment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.correlation import format_id
from engine.ledger import queries
from engine.ledger.database import Database
from engine.ledger.report_text import amount, duration
from engine.ledger.reports import Stretch
from engine.ledger.rows import OUTCOME_NAMES, STATE_NAMES, AttemptRow, PaymentRow

COUNT: Final = 5  # payments that are shown
ATTEMPTS_SHOWN: Final = 3  # of a payment, the last ones
ATTEMPT_MARGIN: Final = "    "


class Latest(NamedTuple):
    """A payment, and its attempts in their order."""

    payment: PaymentRow
    attempts: Sequence[AttemptRow]


def latest(database: Database, stretch: Stretch) -> list[Latest]:
    """The COUNT newest payments that were accepted in ``stretch``, the newest first. Raises LedgerError."""
    rows = queries.page(database, from_ms=stretch.from_ms, to_ms=stretch.to_ms - 1, limit=COUNT)
    return [Latest(row, queries.attempts(database, row.id, row.era)) for row in rows]


def latest_text(found: Sequence[Latest], names: dict[int, str]) -> str:
    """For people: a line for each payment, its attempts below. ``names``: of the processors, by number."""
    amounts = [amount(one.payment.cents) for one in found]
    width = max(map(len, amounts), default=0)
    lines = ["newest payments"]
    for one, cents in zip(found, amounts, strict=True):
        identity = int.from_bytes(one.payment.id, "big")
        name = format_id(identity >> 64, identity & (1 << 64) - 1)
        lines.append(f"{name}  {cents:>{width}}  {STATE_NAMES[one.payment.state]}")
        if len(one.attempts) > ATTEMPTS_SHOWN:
            lines.append(f"{ATTEMPT_MARGIN}{len(one.attempts) - ATTEMPTS_SHOWN} earlier attempts")
        lines += [ATTEMPT_MARGIN + _attempt(attempt, names) for attempt in one.attempts[-ATTEMPTS_SHOWN:]]
    return "\n".join(lines)


def _attempt(attempt: AttemptRow, names: dict[int, str]) -> str:
    """Such as "default charged in 12.3 ms"."""
    name = names.get(attempt.processor, f"processor {attempt.processor}")
    if attempt.outcome is None:
        return f"{name} {attempt.error or 'under way'}"
    said = OUTCOME_NAMES.get(attempt.outcome, f"outcome {attempt.outcome}")
    took = "" if attempt.latency_us is None else f" in {duration(attempt.latency_us / 1000)}"
    return f"{name} {said}{took}"
