"""Memory that engines of old layouts have written, and what their own code read in it: see memories/README.md."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.memory import layout
from engine.memory.words import Words
from engine.payment import Payment
from engine.storage import old_layouts

DIRECTORY = Path(__file__).with_name("memories")
SIZES = {
    "ENGINE_API_PROCESSES": "2",
    "ENGINE_RING_SLOTS": "64",
    "ENGINE_BOOKS_RECENT_SECONDS": "30",
    "ENGINE_BOOKS_HORIZON_HOURS": "1",
    "ENGINE_PARKED_SLOTS": "64",
}
PARTS = ("books", "ring-0", "ring-1")
Row = tuple[int, ...]


def segments(version: int, name: str) -> dict[str, memoryview[int]]:
    """The words of each segment, by the end of its name."""
    return {
        part: memoryview(bytearray(gzip.decompress((DIRECTORY / f"{version}-{name}-{part}.gz").read_bytes()))).cast("Q")
        for part in PARTS
    }


def expected(version: int, name: str) -> Any:
    """What the old code read."""
    return json.loads((DIRECTORY / f"{version}-{name}.json").read_text())


def mark(version: int, part: str, words: Words, boot: int, state: int) -> None:
    """Makes a segment one that was used last in the boot ``boot`` and left in ``state``."""
    old = old_layouts.BY_VERSION[version]
    places = (layout.RING_CLEAN_AT, layout.RING_CLOSED_AT) if part != "books" else (old.clean_at,)
    for at in places:
        words[at] = state
    words[layout.RING_BOOT_AT if part != "books" else old.boot_at] = boot


def rows(payments: Iterable[Payment]) -> list[Row]:
    """All fields of payments but where they are."""
    return sorted(tuple(payment[1:-1]) for payment in payments)


def rows_of(version: int, seen: Any, kind: str) -> list[Row]:
    """The same as the old code read it, with what stands for the words that layout 1 had not."""
    found = []
    for row in seen[kind]:
        values = dict(zip(seen["fields"], row, strict=True))
        if version == 1:
            values["reason"] = layout.REASON_TOO_OLD if values["state"] == layout.FAILED else layout.REASON_NONE
            values["origin"] = values["accepted_ms"]
            is_many = values["attempts"] > 1 or kind == "parked"
            first_ms = min(values["accepted_ms"], values["requested_ms"])
            values["first_ms"] = first_ms if is_many else values["requested_ms"]
        found.append(tuple(values[field] for field in Payment._fields[1:-1]))
    return sorted(found)
