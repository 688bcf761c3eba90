"""What memory has for a person to decide, as documents. All raise UNREADABLE errors where it cannot be read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from engine.acts import rules
from engine.books.reader import BooksBusyError
from engine.console.recorded import at
from engine.correlation import format_id, halves
from engine.ledger.database import wall_ms
from engine.ledger.report_text import amount
from engine.ledger.rows import OPEN
from engine.memory import layout
from engine.memory.acts_layout import Act, Result
from engine.memory.errors import SegmentError
from engine.operate import memory as operate_memory
from engine.operate.carrying import SENTENCES
from engine.operate.selection import Selection, dead_letters
from engine.operate.text import WORDS, why
from engine.payment import Payment
from engine.settings import Settings

UNREADABLE: Final = (SegmentError, BooksBusyError, OSError)


def letters(settings: Settings, limit: int) -> dict[str, Any]:
    """The dead letters that memory holds, the oldest first."""
    found = operate_memory.letters(settings)
    chosen = dead_letters(found.payments, Selection())
    return {
        "count": len(chosen),
        "amount": amount(sum(one.cents for one in chosen)),
        "inLedgerOnly": found.dropped,
        "items": [_letter(one, found.names) for one in chosen[:limit]],
    }


def _letter(one: Payment, names: Sequence[str]) -> dict[str, Any]:
    has_failed = one.state == layout.FAILED
    return {
        "id": format_id(one.id_high, one.id_low),
        "state": "failed" if has_failed else "unknown",
        "why": why(one),
        "processor": None if has_failed else names[one.processor],
        "attemptCount": one.attempts,
        "amount": amount(one.cents),
        "acceptedAt": at(one.accepted_ms),
        "since": at(one.settled_ms),
    }


def offered(settings: Settings, identity: uuid.UUID) -> list[dict[str, Any]]:
    """What may be done now with a payment that memory holds as one that a person may decide, and why not more."""
    wanted = halves(identity.bytes)
    found = [one for one in operate_memory.letters(settings).payments if (one.id_high, one.id_low) == wanted]
    if not found or found[0].state not in (*OPEN, layout.FAILED):
        return []
    decided = {act: rules.decide(act, found[0], wall_ms()) for act in (Act.ASK, Act.RETRY, Act.CHARGED, Act.CANCEL)}
    return [
        {"act": WORDS[act], "isOffered": result is Result.DONE, "why": SENTENCES[result]}
        for act, result in decided.items()
    ]
