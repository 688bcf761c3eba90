"""What ``/health`` shows of a cell, made from the words of its agent. Pure."""

from __future__ import annotations

from typing import Any, Final

from engine.intake.openapi_types import AGE_MS, INTEGER, Json, object_of
from engine.memory import cell_layout as layout
from engine.memory.cell_layout import Standing
from engine.memory.words import Words

SILENT_MS: Final = 3000  # an agent that has made no pass for so long is down, or stands still
SILENT: Final = "silent"
TROUBLES: Final = {
    "joining": "this cell has no epoch in the store",
    "waiting": "this cell waits for its lease",
    "without lease": "the store does not answer: this cell has no lease",
    "apart": "the clock of this cell is too far from the store's",
    "leaving": "this cell leaves",
    SILENT: "the cell's agent is down",
}


def report(words: Words, name: str, clock_ms: int) -> dict[str, Any]:
    """The part ``cell`` of the document. ``clock_ms``: the engine's clock."""
    beat_ms, heard_ms = words[layout.HEARTBEAT_MS_AT], words[layout.HEARD_MS_AT]
    return {
        "name": name,
        "state": SILENT if clock_ms - beat_ms > SILENT_MS else shown(Standing(words[layout.STANDING_AT])),
        "epoch": words[layout.EPOCH_AT],
        # Cells whose lease runs, as the store said last.
        "living": words[layout.LIVING_AT],
        # Open payments that this cell holds.
        "held": words[layout.HELD_AT],
        # How old the store's last answer to a renewal is; null before the first one.
        "heardAgeMs": max(0, clock_ms - heard_ms) if heard_ms else None,
        "clockAheadMs": layout.ahead_ms(words),
    }


def troubles(cell: dict[str, Any]) -> list[str]:
    """Why a cell that shows this accepts nothing; nothing when it does."""
    return [TROUBLES[cell["state"]]] if cell["state"] in TROUBLES else []


def shown(standing: Standing) -> str:
    """A standing as people are told."""
    return standing.name.lower().replace("_", " ")


def schema() -> Json:
    """Of the part ``cell``."""
    return object_of(
        {
            "name": {"type": "string"},
            "state": {"enum": [*map(shown, Standing), SILENT]},
            "epoch": INTEGER,
            "living": INTEGER,
            "held": INTEGER,
            "heardAgeMs": AGE_MS,
            "clockAheadMs": {"type": "integer"},
        }
    )
