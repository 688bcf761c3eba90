"""What ``/health`` shows, made from the dispatcher's status block, the books and the rings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.books.reader import Totals
from engine.intake import health_of_cell
from engine.intake.acceptor import Usage
from engine.intake.shown import instant
from engine.memory import layout
from engine.memory.status import HEARTBEAT_MS_MAX, LedgerState, LedgerStatus, ProcessorStatus, StatusBlock
from engine.memory.words import Words
from engine.settings import Settings
from engine.situation import DOWN, Condition, Situation, Why, condition_of_word, of_word

# Beside what its own health answer and its breaker say.
TROUBLES = {
    Condition.SLOW: "is slow",
    Condition.LATE: "is late",
    Condition.SILENT: "does not answer",
    Condition.PAUSED: "is paused",
}
LEDGER_TROUBLES = {
    "away": "the ledger's database is away",
    "silent": "the ledger process is down",
    "stopped": "the ledger process is down",
}
LEDGER_SILENT_MS = 15_000  # a transaction of the ledger process may take 10 s


def report(
    books: Words,
    totals: Totals,
    rings: Sequence[Usage],
    settings: Settings,
    now_ms: int,
    clock_ms: int,
    cell: Words | None = None,
) -> dict[str, Any]:
    """The document of ``/health``.

    ``status`` is ``ok`` or ``degraded``. ``reasons`` says why it is degraded. Payments are accepted even then, except
    into a ring that is full. ``payments`` says what happens to those that wait.

    Parameters:
      books: the books' words: the status block and the number of payments parked.
      totals: the payments that are done; read before ``rings``.
      now_ms, clock_ms: the time by the wall clock, and by the engine's.
      cell: the memory of the cell; None: this is none.
    """
    status = StatusBlock(books)
    heartbeat_ms = status.heartbeat_ms
    age_ms = max(0, now_ms - heartbeat_ms) if heartbeat_ms else None
    alive = age_ms is not None and age_ms <= HEARTBEAT_MS_MAX
    names = settings.processors.names
    conditions = [condition_of_word(status.conditions, number) for number in range(len(names))]
    processors = {
        name: _processor(status.processor(number), conditions[number], clock_ms) for number, name in enumerate(names)
    }
    accepted = sum(ring.accepted for ring in rings)
    reasons = [] if alive else ["dispatcher is down"]
    reasons += [f"{name} is failing" for name, shown in processors.items() if shown["failing"]]
    reasons += [f"breaker of {name} is open" for name, shown in processors.items() if shown["breaker"] == "open"]
    reasons += [f"{name} {TROUBLES[one]}" for name, one in zip(names, conditions, strict=True) if one in TROUBLES]
    if books[layout.BOOKS_DEAD_AT]:
        reasons.append(f"dead letters: {books[layout.BOOKS_DEAD_AT]}")
    if books[layout.BOOKS_DISCREPANCIES_AT]:
        reasons.append(f"payments with another amount at their processor: {books[layout.BOOKS_DISCREPANCIES_AT]}")
    ledger = _ledger(books, clock_ms) if settings.ledger.is_on else None
    reasons += [LEDGER_TROUBLES[ledger["state"]]] if ledger and ledger["state"] in LEDGER_TROUBLES else []
    of_cell = None if cell is None else health_of_cell.report(cell, settings.cluster.cell, clock_ms)
    reasons += health_of_cell.troubles(of_cell) if of_cell else []
    reasons += [f"ring {index} {_why_full(ring)}" for index, ring in enumerate(rings) if ring.full]
    situation = of_word(status.situation, len(names))
    document = {
        "status": "degraded" if reasons else "ok",
        "reasons": reasons,
        "payments": situation.sentence(names) if alive else DOWN,
        "routing": _routing(status, situation, conditions, names, (now_ms, clock_ms)) if alive else _down(status),
        "processors": processors,
        "queues": {
            # The books were read first, so every payment that counts as settled also counts as accepted. The 0 is for
            # a purge in between.
            # On a cell the books have what others have settled, so it is what this one holds.
            "pending": of_cell["held"] if of_cell else max(0, accepted - totals.payments),
            "failed": totals.failed.payments,
            # Part of the pending: their outcome has been unknown, or they have been refused, for long.
            "parked": books[layout.BOOKS_PARKED_KEPT_AT],
            # Part of the parked: only a person can find out their outcome.
            "deadLetters": books[layout.BOOKS_DEAD_AT],
            # Beside the books: a processor had the id before we sent it.
            "chargedBefore": totals.before.payments,
            # Beside the books: a person has declared their outcome.
            "declared": totals.declared.payments,
            # Part of the failed: they hold no parking place, so only the ledger can show them.
            "failedInLedgerOnly": books[layout.BOOKS_FAILED_DROPPED_AT],
        },
        "discrepancies": {
            "amountDiffers": books[layout.BOOKS_DISCREPANCIES_AT],
            "unconfirmed": books[layout.BOOKS_UNCONFIRMED_AT],
        },
        "dispatcher": {"alive": alive, "heartbeatAgeMs": age_ms, "errors": status.errors},
        "rings": [{"full": ring.full, "refused": ring.refused} for ring in rings],
        "limits": {
            "ringSlots": settings.storage.ring_slots,
            "pendingMax": settings.storage.ring_slots * len(rings),
            "inFlightMax": settings.routing.in_flight_max,
            "bodyBytesMax": settings.intake.body_bytes_max,
            "amountCentsMax": settings.intake.amount_cents_max,
            "parkedMax": settings.storage.parked_slots,
            "giveUpSeconds": settings.dispatch.give_up_seconds,
            "refusalsMax": settings.dispatch.refusals_max,
            "deadLetterSeconds": settings.dispatch.dead_letter_seconds,
        },
    }
    return document | {name: part for name, part in (("ledger", ledger), ("cell", of_cell)) if part is not None}


def unready(books: Words, lost: str, ring: Usage, now_ms: int, *, is_away: bool = False) -> list[str]:
    """Why a process cannot accept payments and have them settled just now; nothing when it can.

    Parameters:
      books: the books' words.
      lost: what has become of the segments, in words; "" when all are whole.
      ring: how full the process's own ring is.
      now_ms: the time by the wall clock.
      is_away: whether this is a cell that may accept nothing.
    """
    heartbeat_ms = StatusBlock(books).heartbeat_ms
    reasons = [*([lost] if lost else []), *(["the store of the cells does not answer"] if is_away else [])]
    reasons += [f"the ring {_why_full(ring)}"] if ring.full else []
    is_down = not heartbeat_ms or now_ms - heartbeat_ms > HEARTBEAT_MS_MAX
    return [*reasons, "dispatcher is down"] if is_down else reasons


def _routing(
    status: StatusBlock,
    situation: Situation,
    conditions: Sequence[Condition],
    names: Sequence[str],
    now: tuple[int, int],
) -> dict[str, Any]:
    """Where payments go, since when and why. ``now``: by the wall clock, and by the engine's."""
    now_ms, clock_ms = now
    since_ms = now_ms - max(0, clock_ms - status.situation_ms) if status.situation_ms else None
    return {
        "to": [names[number] for number in situation.to],
        "since": instant(since_ms),
        "why": situation.why(conditions),
    }


