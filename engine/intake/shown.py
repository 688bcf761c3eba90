"""A payment as clients are shown it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from engine.correlation import format_id
from engine.intake import payment
from engine.memory import layout
from engine.payment import Payment

UNKNOWN: Final = "unknown"  # it was accepted, and what became of it is not recorded


class Shown(NamedTuple):
    """What is said of a payment.

    ``status``: a word of ``layout.STATE_NAMES``, or UNKNOWN. ``cents``: None: not known; ``settled_cents``: what its
    processor has stored, if that is another amount. Times are ms since 1970 UTC. The rest as in Payment.
    """

    status: str
    cents: int | None
    processor: int | None
    attempts: int
    accepted_ms: int
    requested_ms: int | None
    settled_ms: int | None
    reason: int
    is_before: bool
    settled_cents: int | None


def is_elsewhere(found: Payment) -> bool:
    """Whether memory has no more than the id: on a cell, another one has the payment then, or had it."""
    return found.state == layout.PARKED or (found.state == layout.COMPLETED and not found.settled_ms)


def of_memory(found: Payment) -> Shown:
    """A payment as a slot or a parking place has it."""
    # If a payment waits (again), the dispatcher's words may be an older payment's, or those of a failed attempt.
    attempted = found.state in (layout.PROCESSING, layout.ALREADY, layout.COMPLETED, layout.CHARGED_BEFORE)
    settled = found.state in (layout.COMPLETED, layout.FAILED, layout.CHARGED_BEFORE)
    # In a slot that is not done, the reason is still an older payment's; a parking place has its own.
    reason = found.reason if settled or found.is_parked else layout.REASON_NONE
    return Shown(
        layout.STATE_NAMES[found.state],
        found.cents,
        found.processor if attempted else None,
        found.attempts,
        found.accepted_ms,
        found.requested_ms if attempted else None,
        found.settled_ms if settled and found.settled_ms else None,
        reason,
        found.state == layout.CHARGED_BEFORE,
        found.first_ms if settled and reason == layout.REASON_AMOUNT else None,
    )


def document(id_high: int, id_low: int, shown: Shown, names: Sequence[str]) -> bytes:
    """The JSON of ``/payments/{correlationId}/status``. ``names``: the processors'."""
    settled_cents = None if shown.settled_cents is None else orjson.Fragment(payment.format_cents(shown.settled_cents))
    document: dict[str, Any] = {
        "correlationId": format_id(id_high, id_low),
        "status": shown.status,
        "amount": None if shown.cents is None else orjson.Fragment(payment.format_cents(shown.cents)),
        "processor": name(shown.processor, names),
        "attempts": shown.attempts,
        "acceptedAt": instant(shown.accepted_ms),
        "requestedAt": instant(shown.requested_ms),
        "settledAt": instant(shown.settled_ms),
        "reason": layout.REASON_NAMES[shown.reason],
        "chargedBefore": shown.is_before,
        "settledAmount": settled_cents,
    }
    return orjson.dumps(document)


def name(processor: int | None, names: Sequence[str]) -> str | None:
    """The name of a processor; None: none, or one that has left the list."""
    return None if processor is None or processor >= len(names) else names[processor]


def instant(ms: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
