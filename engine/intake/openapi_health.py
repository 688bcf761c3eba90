"""The schema of ``/health`` (:mod:`engine.intake.health`)."""

from __future__ import annotations

from engine.cluster_settings import MODE
from engine.intake import health_of_cell
from engine.intake.openapi_types import AGE_MS, BOOLEAN, INSTANT_OR_NONE, INTEGER, Json, object_of
from engine.memory.status import LedgerState
from engine.settings import Settings
from engine.situation import Condition, Why

QUEUES = ("pending", "failed", "parked", "deadLetters", "chargedBefore", "declared", "failedInLedgerOnly")


def schema(settings: Settings) -> Json:
    """Of an engine with these settings."""
    processor = object_of(
        {
            "state": {"enum": [condition.name.lower() for condition in Condition]},
            "failing": BOOLEAN,
            "minResponseTime": INTEGER,
            "healthAgeMs": AGE_MS,
            "breaker": {"enum": ["open", "closed"]},
            "inFlight": INTEGER,
            "expectedMs": INTEGER,
            "unresolved": INTEGER,
        }
    )
    limits = (
        "ringSlots",
        "pendingMax",
        "inFlightMax",
        "bodyBytesMax",
        "amountCentsMax",
        "parkedMax",
        "giveUpSeconds",
        "refusalsMax",
        "deadLetterSeconds",
    )
    ledger = object_of(
        {
            "state": {"enum": [*(state.name.lower() for state in LedgerState), "silent"]},
            "lagMs": AGE_MS,
        }
    )
    routing = object_of(
        {
            "to": {"type": "array", "items": {"enum": list(settings.processors.names)}},
            "since": INSTANT_OR_NONE,
            "why": {"enum": [str(why) for why in Why]},
        }
    )
    return object_of(
        {
            "status": {"enum": ["ok", "degraded"]},
            "reasons": {"type": "array", "items": {"type": "string"}},
            "payments": {"type": "string", "description": "What happens to payments now, for people."},
            "routing": routing,
            "processors": object_of(dict.fromkeys(settings.processors.names, processor)),
            "queues": object_of(dict.fromkeys(QUEUES, INTEGER)),
            "discrepancies": object_of({"amountDiffers": INTEGER, "unconfirmed": INTEGER}),
            "dispatcher": object_of({"alive": BOOLEAN, "heartbeatAgeMs": AGE_MS, "errors": INTEGER}),
            "rings": {"type": "array", "items": object_of({"full": BOOLEAN, "refused": INTEGER})},
            "limits": object_of(dict.fromkeys(limits, INTEGER)),
            **({"ledger": ledger} if settings.ledger.is_on else {}),
            **({"cell": health_of_cell.schema()} if settings.storage.durability == MODE else {}),
        }
    )