def _down(status: StatusBlock) -> dict[str, Any]:
    """Nowhere, since the last heartbeat."""
    return {"to": [], "since": instant(status.heartbeat_ms or None), "why": Why.DISPATCHER_DOWN}


def _ledger(books: Words, clock_ms: int) -> dict[str, Any]:
    """How the ledger is. ``lagMs``: SQL has everything that is older than that; null while that is not known."""
    status = LedgerStatus(books)
    state = LedgerState(status.state).name.lower()
    is_silent = status.heartbeat_ms and clock_ms - status.heartbeat_ms > LEDGER_SILENT_MS
    return {
        "state": "silent" if is_silent and status.state != LedgerState.STOPPED else state,
        "lagMs": max(0, clock_ms - status.complete_ms) if status.complete_ms else None,
    }


def _why_full(ring: Usage) -> str:
    return "is full until the ledger has recorded more" if ring.unrecorded else "is full"


def _processor(status: ProcessorStatus, condition: Condition, clock_ms: int) -> dict[str, Any]:
    return {
        "state": condition.name.lower(),
        "failing": bool(status.failing),
        "minResponseTime": status.min_response_ms,
        # How old the two values above are; null while the processor has not answered a health query yet.
        "healthAgeMs": max(0, clock_ms - status.health_ms) if status.health_ms else None,
        "breaker": "open" if status.breaker_open else "closed",
        "inFlight": status.in_flight,
        "expectedMs": status.expected_ms,
        "unresolved": status.unresolved,
    }
